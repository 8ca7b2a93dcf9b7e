"""The load client's own parts: what it would get wrong, it would report of the server."""

from __future__ import annotations

import argparse
import contextlib
import math
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from bench.bounds import LIMITS, with_bounds
from bench.client import Address
from bench.frames import BINARY, TEXT, FrameReader, frame
from bench.lists import Tally
from bench.loop import Loop
from bench.picture import _decades
from bench.report import Outcome, percentile
from bench.scripts import Refused, Script, join_chat
from bench.viewers import MARK, Viewer, read_stamp, stamp
from dorami_core.edge.websocket import FrameParser, Opcode, Text, encode_frame

WAIT_S = 60.0
MESSAGE = b'42/chat,["chat:message",{"message":"%s"}]'
PING = encode_frame(Opcode.TEXT, b"2")


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def let_in(say: object) -> Script:
    packet = yield
    return packet


class Server:
    """The other end of one viewer, already upgraded and let in. Both live in one thread, so nothing here blocks."""

    def __init__(self, loop: Loop, is_sample: bool) -> None:
        self._loop = loop
        self.lost: list[str] = []
        joined: list[Viewer] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            where = Address.of(f"http://127.0.0.1:{listener.getsockname()[1]}")
            self.viewer = Viewer(
                loop,
                where,
                let_in,
                on_joined=joined.append,
                on_lost=lambda _, reason: self.lost.append(reason),
                is_sample=is_sample,
            )
            self.sock, _ = listener.accept()
        self.sock.setblocking(False)
        self.data = b""
        assert loop.run(lambda: self.read().endswith(b"\r\n\r\n"), WAIT_S)
        self.data = b""
        self.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + encode_frame(Opcode.TEXT, b"40"))
        assert loop.run(lambda: bool(joined), WAIT_S)

    def read(self) -> bytes:
        """All that has come so far."""
        with contextlib.suppress(BlockingIOError):
            self.data += self.sock.recv(4096)
        return self.data

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@pytest.fixture
def serve(loop: Loop) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(is_sample: bool = False) -> Server:
        servers.append(Server(loop, is_sample))
        return servers[-1]

    yield start
    for server in servers:
        server.viewer.close()
        server.sock.close()


def test_frames_are_read_however_they_are_cut() -> None:
    sent = [(TEXT, b""), (TEXT, b"x" * 125), (BINARY, b"y" * 126), (TEXT, b"z" * 70000), (TEXT, b"end")]
    data = b"".join(encode_frame(opcode, payload) for opcode, payload in sent)
    for size in (1, 2, 3, 1000, len(data)):
        reader = FrameReader()
        found = [item for at in range(0, len(data), size) for item in reader.feed(data[at : at + size])]
        assert found == sent
        assert reader.rest == b""


@pytest.mark.parametrize("data", [b"\x01\x01x", b"\xc1\x01x", b"\x81\x81xxxx"], ids=["fragment", "extended", "masked"])
def test_what_no_server_of_ours_sends_is_an_error(data: bytes) -> None:
    with pytest.raises(ConnectionError):
        FrameReader().feed(data)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_a_server_reads_what_the_client_frames(size: int) -> None:
    parser = FrameParser(100_000)
    parser.feed(frame(b"a" * size))
    assert parser.next_event() == Text("a" * size)


@pytest.mark.parametrize("is_sample", [False, True])
def test_a_viewer_counts_each_message_once_however_it_is_cut(
    loop: Loop, serve: Callable[..., Server], is_sample: bool
) -> None:
    server = serve(is_sample)
    data = b"".join(encode_frame(Opcode.TEXT, MESSAGE % stamp(number).encode()) for number in range(3))
    viewer = server.viewer
    for at in range(len(data)):
        server.sock.sendall(data[at : at + 1])
        loop.run(lambda: False, 0.0005)  # each byte is read by itself, or it does not matter
    assert loop.run(lambda: viewer.received == 3, WAIT_S)
    server.sock.sendall(data)
    assert loop.run(lambda: viewer.received == 6, WAIT_S)
    assert viewer.numbers == ([0, 1, 2, 0, 1, 2] if is_sample else [])
    assert len(viewer.samples) == len(viewer.numbers)
    assert all(latency_ns > 0 for _, latency_ns in viewer.samples)


@pytest.mark.parametrize("is_sample", [False, True])
def test_a_viewer_answers_each_ping_once(loop: Loop, serve: Callable[..., Server], is_sample: bool) -> None:
    server = serve(is_sample)
    message = encode_frame(Opcode.TEXT, MESSAGE % b"bench:1:1")
    pong = len(frame(b"3"))
    server.sock.sendall(message + PING)
    assert loop.run(lambda: server.viewer.received == 1, WAIT_S)
    server.sock.sendall(message)  # the ping is still in the viewer's tail
    assert loop.run(lambda: server.viewer.received == 2, WAIT_S)
    server.sock.sendall(PING[:2])
    loop.run(lambda: False, 0.01)
    server.sock.sendall(PING[2:] + message)
    assert loop.run(lambda: server.viewer.received == 3, WAIT_S)
    assert loop.run(lambda: len(server.read()) >= 2 * pong, WAIT_S)
    parser = FrameParser(1000)
    parser.feed(server.data)
    assert [parser.next_event(), parser.next_event(), parser.next_event()] == [Text("3"), Text("3"), None]


def test_a_viewer_that_stalls_still_hears_of_its_end(loop: Loop, serve: Callable[..., Server]) -> None:
    server = serve()
    server.viewer.stall()
    server.sock.sendall(encode_frame(Opcode.TEXT, MESSAGE % b"bench:1:1"))
    server.reset()
    assert loop.run(lambda: bool(server.lost), WAIT_S)
    assert server.viewer.received == 0
    assert not server.viewer.is_open


def test_a_refusal_ends_the_script() -> None:
    said: list[str] = []
    script = join_chat(said.append, "a-stream")
    next(script)
    with pytest.raises(Refused):
        script.send('44/chat,{"message":"no"}')
    script = join_chat(said.append, "a-stream")
    next(script)
    script.send('40/chat,{"sid":"1"}')
    with pytest.raises(Refused):
        script.send('43/chat,0[{"ok":false,"errorCode":"STREAM_NOT_FOUND"}]')


def test_timers_run_in_order_and_a_run_ends_by_its_limit(loop: Loop) -> None:
    ran: list[int] = []
    now = time.monotonic()
    for number in (2, 0, 1):
        loop.at(now + number / 1000, lambda number=number: ran.append(number))
    assert loop.run(lambda: len(ran) == 3, WAIT_S)
    assert ran == [0, 1, 2]
    assert not loop.run(lambda: False, 0.01)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 1, 2, 3], Tally()),
        ([0, 1, 3], Tally(gaps=1, missing=1)),
        ([0, 1, 1, 2, 3], Tally(duplicates=1)),
        ([0, 2, 1, 3], Tally(disordered=1)),
        ([3, 0, 0], Tally(gaps=1, missing=2, duplicates=1, disordered=1)),
    ],
)
def test_a_list_is_judged_by_that_of_who_never_left(numbers: list[int], expected: Tally) -> None:
    tally = Tally()
    tally.judge(numbers, [0, 1, 2, 3])
    assert tally == expected


def test_bounds_are_asked_under_their_own_load_only() -> None:
    outcome = Outcome({"latency_p99_ms": 30.0}, {"cpu_us_per_delivery / peer": 0.5})
    held = with_bounds("fanout", argparse.Namespace(viewers=1000, rate=10.0), outcome).bounds
    assert [(bound.figure, bound.is_held) for bound in held] == [
        ("cpu_us_per_delivery / peer", True),
        ("latency_p99_ms", False),
    ]
    assert not with_bounds("fanout", argparse.Namespace(viewers=999, rate=10.0), outcome).bounds
    assert {bench for bench, _, _ in LIMITS} == {
        "fanout", "joinstorm", "slow-consumers", "reconnect", "flashsale", "expiry", "relay", "latency", "hls", "clips"
    }  # fmt: skip


def test_a_stamp_is_read_back() -> None:
    before = time.monotonic_ns()
    found = read_stamp(MESSAGE % (stamp(7) + " xxx").encode())
    assert found is not None
    assert found[0] == 7
    assert before <= found[1] <= time.monotonic_ns()
    assert read_stamp(MARK) is None


def test_the_axis_holds_what_is_drawn() -> None:
    for low, high in ((0.3, 0.4), (1, 1), (7, 12000), (0.001, 0.002)):
        ticks = _decades(low, high)
        assert len(ticks) >= 2
        assert ticks[0] <= max(low, 0.01)
        assert ticks[-1] >= high
        assert all(math.isfinite(tick) for tick in ticks)
    assert percentile([], 0.99) == 0
