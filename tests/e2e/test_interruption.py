"""The publisher vanishes and comes back, again and again: nobody behind it begins anew."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from soaking import Soak

from bench.clock import MODULUS, READ_CLOCK, clock_publisher, release
from dorami_core.media.flv import FlvReader
from dorami_core.media.packets import MediaKind
from dorami_core.testing.server import RunningDorami, eventually, running_dorami

PHONE = {"width": 390, "height": 844}
SHORT_GAP_S, SILENT_GAP_S, LONG_GAP_S = 3.0, 10.0, 25.0
"""The slate of restreams comes after two silent seconds; a page would give up its stream after eight; a broadcast waits
thirty for its publisher."""
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def studio(short_tmp: Path) -> Iterator[RunningDorami]:
    with running_dorami(short_tmp / "interrupted") as server:
        yield server


@pytest.fixture(scope="module")
def platform(short_tmp: Path) -> Iterator[RunningDorami]:
    """Where the broadcast is sent on to."""
    with running_dorami(short_tmp / "other-side") as server:
        yield server


def make_stream(seller: httpx.Client) -> dict[str, Any]:
    answer = seller.post("/api/streams", json={"title": "흔들리는 와이파이"})
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def look(client: httpx.Client, stream: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = client.get(f"/api/streams/{stream['streamKey']}").json()["data"]
    return data


def session(client: httpx.Client, stream: dict[str, Any]) -> tuple[int, str]:
    """Which broadcast of the key runs, and since when."""
    data = client.get(f"/api/streams/{stream['streamKey']}/viewers").json()["data"]
    return data["sessionNo"], data["startedAt"]


@attrs.define
class Viewer:
    """A live page that stays open. `loads` counts its documents, `asked` what it asked of the edge."""

    page: Page
    asked: list[str] = attrs.field(factory=list)
    loads: int = 0
    source: str = ""

    def rows(self) -> list[list[int]]:
        """When a frame was shown, and what its clock said."""
        self.page.wait_for_timeout(50)
        seen: list[list[int]] = self.page.evaluate("window.clockSeen")
        return seen

    def shows_since(self, moment_ms: int) -> bool:
        """Whether a frame is on the screen that was made after that."""
        rows = self.rows()
        return bool(rows) and 0 < (rows[-1][1] - moment_ms) % MODULUS < MODULUS // 2

    def video_source(self) -> str:
        return str(self.page.locator("video").evaluate("video => video.currentSrc"))


def open_viewer(browser: Browser, studio: RunningDorami, key: str, *, flv: bool) -> Viewer:
    page = browser.new_context(base_url=studio.web, viewport=PHONE, locale="ko-KR").new_page()  # type: ignore[arg-type]
    viewer = Viewer(page)

    def loaded() -> None:
        viewer.loads += 1

    page.on("load", loaded)
    page.on("request", lambda request: viewer.asked.append(request.url))
    if not flv:
        page.route("**/*.flv*", lambda route: route.abort())
    page.goto(f"/live/{key}")
    page.locator("video").evaluate(READ_CLOCK)
    eventually(lambda: viewer.rows(), within_s=PATIENCE_S)
    viewer.source = viewer.video_source()
    return viewer


@attrs.define
class Watched:
    """What one FLV connection gave, until its end."""

    last: dict[MediaKind, int] = attrs.field(factory=dict)
    packets: int = 0
    backwards: int = 0
    has_ended: bool = False

    def read(self, url: str) -> None:
        reader = FlvReader()
        with httpx.stream("GET", url, timeout=PATIENCE_S) as answer:
            for data in answer.iter_raw():
                for packet in reader.feed(data):
                    if packet.is_sequence_header or packet.kind is MediaKind.DATA:
                        continue
                    self.packets += 1
                    self.backwards += packet.timestamp_ms < self.last.get(packet.kind, 0)
                    self.last[packet.kind] = packet.timestamp_ms
        self.has_ended = True


@contextmanager
def watching(url: str) -> Iterator[Watched]:
    watched = Watched()
    thread = threading.Thread(target=watched.read, args=(url,))
    thread.start()
    yield watched
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def vanish(publisher: subprocess.Popen[bytes], *, silently: bool) -> None:
    """Its process is gone; or it is there and says nothing more, as over a Wi-Fi that has dropped."""
    if silently:
        publisher.send_signal(signal.SIGSTOP)
    else:
        publisher.kill()
        publisher.wait()


def is_back(seller: httpx.Client, stream: dict[str, Any], publisher: subprocess.Popen[bytes]) -> bool:
    assert publisher.poll() is None, "the publisher has failed"
    return bool(look(seller, stream)["status"] == "LIVE")


@pytest.mark.soak
def test_all_go_on_whenever_the_publisher_comes_back(
    studio: RunningDorami, platform: RunningDorami, browser: Browser, soak: Soak, tmp_path: Path, artefacts: Path
) -> None:
    """A short gap, and one without a word from the network; ten of 25 s under `make soak`, half of them silent."""
    with ExitStack() as stack:
        seller = stack.enter_context(studio.client("seller@example.test", role="ADMIN"))
        owner = stack.enter_context(platform.client("owner@example.test", role="ADMIN"))
        channel = make_stream(owner)
        target = {"platform": "CUSTOM", "rtmpUrl": channel["publish"]["url"], "streamKey": channel["publish"]["key"]}
        made = seller.post("/api/restream/targets", json=target)
        assert made.status_code == 201, made.text

        def sent_on() -> dict[str, Any]:
            (one,) = seller.get("/api/restream/targets").json()["data"]["items"]
            return dict(one)

        stream = make_stream(seller)
        key, address = stream["streamKey"], f"{stream['publish']['url']}/{stream['publish']['key']}"
        publisher = stack.enter_context(clock_publisher(address))
        eventually(lambda: look(seller, stream)["status"] == "LIVE")
        began = session(seller, stream)
        watched = stack.enter_context(watching(f"{studio.edge}/live/live/{key}.flv"))
        stack.callback(seller.post, f"/api/streams/{key}/end")
        viewers = [open_viewer(browser, studio, key, flv=True), open_viewer(browser, studio, key, flv=False)]
        eventually(lambda: sent_on()["status"] == "ACTIVE" and look(owner, channel)["status"] == "LIVE")
        arrived, lost = session(owner, channel), platform.metric("dorami_rtmp_lost")

        for turn in soak.rounds(10 if soak.is_long else 2):
            gone_at = time.monotonic()
            is_silent = soak.random.random() < 0.5 if soak.is_long else turn == 1
            gap_s = LONG_GAP_S if soak.is_long else SILENT_GAP_S if is_silent else SHORT_GAP_S
            vanish(publisher, silently=is_silent)
            publisher = stack.enter_context(clock_publisher(address, is_held=True))
            eventually(lambda: look(seller, stream)["status"] == "INTERRUPTED")
            for viewer in viewers:
                expect(viewer.page.locator("[data-notice=retrying]")).to_be_visible(timeout=PATIENCE_S * 1000)
            viewers[1].page.screenshot(path=artefacts / "live-interrupted-390x844.png")
            eventually(lambda: sent_on()["onSlate"])
            viewers[0].page.wait_for_timeout(max(0.0, gone_at + gap_s - time.monotonic()) * 1000)
            assert look(owner, channel)["status"] == "LIVE"
            moment_ms = int(time.time() * 1000)
            release(publisher)
            eventually(partial(is_back, seller, stream, publisher), within_s=PATIENCE_S)
            for viewer in viewers:
                eventually(partial(viewer.shows_since, moment_ms), within_s=PATIENCE_S)
                expect(viewer.page.locator("[data-notice=retrying]")).to_be_hidden()
                assert viewer.video_source() == viewer.source, "its player goes on"
            away_s = time.monotonic() - gone_at
            soak.tell(f"round {turn + 1}: {'silent' if is_silent else 'killed'}, all see it again after {away_s:.1f} s")

        assert session(seller, stream) == began
        assert [viewer.loads for viewer in viewers] == [1, 1]
        assert sum(".flv" in url for url in viewers[0].asked) == 1
        assert any("_HLS_part=" in url for url in viewers[1].asked[-20:]), "it waits for parts again"
        one = sent_on()
        assert (one["status"], one["restartCount"], one["onSlate"]) == ("ACTIVE", 0, False)
        assert platform.metric("dorami_rtmp_lost") == lost
        assert session(owner, channel) == arrived
        assert not watched.has_ended

        assert seller.post(f"/api/streams/{key}/end").status_code == 200
        eventually(lambda: watched.has_ended)
        assert watched.backwards == 0
        assert watched.packets > 100
        (recording,) = eventually(lambda: recordings(seller, key))
        file = tmp_path / "recording.mp4"
        file.write_bytes(seller.get(recording["videoUrl"]).content)
        assert_plays_through(file, at_least_s=recording["durationMs"] / 1000 - 1)
        for viewer in viewers:
            viewer.page.context.close()


def test_a_publisher_that_only_paused_goes_on(studio: RunningDorami, browser: Browser) -> None:
    """Over the same connection, with its own times, which have leapt."""
    with studio.client("seller@example.test", role="ADMIN") as seller:
        stream = make_stream(seller)
        key = stream["streamKey"]
        with clock_publisher(f"{stream['publish']['url']}/{stream['publish']['key']}") as publisher:
            eventually(lambda: look(seller, stream)["status"] == "LIVE")
            began, lost = session(seller, stream), studio.metric("dorami_rtmp_lost")
            viewers = [open_viewer(browser, studio, key, flv=True), open_viewer(browser, studio, key, flv=False)]
            vanish(publisher, silently=True)
            eventually(lambda: look(seller, stream)["status"] == "INTERRUPTED")
            moment_ms = int(time.time() * 1000)
            publisher.send_signal(signal.SIGCONT)
            eventually(partial(is_back, seller, stream, publisher))
            for viewer in viewers:
                eventually(partial(viewer.shows_since, moment_ms), within_s=PATIENCE_S)
                expect(viewer.page.locator("[data-notice=retrying]")).to_be_hidden()
                assert (viewer.loads, viewer.video_source()) == (1, viewer.source)
                viewer.page.context.close()
            assert (session(seller, stream), studio.metric("dorami_rtmp_lost")) == (began, lost)
        assert seller.post(f"/api/streams/{key}/end").status_code == 200


def recordings(seller: httpx.Client, key: str) -> list[dict[str, Any]]:
    """Once they are complete."""
    items: list[dict[str, Any]] = seller.get(f"/api/recordings?streamKey={key}").json()["data"]["items"]
    return items if items and all(item["status"] != "RECORDING" for item in items) else []


def assert_plays_through(file: Path, *, at_least_s: float) -> None:
    # On the file's own times: those of a guessed frame rate would be the same for two frames that lie close together.
    decoded = ["ffmpeg", "-v", "error", "-xerror", "-i", str(file), "-enc_time_base", "-1", "-f", "null", "-"]
    run = subprocess.run(decoded, capture_output=True, timeout=120, check=False)
    assert (run.returncode, run.stderr) == (0, b"")
    command = ["ffprobe", "-v", "error", "-of", "csv=p=0", "-select_streams", "v", "-show_entries", "packet=pts_time"]
    shown = subprocess.run([*command, str(file)], check=True, capture_output=True, text=True, timeout=60)
    times = [float(line.split(",")[0]) for line in shown.stdout.split()]
    steps = [after - before for before, after in pairwise(times)]
    assert min(steps) > 0
    assert max(steps) < SHORT_GAP_S, "no hole where the publisher was away"
    assert times[-1] - times[0] >= at_least_s
