"""The demo's broadcast is recorded from its first second, and given out in parts; a kill loses no file."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx

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


def test_a_kill_loses_no_more_than_the_last_second(short_tmp: Path) -> None:
    data = short_tmp / "killed"
    server = start_dorami(data, "--demo")
    try:
        with server.client("seller@example.test", role="ADMIN") as seller:
            before = eventually(lambda: (one := newest(seller)) and one["durationMs"] > 4000 and one)
            part_id = before["id"]
    finally:
        server.kill()
    (file,) = (data / "recordings").glob("demo/*.mp4")
    assert seconds(file) >= before["durationMs"] / 1000 - 1
    with running_dorami(data, "--demo") as again, again.client("seller@example.test", role="ADMIN") as seller:
        eventually(lambda: (one := newest(seller)) and one["id"] != part_id and one["durationMs"] > 1000)
        assert seller.get(before["videoUrl"], headers={"Range": "bytes=0-99"}).status_code == 206
