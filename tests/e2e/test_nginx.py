"""Debian's nginx puts web and edge behind one address, with the configuration that is delivered."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from dorami_core.testing.node import node
from dorami_core.testing.server import RunningDorami, eventually

ROOT = Path(__file__).parents[2]

PROBE = """
import { io } from "socket.io-client";
const socket = io(process.argv[1] + "/", { transports: ["websocket"], reconnection: false });
socket.on("connect_error", (error) => { console.error(error); process.exit(1); });
const joined = await socket.timeout(8000).emitWithAck("join:stream", { streamKey: "demo" });
console.log(JSON.stringify(joined));
socket.disconnect();
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def proxy(demo: RunningDorami, tmp_path: Path) -> Iterator[str]:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    assert nginx, "the test needs nginx on PATH"
    port = free_port()
    text = (ROOT / "config" / "nginx.conf").read_text("utf-8")
    for written, real in {
        "127.0.0.1:8000": urlsplit(demo.web).netloc,
        "127.0.0.1:8080": urlsplit(demo.edge).netloc,
        "127.0.0.1:8888": f"127.0.0.1:{port}",
    }.items():
        assert written in text
        text = text.replace(written, real)
    file = tmp_path / "nginx.conf"
    file.write_text(text, "utf-8")
    process = subprocess.Popen([nginx, "-p", str(tmp_path), "-c", str(file), "-e", "stderr", "-g", "daemon off;"])
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                httpx.get(f"http://127.0.0.1:{port}/api/health/live")
                break
            except httpx.ConnectError:
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def test_one_address_for_all(proxy: str) -> None:
    live = httpx.get(f"{proxy}/api/health/live")
    assert live.json().get("success"), live.text
    assert "<html" in httpx.get(f"{proxy}/").text
    page = httpx.get(f"{proxy}/live/demo")
    assert page.headers["content-type"].startswith("text/html")

    for path in ("/live/live/demo.flv", "/live/demo.flv"):
        with httpx.stream("GET", proxy + path, timeout=60) as video:
            assert video.status_code == 200
            assert next(video.iter_raw())[:3] == b"FLV"
    playlist = eventually(lambda: (found := httpx.get(f"{proxy}/hls/demo.m3u8")).is_success and found)
    segment = next(line for line in playlist.text.splitlines() if line and not line.startswith("#"))
    assert httpx.get(f"{proxy}/hls/{segment}").headers["content-type"] == "video/mp4"

    run = subprocess.run(
        [node(), "--input-type=module", "-e", PROBE, proxy],
        cwd=ROOT / "tests" / "e2e" / "node",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["ok"]


def test_a_strangers_origin_is_refused(proxy: str) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    answer = httpx.get(
        f"{proxy}/socket.io/?EIO=4&transport=websocket", headers={**upgrade, "Origin": "https://evil.example"}
    )
    assert answer.status_code == 403
