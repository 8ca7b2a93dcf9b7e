"""OBS itself publishes, without a screen: what its viewers get, what its signal card says, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import attrs
import av
import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from restream_parts import free_port
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request, TextMessage

from dorami_core.testing.server import RunningDorami, eventually

pytestmark = pytest.mark.skipif(
    shutil.which("obs") is None or shutil.which("Xvfb") is None,
    reason="no OBS here (on Debian: apt-get install obs-studio xvfb)",
)

WIDTH, HEIGHT, FPS, KEYFRAMES_S = 1280, 720, 30, 2
PINK = (0xFF, 0x14, 0x93)
NEAR = 8
LIMIT_S = 60.0
FRAMES = 90
NAME = "Dorami"


@attrs.frozen
class Remote:
    """The seller's hand: OBS's own remote control (obs-websocket 5)."""

    port: int
    password: str

    def press(self, button: str) -> None:
        with socket.create_connection(("127.0.0.1", self.port), LIMIT_S) as line:
            connection = WSConnection(ConnectionType.CLIENT)
            said = _messages(line, connection)

            def say(op: int, **data: Any) -> dict[str, Any]:
                line.sendall(connection.send(TextMessage(json.dumps({"op": op, "d": data}))))
                return next(said)

            line.sendall(connection.send(Request(host="127.0.0.1", target="/")))
            asked = next(said)["authentication"]
            proof = _digest(_digest(self.password + asked["salt"]) + asked["challenge"])
            say(1, rpcVersion=1, authentication=proof, eventSubscriptions=0)
            assert say(6, requestType=button, requestId=button)["requestStatus"]["result"]


def _messages(line: socket.socket, connection: WSConnection) -> Iterator[dict[str, Any]]:
    text = ""
    while True:
        for event in connection.events():
            if isinstance(event, TextMessage):
                text += event.data
                if event.message_finished:
                    yield json.loads(text)["d"]
                    text = ""
        connection.receive_data(line.recv(65536) or None)


def _digest(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()


def prepare(home: Path, publish: dict[str, str], remote: Remote) -> None:
    """A profile and a scene as a seller would have made them: a custom server, x264 with a key frame every two
    seconds, one pink rectangle."""
    config = home / "obs-studio"
    profile, scenes = config / "basic/profiles" / NAME, config / "basic/scenes"
    profile.mkdir(parents=True)
    scenes.mkdir(parents=True)
    (config / "global.ini").write_text(
        f"[General]\nFirstRun=true\n[Basic]\nProfile={NAME}\nProfileDir={NAME}\nSceneCollection={NAME}\n"
        f"SceneCollectionFile={NAME}\n[OBSWebSocket]\nFirstLoad=false\nServerEnabled=true\nAuthRequired=true\n"
        f"ServerPort={remote.port}\nServerPassword={remote.password}\n"
    )
    (profile / "basic.ini").write_text(
        f"[General]\nName={NAME}\n[Video]\nBaseCX={WIDTH}\nBaseCY={HEIGHT}\nOutputCX={WIDTH}\nOutputCY={HEIGHT}\n"
        f"FPSCommon={FPS}\n[Output]\nMode=Advanced\n[AdvOut]\nEncoder=obs_x264\n"
    )
    encoder = {"rate_control": "CBR", "bitrate": 1500, "keyint_sec": KEYFRAMES_S, "preset": "ultrafast"}
    (profile / "streamEncoder.json").write_text(json.dumps(encoder))
    service = {"type": "rtmp_custom", "settings": {"server": publish["url"], "key": publish["key"]}}
    (profile / "service.json").write_text(json.dumps(service))
    red, green, blue = PINK
    colour = {"color": 0xFF << 24 | blue << 16 | green << 8 | red, "width": WIDTH, "height": HEIGHT}
    item = {"name": "Pink", "id": 1, "visible": True, "pos": {"x": 0.0, "y": 0.0}, "scale": {"x": 1.0, "y": 1.0}}
    scene = {
        "name": NAME,
        "current_scene": "Scene",
        "scene_order": [{"name": "Scene"}],
        "sources": [
            {"id": "color_source", "versioned_id": "color_source_v3", "name": "Pink", "settings": colour},
            {"id": "scene", "name": "Scene", "settings": {"id_counter": 1, "items": [item]}},
        ],
    }
    (scenes / f"{NAME}.json").write_text(json.dumps(scene))


@pytest.fixture
def display() -> Iterator[str]:
    """A screen that nobody sees."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as process:
        os.close(writing)
        with os.fdopen(reading) as told:
            number = told.readline().strip()
        try:
            yield f":{number}"
        finally:
            process.terminate()


@contextmanager
def obs(home: Path, display: str) -> Iterator[None]:
    """OBS, streaming, with the pictures drawn by the CPU; killed at the end where it still runs."""
    environ = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    environ |= {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "LIBGL_ALWAYS_SOFTWARE": "1"}
    command = ["obs", "--multi", "--startstreaming", "--minimize-to-tray", "--disable-updater"]
    command += ["--disable-missing-files-check", "--profile", NAME, "--collection", NAME, "--scene", "Scene"]
    with (
        (home / "obs.log").open("ab") as log,
        subprocess.Popen(command, env=environ, stdout=log, stderr=log) as process,
    ):
        try:
            yield
        finally:
            process.kill()


@pytest.fixture
def page(browser: Browser, demo: RunningDorami) -> Iterator[Page]:
    context = browser.new_context(base_url=demo.web, viewport={"width": 390, "height": 844}, locale="ko-KR")
    body = {"email": "obs@example.test", "name": "obs", "instagramId": "obs", "role": "ADMIN"}
    assert context.request.post("/api/auth/dev-login", data=body).ok
    yield context.new_page()
    context.close()


def get(client: httpx.Client, path: str) -> dict[str, Any]:
    data: dict[str, Any] = client.get(path).json()["data"]
    return data


def check_what_viewers_get(url: str) -> None:
    with av.open(url) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.width, video.height) == ("h264", WIDTH, HEIGHT)
        assert (audio.codec_context.name, audio.sample_rate, audio.channels) == ("aac", 48_000, 2)
        times: list[float] = []
        for frame in container.decode(video):
            assert frame.time is not None
            times.append(frame.time)
            colour = frame.to_image().getpixel((WIDTH // 2, HEIGHT // 2))
            assert all(abs(got - given) <= NEAR for got, given in zip(colour, PINK, strict=True)), colour
            if len(times) == FRAMES:
                break
    # Of whole frames, since OBS leaves some out where the machine is too busy for it.
    steps = [(later - earlier) * FPS for earlier, later in zip(times, times[1:], strict=False)]
    assert all(step > 0.9 and abs(step - round(step)) < 0.1 for step in steps), steps


def test_a_seller_goes_live_with_obs(
    demo: RunningDorami, display: str, page: Page, short_tmp: Path, artefacts: Path
) -> None:
    home = short_tmp / "obs"
    with demo.client("obs@example.test", role="ADMIN") as seller:
        stream = seller.post("/api/streams", json={"title": "OBS 방송"}).json()["data"]
        path = f"/api/streams/{stream['streamKey']}"
        remote = Remote(free_port(), token_hex(8))
        prepare(home, stream["publish"], remote)
        with obs(home, display):
            live = eventually(lambda: (now := get(seller, path))["status"] == "LIVE" and now, within_s=LIMIT_S)
            check_what_viewers_get(f"{demo.edge}/live/live/{stream['streamKey']}.flv")
            told = eventually(lambda: (now := get(seller, f"{path}/signal"))["verdict"] == "GOOD" and now)
            assert (told["videoCodec"], told["audioCodec"], told["refused"]) == ("H.264", "AAC", None)
            assert KEYFRAMES_S * 1000 <= told["keyframeIntervalMs"] < KEYFRAMES_S * 1250
            page.goto(f"/admin/streams/{stream['streamKey']}")
            expect(page.get_by_test_id("signal-verdict")).to_have_text("화질 좋음", timeout=LIMIT_S * 1000)
            page.get_by_test_id("signal").scroll_into_view_if_needed()
            page.screenshot(path=artefacts / "signal-obs-390x844.png")
        eventually(lambda: get(seller, path)["status"] == "INTERRUPTED")
        with obs(home, display):
            back = eventually(lambda: (now := get(seller, path))["status"] == "LIVE" and now, within_s=LIMIT_S)
            assert back["startedAt"] == live["startedAt"], "the same broadcast goes on"
            remote.press("StopStream")
            eventually(lambda: get(seller, path)["status"] == "OFFLINE")
