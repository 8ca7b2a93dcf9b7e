"""`dorami up --edges 2`: several processes behind one port, and nobody outside can tell."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from dorami_core.testing.node import node
from dorami_core.testing.server import RunningDorami, eventually, running_dorami, start_dorami

FOLDER = Path(__file__).parent / "node"
POLLING = "/socket.io/?EIO=4&transport=polling"


@pytest.fixture(scope="module")
def edges(short_tmp: Path) -> Iterator[RunningDorami]:
    with running_dorami(short_tmp / "edges", "--demo", "--edges", "2") as server:
        yield server


def children(server: RunningDorami) -> list[psutil.Process]:
    """The edge processes."""
    return [
        child
        for child in psutil.Process(server.process.pid).children()
        if child.is_running() and "dorami_core.edge_child" in child.cmdline()
    ]


def crowd(edge: str, count: int, transports: str) -> list[dict[str, Any]]:
    command = [node(), "crowd.mjs", edge, "demo", str(count), transports]
    run = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    seen: list[dict[str, Any]] = json.loads(run.stdout)
    return seen


@pytest.mark.parametrize(("transports", "carrier"), [("default", "websocket"), ("polling", "polling")])
def test_the_official_client_lands_anywhere(edges: RunningDorami, transports: str, carrier: str) -> None:
    before = edges.metric("dorami_handover_given")
    seen = crowd(edges.edge, 30, transports)
    assert [viewer["ok"] for viewer in seen] == [True] * 30
    assert {viewer["transport"] for viewer in seen} == {carrier}
    assert len({viewer["process"] for viewer in seen}) == 2, "both processes have begun sessions"
    assert edges.metric("dorami_handover_given") - before >= 10, "about half of the requests went astray"
    assert edges.metric("dorami_handover_lost") == edges.metric("dorami_handover_refused") == 0


def test_video_comes_from_any_of_them(edges: RunningDorami) -> None:
    taken = edges.metric("dorami_handover_taken")
    for _ in range(6):
        with httpx.stream("GET", f"{edges.edge}/live/live/demo.flv", timeout=60) as viewer:
            assert next(viewer.iter_raw()).startswith(b"FLV\x01")
    eventually(lambda: httpx.get(f"{edges.edge}/hls/demo.m3u8").status_code == 200)
    with httpx.Client(base_url=edges.edge) as player:
        for _ in range(3):
            playlist = player.get("/hls/demo.m3u8").text
            segment = [line for line in playlist.splitlines() if line and not line.startswith("#")][-1]
            assert player.get(f"/hls/{segment}").content[4:8] in (b"styp", b"moof")
            opened = player.get(POLLING).text
            assert not json.loads(opened[1:])["sid"].startswith("main"), "viewers are the edges' alone"
    assert edges.metric("dorami_handover_taken") - taken >= 8
    assert httpx.get(f"{edges.edge}/live/live/nobody.flv").json()["errorCode"] == "STREAM_NOT_FOUND"


def waiting_poll(edge: str) -> tuple[str, socket.socket]:
    """A session's id, and a connection on which its poll waits."""
    opened = json.loads(httpx.get(f"{edge}{POLLING}").text[1:])
    name, port = edge.removeprefix("http://").split(":")
    poll = socket.create_connection((name, int(port)), timeout=60)
    poll.sendall(f"GET {POLLING}&sid={opened['sid']} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return opened["sid"], poll


def test_a_killed_edge_process_comes_back(edges: RunningDorami) -> None:
    sid, poll = waiting_poll(edges.edge)
    with poll:
        token = sid.partition(".")[0]
        victim = next(child for child in children(edges) if f'"{token}"' in child.cmdline()[-1])
        others = [child.pid for child in children(edges) if child.pid != victim.pid]
        victim.kill()
        victim.wait(10)
        try:
            assert poll.recv(1) == b"", "its viewers see at once that it is gone"
        except ConnectionResetError:
            pass
    eventually(lambda: httpx.get(f"{edges.edge}{POLLING}&sid={sid}").json()["code"] == 1)
    eventually(lambda: edges.metric("dorami_edge_process_serves") == 2)
    assert edges.metric("dorami_edge_process_restarts") == 1
    assert others[0] in [child.pid for child in children(edges)], "the other one went on"
    assert victim.pid not in [child.pid for child in children(edges)]
    assert len({viewer["process"] for viewer in crowd(edges.edge, 20, "default")}) == 2


def test_each_has_all_the_files_that_it_may_have(edges: RunningDorami) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for pid in (edges.process.pid, *(child.pid for child in children(edges))):
        assert psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE) == (hard, hard)
        table = next(
            line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("FDSize:")
        )
        assert int(table.split()[1]) >= min(hard, 65_536), "it would grow under a crowd, while everybody waits"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_of_them_in_order(number: signal.Signals, short_tmp: Path) -> None:
    server = start_dorami(short_tmp / f"stop{number}", "--edges", "2")
    family = psutil.Process(server.process.pid).children(recursive=True)
    _, poll = waiting_poll(server.edge)
    with poll:
        eventually(lambda: server.metric("dorami_edge_open_connections") >= 1)
        server.process.send_signal(number)
        assert b"\r\n\r\n1" in poll.recv(4096), "a poll that waits is told that its session is over"
        assert server.process.wait(10) == 0, server.log.read_text("utf-8")
    assert [child for child in family if child.is_running()] == []
    assert list((server.data / "run").iterdir()) == []
    assert "Traceback" not in server.log.read_text("utf-8")


def test_nothing_is_left_of_a_killed_parent(short_tmp: Path) -> None:
    server = start_dorami(short_tmp / "parent", "--edges", "2")
    family = psutil.Process(server.process.pid).children(recursive=True)
    assert len([child for child in family if "dorami_core.edge_child" in child.cmdline()]) == 2
    server.kill()
    eventually(lambda: not any(child.is_running() and child.status() != "zombie" for child in family))
    with running_dorami(short_tmp / "parent", "--edges", "1") as again:
        assert httpx.get(f"{again.edge}/healthz").is_success


def test_a_port_that_is_taken_is_named(short_tmp: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RuntimeError, match="Address already in use"):
            start_dorami(short_tmp / "taken", "--edges", "2", "--edge-port", str(taken.getsockname()[1]))
