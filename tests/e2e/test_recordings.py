"""The demo's broadcast is recorded from its first second, and given out in parts; a kill loses no file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import httpx

from dorami_core.media.flv import FlvReader
from dorami_core.media.packets import MediaKind
from dorami_core.testing.server import RunningDorami, eventually, running_dorami, start_dorami


def newest(client: httpx.Client) -> dict[str, Any] | None:
    items: list[dict[str, Any]] = client.get("/api/recordings?streamKey=demo").json()["data"]["items"]
    return items[0] if items else None


def seconds(file: Path) -> float:
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_entries", "packet=pts_time", "-select_streams", "v"]
    shown = subprocess.run([*command, str(file)], check=True, capture_output=True, timeout=30)
    times = [float(packet["pts_time"]) for packet in json.loads(shown.stdout)["packets"]]
    return max(times) - min(times)


def test_staff_read_it_whole_or_in_ranges(demo: RunningDorami, tmp_path: Path) -> None:
    with demo.client("mina@example.test") as viewer:
        assert viewer.get("/api/recordings").status_code == 403
    with demo.client("seller@example.test", role="ADMIN") as seller:
        running = eventually(lambda: (one := newest(seller)) and one["durationMs"] > 3000 and one)
        assert running["status"] == "RECORDING"
        url = running["videoUrl"]
        whole = seller.get(url)
        assert whole.status_code == 200
        assert (whole.headers["content-type"], whole.headers["accept-ranges"]) == ("video/mp4", "bytes")
        file = tmp_path / "whole.mp4"
        file.write_bytes(whole.content)
        assert seconds(file) > 2
        part = seller.get(url, headers={"Range": "bytes=100-299"})
        assert part.status_code == 206
        assert part.content == whole.content[100:300]
        assert part.headers["content-range"].startswith("bytes 100-299/")
        assert seller.get(url, headers={"Range": "bytes=999999999999-"}).status_code == 416
        saved = seller.get(f"{url}?download=1", headers={"Range": "bytes=0-0"})
        assert "attachment" in saved.headers["content-disposition"]
        for kept in (True, False):
            one = seller.patch(f"/api/recordings/{running['id']}", json={"kept": kept})
            assert one.json()["data"]["kept"] is kept
        assert seller.delete(f"/api/recordings/{running['id']}").status_code == 409
        missing = "00000000-0000-4000-8000-000000000000"
        assert seller.get(f"/api/recordings/{missing}/video").json()["errorCode"] == "RECORDING_NOT_FOUND"


def watch(server: RunningDorami, frames: int, then: Callable[[], None]) -> list[bytes]:
    """Every picture that a viewer is given, as it is encoded; after so many `then` is done, and what is on its way
    still read."""
    reader, pictures = FlvReader(), list[bytes]()
    with httpx.stream("GET", f"{server.edge}/live/live/demo.flv", timeout=60) as answer:
        try:
            for data in answer.iter_raw():
                packets = reader.feed(data)
                # Behind the head of an FLV tag is the sample that MP4 stores (both ISO 14496-15).
                pictures += [p.payload[5:] for p in packets if p.kind is MediaKind.VIDEO and not p.is_sequence_header]
                if len(pictures) >= frames > 0:
                    then()
                    frames = 0
        except httpx.TransportError:
            assert frames == 0, "it ended before"
    return pictures


def test_a_kill_loses_no_more_than_the_last_second(short_tmp: Path) -> None:
    data = short_tmp / "killed"
    server = start_dorami(data, "--demo")
    try:
        with server.client("seller@example.test", role="ADMIN") as seller:
            part = eventually(lambda: newest(seller))
            product = seller.get("/api/products?streamKey=demo").json()["data"]["items"][0]
            seller.put("/api/streams/demo/pin", json={"productId": product["id"]})

            def unpin_and_kill() -> None:
                seller.put("/api/streams/demo/pin", json={"productId": None})
                server.kill()

            seen = watch(server, 6 * 30, unpin_and_kill)
    finally:
        server.kill()
    (file,) = (data / "recordings").glob("demo/*.mp4")
    with av.open(str(file)) as recorded:
        kept = [bytes(packet) for packet in recorded.demux(video=0) if packet.size]
    # Of all that was given to a viewer at most a second is missing, at 30 frames a second.
    lost = len(seen) - 1 - max(number for number, picture in enumerate(seen) if picture == kept[-1])
    print(f"lost {lost} frames of {len(seen)}")
    assert 0 <= lost <= 30
    with running_dorami(data, "--demo") as again, again.client("seller@example.test", role="ADMIN") as seller:
        eventually(lambda: (one := newest(seller)) and one["id"] != part["id"] and one["durationMs"] > 1000)
        assert seller.get(part["videoUrl"], headers={"Range": "bytes=0-99"}).status_code == 206
        clips = f"/api/products/{product['id']}/clips"
        (clip,) = eventually(lambda: seller.get(clips).json()["data"]["items"], within_s=60)
        assert clip["durationMs"] > 3000, "asked for just before the kill, made after it"
