"""A seller sends the demo broadcast on to another server, which is a second Dorami, and sees how it does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dorami_core.testing.server import RunningDorami, eventually, running_dorami

expect.set_options(timeout=60_000)
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def platform(short_tmp: Path) -> Iterator[RunningDorami]:
    with running_dorami(short_tmp / "platform") as server:
        yield server


@pytest.fixture
def channel(platform: RunningDorami) -> Iterator[tuple[httpx.Client, dict[str, Any]]]:
    """A channel of the platform: its server and key, as a platform gives them to a seller."""
    with platform.client("owner@example.test", role="ADMIN") as owner:
        answer = owner.post("/api/streams", json={"title": "건너온 방송"})
        assert answer.status_code == 201, answer.text
        yield owner, answer.json()["data"]


@pytest.fixture
def desk(browser: Browser, demo: RunningDorami) -> Iterator[tuple[BrowserContext, list[str]]]:
    context = browser.new_context(base_url=demo.web, viewport=PHONE, locale="ko-KR")  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    body = {"email": "seller@example.test", "name": "seller", "instagramId": "seller", "role": "ADMIN"}
    assert context.request.post("/api/auth/dev-login", data=body).ok
    problems: list[str] = []
    yield context, problems
    context.close()
    assert problems == []
    with demo.client("seller@example.test", role="ADMIN") as seller:
        for target in seller.get("/api/restream/targets").json()["data"]["items"]:
            assert seller.delete(f"/api/restream/targets/{target['id']}").status_code == 200


def status(channel: tuple[httpx.Client, dict[str, Any]]) -> str:
    client, stream = channel
    return str(client.get(f"/api/streams/{stream['streamKey']}").json()["data"]["status"])


def add(page: Page, platform: str, name: str, url: str, key: str) -> None:
    page.get_by_role("radio", name=platform).check()
    page.get_by_label(re.compile("^이름")).fill(name)
    page.get_by_label("서버").fill(url)
    page.get_by_label("스트림 키").fill(key)
    page.get_by_test_id("target-save").click()
    expect(page.get_by_role("article").filter(has_text=name)).to_be_visible()


def test_a_seller_sends_a_broadcast_on(
    desk: tuple[BrowserContext, list[str]], channel: tuple[httpx.Client, dict[str, Any]], artefacts: Path
) -> None:
    context, problems = desk
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.goto("/admin/restream")
    expect(page.get_by_text("아직 송출 대상이 없어요")).to_be_visible()
    publish = channel[1]["publish"]
    add(page, "직접 입력", "둘째 가게", publish["url"], publish["key"])
    add(page, "틱톡", "틱톡 계정", publish["url"], channel[1]["streamKey"] + "?secret=wrong")
    good = page.get_by_role("article").filter(has_text="둘째 가게")
    bad = page.get_by_role("article").filter(has_text="틱톡 계정")
    expect(good.get_by_test_id("target-status")).to_have_text("송출 중")
    expect(good).to_contain_text(re.compile(r"bit/s"))
    expect(bad).to_contain_text("플랫폼이 거절했어요")
    eventually(lambda: status(channel) == "LIVE")
    assert publish["key"] not in page.content()
    bad.get_by_text("기록 보기").click()
    expect(bad.locator("pre")).to_contain_text("Server error")
    assert "secret=wrong" not in bad.locator("pre").inner_text()
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=artefacts / "admin-restream-390x844.png")
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    page.screenshot(path=artefacts / "admin-restream-1440x900.png")
    good.get_by_test_id("target-toggle").click()
    expect(good.get_by_test_id("target-status")).to_have_text("멈춤")
    eventually(lambda: status(channel) == "OFFLINE")
    good.get_by_test_id("target-toggle").click()
    expect(good.get_by_test_id("target-status")).to_have_text("송출 중")
    page.goto("/admin/restream?lang=en")
    expect(good.get_by_test_id("target-status")).to_have_text("Sending")
    page.screenshot(path=artefacts / "admin-restream-en-1440x900.png")


def test_recordings_are_listed_and_play(desk: tuple[BrowserContext, list[str]], artefacts: Path) -> None:
    context, problems = desk
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    # a player gets what was there when it asked: of a part that has just begun too little to see it play
    eventually(lambda: page.request.get("/api/recordings").json()["data"]["items"][0]["durationMs"] > 3000)
    page.goto("/admin/recordings")
    recording = page.get_by_role("article").filter(has_text="도라미 데모 방송").first
    expect(recording).to_contain_text("녹화 중")
    recording.get_by_role("button", name="재생").click()
    video = recording.locator("video")
    eventually(lambda: page.wait_for_timeout(50) or float(video.evaluate("video => video.currentTime")) > 0.5)
    recording.get_by_role("button", name="보관", exact=True).click()
    expect(recording.get_by_role("button", name="보관 해제", exact=True)).to_be_visible()
    page.screenshot(path=artefacts / "admin-recordings-390x844.png")
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    page.screenshot(path=artefacts / "admin-recordings-1440x900.png")
    recording.get_by_role("button", name="보관 해제", exact=True).click()
    expect(recording.get_by_role("button", name="보관", exact=True)).to_be_visible()


def test_the_routes_are_for_staff_and_refuse_what_cannot_be(demo: RunningDorami) -> None:
    with demo.client("mina@example.test") as viewer:
        assert viewer.get("/api/restream/targets").status_code == 403
    with demo.client("seller@example.test", role="ADMIN") as seller:
        body = {"platform": "CUSTOM", "rtmpUrl": "http://a.example/live", "streamKey": "k"}
        answer = seller.post("/api/restream/targets", json=body)
        assert answer.status_code == 400
        assert answer.json()["details"]["fields"][0]["field"] == "rtmpUrl"
        missing = "00000000-0000-4000-8000-000000000000"
        for path in (missing, "nonsense"):
            answer = seller.post(f"/api/restream/targets/{path}/start", json={})
            assert (answer.status_code, answer.json()["errorCode"]) == (404, "RESTREAM_TARGET_NOT_FOUND")
        body |= {"rtmpUrl": "rtmp://127.0.0.1:1/live", "streamKey": "1234567890abcd", "startMode": "MANUAL"}
        made = seller.post("/api/restream/targets", json=body)
        assert made.status_code == 201
        target = made.json()["data"]
        assert (target["streamKey"], target["status"], target["muteAudio"]) == ("•••abcd", "IDLE", False)
        one = f"/api/restream/targets/{target['id']}"
        changed = seller.patch(one, json={"muteAudio": True, "delaySeconds": 5}).json()["data"]
        assert (changed["muteAudio"], changed["delaySeconds"], changed["streamKey"]) == (True, 5, "•••abcd")
        assert seller.post(f"{one}/start", json={}).status_code == 200
        eventually(lambda: seller.get("/api/restream/targets").json()["data"]["items"][-1]["cause"] == "UNREACHABLE")
        log = seller.get(f"/api/restream/logs?targetId={target['id']}").json()["data"]["items"]
        assert len(log) == 1
        assert any("refused" in line for line in log[0]["lines"])
        assert not any("1234567890abcd" in line for line in log[0]["lines"])
        assert seller.post(f"{one}/stop", json={}).status_code == 200
        eventually(lambda: seller.get("/api/restream/targets").json()["data"]["items"][-1]["status"] == "STOPPED")
        assert seller.delete(one).json()["data"] is None
