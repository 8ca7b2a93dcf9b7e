"""Real encoders publish to a whole Dorami; real players read what comes out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dorami_core.testing.server import RunningDorami, eventually, running_dorami

WAIT_S = 60.0


@pytest.fixture(scope="module")
def studio(short_tmp: Path) -> Iterator[RunningDorami]:
    with running_dorami(short_tmp / "studio", environ={"DORAMI_STREAMS__GRACE_S": "1.5"}) as server:
        yield server


@pytest.fixture
def seller(studio: RunningDorami) -> Iterator[httpx.Client]:
    with studio.client("seller@example.test", role="ADMIN") as client:
        yield client


def announced(seller: httpx.Client) -> dict[str, Any]:
    answer = seller.post("/api/streams", json={"title": "가을 가방"})
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


@pytest.fixture
def stream(seller: httpx.Client) -> dict[str, Any]:
    return announced(seller)


def status(client: httpx.Client, stream: dict[str, Any]) -> str:
    return str(client.get(f"/api/streams/{stream['streamKey']}").json()["data"]["status"])


def address(stream: dict[str, Any]) -> str:
    return f"{stream['publish']['url']}/{stream['publish']['key']}"


def ffmpeg(clip: Path, url: str) -> subprocess.Popen[bytes]:
    command = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy", "-f", "flv", url]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def gstreamer(clip: Path, url: str) -> subprocess.Popen[bytes]:
    pipeline = (
        f"flvmux name=mux streamable=true ! rtmp2sink location={url} "
        "videotestsrc is-live=true ! video/x-raw,width=640,height=360,framerate=30/1 "
        "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! h264parse ! mux. "
        "audiotestsrc is-live=true ! audio/x-raw,rate=44100,channels=2 ! voaacenc ! aacparse ! mux."
    )
    return subprocess.Popen(
        ["gst-launch-1.0", "-q", *pipeline.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


PYAV = """
import sys, time, av
source = av.open(sys.argv[1])
out = av.open(sys.argv[2], "w", format="flv")
streams = {s.index: out.add_stream_from_template(s) for s in source.streams}
began = time.monotonic()
for packet in source.demux():
    if packet.dts is None:
        continue
    at = float(packet.dts * packet.time_base)
    time.sleep(max(0.0, began + at - time.monotonic()))
    packet.stream = streams[packet.stream.index]
    out.mux(packet)
time.sleep(60)
"""


def pyav(clip: Path, url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PYAV, str(clip), url], stderr=subprocess.DEVNULL)


def probe(url: str) -> dict[str, str]:
    """Codec names by kind, as ffprobe reads them."""
    shown = subprocess.run(
        [
            "ffprobe",
            "-v",
            "error",
            "-analyzeduration",
            "2M",
            "-show_entries",
            "stream=codec_type,codec_name",
            "-of",
            "json",
            url,
        ],
        check=True,
        capture_output=True,
        timeout=WAIT_S,
    )
    return {row["codec_type"]: row["codec_name"] for row in json.loads(shown.stdout)["streams"]}


@pytest.mark.parametrize("encoder", [ffmpeg, gstreamer, pyav])
def test_an_encoder_publishes_and_players_read(
    encoder: Callable[[Path, str], subprocess.Popen[bytes]],
    studio: RunningDorami,
    seller: httpx.Client,
    stream: dict[str, Any],
    clip: Path,
) -> None:
    assert status(seller, stream) == "PENDING"
    publisher = encoder(clip, address(stream))
    try:
        eventually(lambda: status(seller, stream) == "LIVE")
        key = stream["streamKey"]
        assert probe(f"{studio.edge}/live/live/{key}.flv") == {"video": "h264", "audio": "aac"}
        eventually(lambda: httpx.get(f"{studio.edge}/hls/{key}.m3u8").status_code == 200)
        assert probe(f"{studio.edge}/hls/{key}.m3u8") == {"video": "h264", "audio": "aac"}
        assert httpx.get(f"{studio.edge}/live/{key}.m3u8").text.startswith("#EXTM3U")
    finally:
        publisher.kill()
        publisher.wait()
    assert eventually(lambda: status(seller, stream) in ("INTERRUPTED", "OFFLINE"))
    eventually(lambda: status(seller, stream) == "OFFLINE")


def test_a_lost_publisher_comes_back_into_the_same_broadcast(short_tmp: Path, clip: Path) -> None:
    # With the usual grace: the studio's is over before an encoder has started on a busy machine.
    with (
        running_dorami(short_tmp / "patient") as patient,
        patient.client("seller@example.test", role="ADMIN") as seller,
    ):
        stream = announced(seller)
        publisher = ffmpeg(clip, address(stream))
        eventually(lambda: status(seller, stream) == "LIVE")
        started = seller.get(f"/api/streams/{stream['streamKey']}").json()["data"]["startedAt"]
        with httpx.stream("GET", f"{patient.edge}/live/live/{stream['streamKey']}.flv", timeout=WAIT_S) as viewer:
            chunks = viewer.iter_raw()
            next(chunks)
            publisher.kill()
            publisher.wait()
            eventually(lambda: status(seller, stream) == "INTERRUPTED")
            publisher = ffmpeg(clip, address(stream))
            try:
                eventually(lambda: status(seller, stream) == "LIVE")
                # The same connection goes on: what comes after is more than the last of the first publisher.
                assert sum(len(next(chunks)) for _ in range(20)) > 0
            finally:
                publisher.kill()
                publisher.wait()
        assert seller.get(f"/api/streams/{stream['streamKey']}").json()["data"]["startedAt"] == started


def test_a_wrong_secret_has_no_effect(seller: httpx.Client, stream: dict[str, Any], clip: Path) -> None:
    wrong = address(stream).partition("?")[0] + "?secret=wrong"
    refused = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(clip), "-c", "copy", "-f", "flv", wrong],
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )
    assert refused.returncode != 0
    assert status(seller, stream) == "PENDING"


def test_an_ended_broadcast_takes_no_publisher(seller: httpx.Client, stream: dict[str, Any], clip: Path) -> None:
    publisher = ffmpeg(clip, address(stream))
    eventually(lambda: status(seller, stream) == "LIVE")
    assert seller.post(f"/api/streams/{stream['streamKey']}/end").status_code == 200
    assert publisher.wait(WAIT_S) != 0
    assert status(seller, stream) == "OFFLINE"
    again = ffmpeg(clip, address(stream))
    assert again.wait(WAIT_S) != 0
    assert status(seller, stream) == "OFFLINE"


def picture_size(url: str) -> tuple[int, int]:
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "json", url],
        check=True,
        capture_output=True,
        timeout=WAIT_S,
    )
    found = json.loads(shown.stdout)["streams"][0]
    return int(found["width"]), int(found["height"])


def test_a_publisher_takes_the_demo_over_and_it_comes_back(demo: RunningDorami, clip: Path) -> None:
    flv = f"{demo.edge}/live/live/demo.flv"
    with demo.client("seller@example.test", role="ADMIN") as seller:
        own = seller.get("/api/streams/demo").json()["data"]
        assert picture_size(flv) == (540, 960)
        publisher = ffmpeg(clip, address(own))
        try:
            eventually(lambda: picture_size(flv) == (1280, 720))
        finally:
            publisher.kill()
            publisher.wait()
        eventually(lambda: picture_size(flv) == (540, 960))
        assert status(seller, own) == "LIVE"
        assert seller.get("/api/streams/demo").json()["data"]["startedAt"] == own["startedAt"]
