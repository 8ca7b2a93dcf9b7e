"""Every decoder of the edge: its declared errors alone, bounds that hold, and no difference in how bytes are cut."""

from __future__ import annotations

import random
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import hostile_bytes
import msgspec
import pytest
import trio
from edge_harness import client_frame
from hypothesis import given
from hypothesis import strategies as st
from soaking import Soak

from dorami_core.edge import engineio, payload, websocket
from dorami_core.edge.engineio import EngineError, Heartbeat
from dorami_core.edge.http1 import HEADER_MAX_BYTES, BadRequest, HttpConnection, Request
from dorami_core.edge.msgpack_packets import MsgpackDecoder
from dorami_core.edge.socketio import Decoder, Packet, PacketError
from dorami_core.edge.websocket import FrameParser, WebSocketError

MAX_BYTES = 1000
chances = st.integers(0, 2**63).map(random.Random)


def frame_outcome(reads: list[bytes]) -> list[websocket.Event | int]:
    """Events, and the close code where the bytes broke the protocol."""
    parser, found = FrameParser(MAX_BYTES), list[websocket.Event | int]()
    for data in reads:
        parser.feed(data)
        try:
            while (event := parser.next_event()) is not None:
                found.append(event)
        except WebSocketError as error:
            found.append(error.code)
    return found


def cuts(chance: random.Random, data: bytes) -> Iterator[list[bytes]]:
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    borders = sorted(chance.randint(0, len(data)) for _ in range(4))
    yield [data[a:b] for a, b in zip([0, *borders], [*borders, len(data)], strict=True)]


@given(chances, st.binary(max_size=200))
def test_frames_however_they_are_cut(chance: random.Random, noise: bytes) -> None:
    for data in (noise, hostile_bytes.frames(chance), hostile_bytes.packets(chance), hostile_bytes.msgpack(chance)):
        whole, *others = [frame_outcome(reads) for reads in cuts(chance, data)]
        assert all(other == whole for other in others), data
        codes = [found for found in whole if isinstance(found, int)]
        assert codes in ([], [1002], [1007], [1009])
        assert not codes or whole[-1] == codes[0]


def socketio_outcome(messages: list[str | bytes]) -> list[Packet | str]:
    decoder, found = Decoder(MAX_BYTES), list[Packet | str]()
    for message in messages:
        try:
            packet = decoder.feed(message)
        except PacketError:
            return [*found, "closed"]
        if packet is not None:
            found.append(packet)
    return found


@given(chances, st.text(max_size=50))
def test_socketio_text(chance: random.Random, noise: str) -> None:
    messages: list[str | bytes] = [noise]
    for _ in range(10):
        raw = hostile_bytes.maybe_spoiled(chance, chance.choice(hostile_bytes.PACKETS)[1:].encode())
        messages.append(raw.decode("utf-8", "replace") if chance.random() < 0.8 else raw)
    chance.shuffle(messages)
    for packet in socketio_outcome(messages):
        if isinstance(packet, Packet):
            assert packet.namespace.startswith("/")
            assert packet.id is None or 0 <= packet.id < 10**15


@given(chances)
def test_msgpack_packets(chance: random.Random) -> None:
    for valid in hostile_bytes.MSGPACK:
        try:
            packet = MsgpackDecoder().feed(hostile_bytes.spoil(chance, valid))
        except PacketError:
            continue
        assert packet is not None
        msgspec.json.encode(packet.data)  # what JSON could have said, and bytes


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(-9, 9), inner, max_size=4),
    max_leaves=12,
)


@given(kind=json_like, namespace=json_like, number=json_like, data=json_like)
def test_msgpack_maps_of_anything(kind: Any, namespace: Any, number: Any, data: Any) -> None:
    for fields in (
        {"type": kind, "nsp": namespace, "id": number, "data": data},
        {"type": 2, "nsp": "/", "id": number, "data": ["event", data]},
        {"type": 2, "nsp": namespace, "data": data},
    ):
        try:
            packet = MsgpackDecoder().feed(msgspec.msgpack.encode(fields))
        except PacketError:
            continue
        assert isinstance(packet, Packet)
        msgspec.json.encode(packet.data)


@given(st.text(max_size=10) | st.binary(max_size=10))
def test_engineio_packets(noise: str | bytes) -> None:
    try:
        found = engineio.receive(noise, Heartbeat(0, 25, 20), 1)
    except EngineError:
        return
    assert found is None or isinstance(found, (engineio.Message, engineio.ClosePacket))


@given(chances, st.binary(max_size=80))
def test_payloads(chance: random.Random, noise: bytes) -> None:
    for body in (noise, hostile_bytes.bodies(chance), hostile_bytes.bodies(chance)):
        try:
            parts = list(payload.split(body))
        except EngineError:
            continue
        assert sum(map(len, parts)) <= len(body)


async def head_outcome(reads: list[bytes]) -> list[Request | int | None]:
    """Requests of one connection up to its end, or the status of the refusal."""
    ours, theirs = socket.socketpair()
    found: list[Request | int | None] = []
    with ours, theirs:
        ours.setblocking(False)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))

        async def send() -> None:
            try:
                for data in reads:
                    await stream.send_all(data)
                    await trio.lowlevel.checkpoint()
                await stream.send_eof()
            except trio.BrokenResourceError:
                return

        connection = HttpConnection(ours, "127.0.0.1")
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                try:
                    while (request := await connection.next_request()) is not None:
                        found.append(request)
                        if request.method == "POST":
                            await connection.read_body(request, MAX_BYTES)
                        if not await connection.respond(request, 204, []):
                            break
                    else:
                        found.append(None)
                except BadRequest as bad:
                    found.append(bad.status)
                nursery.cancel_scope.cancel()
    return found


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /\n\r\nGET /more HTTP/1.1\r\n\r\n", 505),  # a request of HTTP/0.9 is one line
        (b"GET / HTTP/0.9\r\n\r\n", 505),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\nmore", 400),
    ],
)
async def test_heads_that_are_none_of_ours(data: bytes, status: int) -> None:
    for reads in cuts(random.Random(1), data):
        assert await head_outcome(reads) == [status]


@pytest.mark.soak
async def test_request_heads_however_they_are_cut(soak: Soak) -> None:
    for turn in soak.rounds(150):
        seed = f"{soak.seed}:{turn}"
        chance = random.Random(seed)
        data = hostile_bytes.heads(chance)
        whole, *others = [await head_outcome(reads) for reads in cuts(chance, data)]
        assert all(other == whole for other in others), (seed, data)
        for request in whole:
            if isinstance(request, Request):
                size = sum(len(name) + len(value) for name, value in request.headers.items())
                assert size <= HEADER_MAX_BYTES
                assert request.lang in ("ko", "en")
                assert request.cookie("access_token") is None
                assert isinstance(request.wants_websocket, bool)
            elif request is not None:
                assert 400 <= request < 600, (seed, data)


def peak_of(call: Callable[[Any], object], data: Any) -> int:
    """Bytes beside `data` itself."""
    tracemalloc.start()
    try:
        call(data)
    except (WebSocketError, EngineError, PacketError):
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def feed_frames(data: bytes) -> None:
    parser = FrameParser(BIG)
    for at in range(0, len(data), 65536):
        parser.feed(data[at : at + 65536])
        while parser.next_event() is not None:
            pass


def feed_payload(body: bytes) -> None:
    for _ in payload.split(body):
        pass


def feed_text(text: str) -> None:
    Decoder(BIG).feed(text)


def feed_msgpack(message: bytes) -> None:
    MsgpackDecoder().feed(message)


BIG = 1_000_000
MAP = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data"


@pytest.mark.parametrize(
    ("call", "data", "bound"),
    [
        # lengths that promise more than there is
        (feed_frames, b"\x82\xff" + BIG.to_bytes(8, "big") + b"\0" * 100, 10_000),
        (feed_frames, b"\x82\xff" + (2**62).to_bytes(8, "big"), 10_000),
        (feed_msgpack, MAP + b"\xdd\xff\xff\xff\xff", 10_000),
        (feed_msgpack, MAP + b"\xdf\xff\xff\xff\xff", 10_000),
        (feed_msgpack, MAP + b"\xc6\xff\xff\xff\xff", 10_000),
        # what is there, in many small parts or a few large ones
        (feed_frames, client_frame(2, b"", final=False) + client_frame(0, b"x", final=False) * 20_000, 500_000),
        (feed_frames, client_frame(1, b"\xc3\xa9" * (BIG // 2)), 5 * BIG),
        (feed_frames, client_frame(9, b"x" * 125) * 5000, 500_000),
        (feed_payload, b"6\x1e" * 20_000, 500_000),
        (feed_payload, b"b" + b"A" * BIG, 4 * BIG),
        (feed_text, '2["a",' + "[" * BIG, 3 * BIG),
        (feed_text, "2" + "1" * BIG, 3 * BIG),
        (feed_text, "0/" + "n" * BIG, 3 * BIG),
        (feed_msgpack, MAP + b"\x91" * BIG, 3 * BIG),
    ],
    ids=lambda value: "" if isinstance(value, (bytes, str)) else None,
)
def test_memory_follows_what_was_received(call: Callable[[Any], object], data: Any, bound: int) -> None:
    assert peak_of(call, data) < bound


def test_a_long_number_is_not_read_to_its_end() -> None:
    class Watched(str):
        reads = 0

        def __getitem__(self, key: Any) -> str:
            Watched.reads += 1
            return str.__getitem__(self, key)

    with pytest.raises(PacketError):
        Decoder(BIG).feed(Watched("2" + "1" * 10_000))
    assert Watched.reads < 100


def test_attachments_are_bounded_together() -> None:
    decoder = Decoder(BIG)
    decoder.feed('510-["e"]')
    for _ in range(4):
        assert decoder.feed(b"x" * (BIG // 4)) is None
    with pytest.raises(PacketError):
        decoder.feed(b"x")
