"""The seller sees how the signal of an encoder comes in, and what to change about it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from dorami_core.testing.server import RunningDorami

LIMIT_MS = 60_000
PHONE = {"width": 390, "height": 844}
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-sc_threshold", "0", "-pix_fmt", "yuv420p"]

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg here")


@contextmanager
def encoder(stream: dict[str, Any], *codecs: str) -> Iterator[None]:
    """ffmpeg, publishing a test picture with sound until the block ends."""
    source = ["-re", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=30", "-f", "lavfi", "-i", "sine=sample_rate=44100"]
    url = f"{stream['publish']['url']}/{stream['publish']['key']}"
    command = ["ffmpeg", "-v", "error", "-nostdin", *source, *codecs, "-threads", "1", "-f", "flv", url]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.fixture
def page(chromium: str, demo: RunningDorami) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(base_url=demo.web, viewport=PHONE, locale="ko-KR")  # type: ignore[arg-type]
        body = {"email": "signal@example.test", "name": "signal", "instagramId": "signal", "role": "ADMIN"}
        assert context.request.post("/api/auth/dev-login", data=body).ok
        yield context.new_page()
        browser.close()


def expect_light(page: Page, verdict: str, text: str) -> None:
    light = page.get_by_test_id("signal-verdict")
    expect(light).to_have_attribute("data-verdict", verdict, timeout=LIMIT_MS)
    expect(light).to_have_text(text)


def test_the_seller_sees_the_signal_and_is_told_what_to_change(
    page: Page, demo: RunningDorami, artefacts: Path
) -> None:
    with demo.client("signal@example.test", role="ADMIN") as seller:
        stream = seller.post("/api/streams", json={"title": "신호 점검"}).json()["data"]
        signal = f"/api/streams/{stream['streamKey']}/signal"
        page.goto(f"/admin/streams/{stream['streamKey']}")
        card, advice = page.get_by_test_id("signal"), page.get_by_test_id("signal-advice")
        expect_light(page, "NONE", "송출 대기 중")
        with encoder(stream, *H264, "-g", "300", "-c:a", "aac"):
            expect_light(page, "LONG_KEYFRAMES", "키프레임 간격이 길어요")
            expect(advice).to_contain_text("2초로 바꿔 주세요")
            for known in ("fps", "왕복 시간", "H.264 · AAC"):
                expect(card).to_contain_text(known)
            card.scroll_into_view_if_needed()
            page.screenshot(path=artefacts / "signal-keyframes-390x844.png")
            assert seller.get(signal).json()["data"]["keyframeIntervalMs"] > 4000
        expect_light(page, "NONE", "송출 대기 중")
        with encoder(stream, "-c:v", "flv1", "-an"):
            expect(advice).to_have_text(
                "영상이 Sorenson H.263 코덱이라 방송할 수 없어요. 인코더의 영상 코덱을 H.264로 바꿔 주세요.",
                timeout=LIMIT_MS,
            )
        with encoder(stream, *H264, "-g", "60", "-c:a", "aac"):
            expect_light(page, "GOOD", "화질 좋음")
            expect(advice).to_be_hidden()
            page.screenshot(path=artefacts / "signal-good-390x844.png")
        assert seller.post(f"/api/streams/{stream['streamKey']}/end").status_code == 200
