"""A viewer of video that does not read, beside one that does, in a whole Dorami."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from dorami_core.media.flv import FlvReader
from dorami_core.media.packets import MediaKind
from dorami_core.testing.server import RunningDorami, running_dorami

SETTINGS = {"DORAMI_MEDIA__VIEWER_QUEUE_MAX_BYTES": "300000", "DORAMI_MEDIA__VIEWER_CUT_S": "1"}
FRAME_MS = 34
LIMIT_S = 60


def ask(server: RunningDorami, *, receive_buffer: int = 0) -> socket.socket:
    where = urlsplit(server.edge)
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(LIMIT_S)
    sock.connect((where.hostname, where.port))
    sock.sendall(f"GET /live/live/demo.flv HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
    return sock


def cut_as_slow(server: RunningDorami) -> bool:
    lines = httpx.get(f"{server.web}/metrics").text.splitlines()
    skipped = [line for line in lines if line.startswith("dorami_relay_skipped{")]
    cut = [line for line in lines if line.startswith("dorami_edge_disconnects") and 'slow"' in line]
    return any(float(line.rpartition(" ")[2]) for line in skipped) and any(line.endswith(" 1.0") for line in cut)


def test_who_does_not_read_is_cut_by_name_and_nobody_else_notices(short_tmp: Path) -> None:
    with (
        running_dorami(short_tmp / "slow", "--demo", environ=SETTINGS) as server,
        ask(server, receive_buffer=4096) as slow,
        ask(server) as reading,
    ):
        data = reading.recv(65536)
        while b"\r\n\r\n" not in data:
            data += reading.recv(65536)
        reader = FlvReader()
        packets = reader.feed(data.partition(b"\r\n\r\n")[2])
        while not cut_as_slow(server):
            for _ in range(20):
                packets += reader.feed(reading.recv(65536))
        packets += reader.feed(reading.recv(65536))
        for sample in ("dorami_relay_cut", "dorami_relay_skipped"):
            assert server.metric(sample) == 1
        assert server.metric("dorami_relay_viewers") == 1
        assert slow.fileno() > 0
    times = [p.timestamp_ms for p in packets if p.kind is MediaKind.VIDEO and not p.is_sequence_header]
    steps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert len(steps) > 60
    assert all(0 < step <= FRAME_MS for step in steps), "each frame came, in its time"
