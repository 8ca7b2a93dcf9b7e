"""The server over sockets and in-memory streams: the gate's order, refusals, misbehaviour, silence, the end."""

from __future__ import annotations

import socket

import pytest
import structlog
import trio
import trio.testing
from rtmp_parts import AVC_HEADER, FRAME, KEYFRAME, METADATA, SECRET, FakeGate, video

from dorami_core.base.settings import RtmpSettings
from dorami_core.ingest import commands as cmd
from dorami_core.ingest.chunks import ChunkWriter
from dorami_core.ingest.client import PublishFailed, open_publisher
from dorami_core.ingest.commands import Command
from dorami_core.ingest.limits import AddressBook, RtmpLimits
from dorami_core.ingest.messages import Message
from dorami_core.ingest.server import RtmpServer
from dorami_core.media.packets import MediaKind, MediaPacket

pytestmark = pytest.mark.plain_trio

HOST = "127.0.0.1"


def make_server(gate: FakeGate, limits: RtmpLimits | None = None) -> RtmpServer:
    return RtmpServer(gate, RtmpSettings(), limits=limits or RtmpLimits())


async def start(nursery: trio.Nursery, server: RtmpServer) -> int:
    port = await nursery.start(server.serve, HOST, 0)
    assert isinstance(port, int)
    return port


async def read_to_end(stream: trio.abc.ReceiveStream) -> bytes:
    data = b""
    try:
        while part := await stream.receive_some(65536):
            data += part
    except trio.BrokenResourceError:
        pass
    return data


async def read_until(stream: trio.abc.ReceiveStream, mark: bytes, times: int = 1) -> bytes:
    data = b""
    while data.count(mark) < times:
        part = await stream.receive_some(65536)
        assert part, f"closed before {mark!r}"
        data += part
    return data


def opening(key: str = "key?secret=s3cr%2Bt%2F%3D") -> bytes:
    """Everything a hasty encoder could say up to `publish`, without waiting for an answer."""
    writer = ChunkWriter()
    commands = [
        (Command("connect", 1, {"app": "live"}), 0),
        (Command("createStream", 2), 0),
        (Command("publish", 3, None, (key, "live")), 1),
    ]
    return b"\x03" + bytes(3072) + b"".join(writer.write(cmd.encode_command(c, stream), 3) for c, stream in commands)


def media(packet: MediaPacket) -> bytes:
    return ChunkWriter().write(Message(int(packet.kind), 1, packet.timestamp_ms, packet.payload), 4)


async def test_packets_reach_the_publication(nursery: trio.Nursery) -> None:
    gate = FakeGate()
    server = make_server(gate)
    port = await start(nursery, server)
    packets = [
        MediaPacket(MediaKind.DATA, 0, METADATA),
        video(AVC_HEADER),
        video(KEYFRAME, 5),
        video(FRAME * 2000, 38),
        MediaPacket(MediaKind.AUDIO, 2**32 - 1, b"\xaf\x01sound"),
    ]
    publisher = await open_publisher(nursery, HOST, port, "key-1", SECRET)
    assert server.statistics().publishers == 1
    for packet in packets:
        await publisher.send(packet)
    await publisher.close()
    await gate.last.left.wait()
    assert gate.last.packets == packets
    assert gate.last.finished
    request = gate.requests[0]
    assert (request.stream_key, request.secret, request.address) == ("key-1", SECRET, HOST)
    assert "Dorami" in request.encoder
    assert request.client_id
    numbers = server.statistics()
    assert (numbers.accepted, numbers.packets_in, numbers.lost, numbers.errors) == (1, 5, 0, 0)
    assert numbers.bytes_in > sum(len(packet.payload) for packet in packets)


async def test_start_is_said_after_the_gate(nursery: trio.Nursery) -> None:
    gate = FakeGate(waiting=True)
    server = make_server(gate)
    port = await start(nursery, server)
    stream = await trio.open_tcp_stream(HOST, port)
    async with stream:
        await stream.send_all(opening())
        await gate.asked.wait()
        heard = await read_until(stream, b"Connect.Success")
        await trio.testing.wait_all_tasks_blocked()
        assert b"NetStream.Publish.Start" not in heard
        assert server.statistics().publishers == 0
        gate.answer.set()
        await read_until(stream, b"NetStream.Publish.Start")
        assert gate.entered.is_set()


async def test_the_round_trip_is_measured(nursery: trio.Nursery) -> None:
    gate = FakeGate()
    port = await start(nursery, make_server(gate))
    publisher = await open_publisher(nursery, HOST, port, "key", SECRET)
    await publisher.send(video())
    await gate.last.wait_round_trip()
    assert 0 < gate.last.round_trips[0] < 60
    await publisher.close()


async def test_media_sent_without_waiting_is_not_lost(nursery: trio.Nursery) -> None:
    gate = FakeGate()
    port = await start(nursery, make_server(gate))
    async with await trio.open_tcp_stream(HOST, port) as stream:
        await stream.send_all(opening() + media(video(AVC_HEADER)) + media(video(KEYFRAME)))
        await gate.entered.wait()
        await gate.last.wait_packets(2)
    await gate.last.left.wait()
    assert gate.last.packets == [video(AVC_HEADER), video(KEYFRAME)]
    assert not gate.last.finished


@pytest.mark.parametrize("code", ["unknown_key", "busy", "ended"])
async def test_refused(nursery: trio.Nursery, code: str) -> None:
    gate = FakeGate(refuse_with=code)  # type: ignore[arg-type]
    server = make_server(gate)
    port = await start(nursery, server)
    with structlog.testing.capture_logs() as logs:
        with pytest.raises(PublishFailed, match="refused") as failure:
            await open_publisher(nursery, HOST, port, "key", SECRET)
        assert failure.value.code == "NetStream.Publish.Rejected"
        while server.statistics().connections:
            await trio.testing.wait_all_tasks_blocked(0.01)
    assert gate.publications == []
    assert server.statistics().refused == 1
    assert server.statistics().lost == 0
    assert [line["code"] for line in logs if line["event"] == "publisher refused"] == [code]


async def test_wrong_secret_is_refused_and_not_logged(nursery: trio.Nursery) -> None:
    gate = FakeGate()
    port = await start(nursery, make_server(gate))
    with structlog.testing.capture_logs() as logs:
        with pytest.raises(PublishFailed):
            await open_publisher(nursery, HOST, port, "key", "hunter2")
        publisher = await open_publisher(nursery, HOST, port, "key", SECRET)
        await publisher.close()
        await gate.last.left.wait()
    assert gate.requests[0].secret == "hunter2"
    assert logs
    assert "hunter2" not in str(logs)
    assert SECRET not in str(logs)
    assert "hunter2" not in repr(gate.requests)


async def test_lost_without_a_goodbye(nursery: trio.Nursery) -> None:
    gate = FakeGate()
    server = make_server(gate)
    port = await start(nursery, server)
    publisher = await open_publisher(nursery, HOST, port, "key", SECRET)
    await publisher.send(video(KEYFRAME))
    await gate.last.wait_packets(1)
    await publisher.abort()
    await gate.last.left.wait()
    assert not gate.last.finished
    assert server.statistics().lost == 1


async def test_cut_by_the_core(nursery: trio.Nursery) -> None:
    gate = FakeGate()
    port = await start(nursery, make_server(gate))
    publisher = await open_publisher(nursery, HOST, port, "key", SECRET)
    other = await open_publisher(nursery, HOST, port, "other", SECRET)
    gate.publications[0].cut("ended")
    failure = await publisher.wait_closed()
    assert failure.code == "NetStream.Publish.Rejected"
    with pytest.raises(PublishFailed):
        await publisher.send(video())
    await publisher.abort()
    assert not gate.publications[0].finished
    await other.send(video())
    await gate.publications[1].wait_packets(1)
    await other.close()


async def test_publishing_again_on_one_connection(nursery: trio.Nursery) -> None:
    gate = FakeGate()
    port = await start(nursery, make_server(gate))
    writer = ChunkWriter()
    async with await trio.open_tcp_stream(HOST, port) as stream:
        again = [
            (Command("deleteStream", 4, None, (1,)), 0),
            (Command("createStream", 5), 0),
            (Command("publish", 6, None, ("key?secret=s3cr%2Bt%2F%3D", "live")), 2),
        ]
        rest = b"".join(writer.write(cmd.encode_command(command, number), 3) for command, number in again)
        await stream.send_all(opening() + media(video()) + rest)
        await read_until(stream, b"NetStream.Publish.Start", times=4)  # onFCPublish and onStatus, twice
    await gate.last.left.wait()
    assert [recorder.finished for recorder in gate.publications] == [True, False]
    assert [len(recorder.packets) for recorder in gate.publications] == [1, 0]


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x03" + bytes(3072) + b"\xff" * 100])
async def test_garbage_is_cut_and_counted(nursery: trio.Nursery, garbage: bytes) -> None:
    gate = FakeGate()
    server = make_server(gate)
    port = await start(nursery, server)
    good = await open_publisher(nursery, HOST, port, "key", SECRET)
    async with await trio.open_tcp_stream(HOST, port) as stream:
        await stream.send_all(garbage)
        await read_to_end(stream)
    assert server.statistics().protocol_errors == 1
    await good.send(video())
    await gate.last.wait_packets(1)
    await good.close()


async def test_hundred_megabytes_are_cut_at_the_header(nursery: trio.Nursery) -> None:
    gate = FakeGate()
    server = RtmpServer(gate, RtmpSettings(max_message_bytes=10_000_000))
    port = await start(nursery, server)
    publisher = await open_publisher(nursery, HOST, port, "key", SECRET)
    await publisher.send_raw(b"\x06\x00\x00\x00\xff\xff\xff\x09\x01\x00\x00\x00")
    assert (await publisher.wait_closed()).code == "closed"
    await publisher.abort()
    await gate.last.left.wait()
    assert server.statistics().protocol_errors == 1
    assert server.statistics().bytes_in < 10_000
    assert not gate.last.finished


async def test_an_error_of_one_publication_stays_its_own(nursery: trio.Nursery) -> None:
    gate = FakeGate()
    server = make_server(gate)
    port = await start(nursery, server)
    bad = await open_publisher(nursery, HOST, port, "bad", SECRET)
    good = await open_publisher(nursery, HOST, port, "good", SECRET)
    gate.publications[0].error = RuntimeError("no room")
    with structlog.testing.capture_logs() as logs:
        await bad.send(video())
        await bad.wait_closed()
        await bad.abort()
    assert server.statistics().errors == 1
    assert any(line["log_level"] == "error" for line in logs)
    await good.send(video())
    await gate.publications[1].wait_packets(1)
    await good.close()


async def test_connections_are_bounded(nursery: trio.Nursery) -> None:
    gate = FakeGate()
    server = make_server(gate, RtmpLimits(max_connections=1))
    port = await start(nursery, server)
    publisher = await open_publisher(nursery, HOST, port, "key", SECRET)
    async with await trio.open_tcp_stream(HOST, port) as stream:
        assert await read_to_end(stream) == b""
    assert server.statistics().turned_away == 1
    await publisher.close()
    while server.statistics().connections:
        await trio.testing.wait_all_tasks_blocked(0.01)
    await (await open_publisher(nursery, HOST, port, "key", SECRET)).close()


def test_addresses_are_bounded_but_exempt_ones() -> None:
    book = AddressBook(2, exempt=["127.0.0.1", "10.0.0.0/8"])
    assert [book.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert all(book.enter(address) for address in ["10.1.2.3", "127.0.0.1"] * 5)
    book.leave("192.0.2.1")
    assert book.enter("192.0.2.1")
    with pytest.raises(ValueError, match="does not appear"):
        AddressBook(2, exempt=["nonsense"])


async def test_cancelling_ends_publications_as_lost() -> None:
    gate = FakeGate()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(RtmpServer(gate, RtmpSettings()).serve, HOST, 0)
        publisher = await open_publisher(nursery, HOST, port, "key", SECRET)
        await publisher.send(video())
        await gate.last.wait_packets(1)
        nursery.cancel_scope.cancel()
    assert gate.last.left.is_set()
    assert not gate.last.finished
    with trio.CancelScope() as scope:
        await publisher.abort()
    assert not scope.cancelled_caught


async def test_nagle_is_off(nursery: trio.Nursery) -> None:
    seen: list[int] = []
    server = make_server(FakeGate())
    serve_stream = server.serve_stream

    async def spy(stream: trio.SocketStream) -> None:
        seen.append(stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        await serve_stream(stream)

    server.serve_stream = spy  # type: ignore[method-assign, assignment]
    port = await start(nursery, server)
    async with await trio.open_tcp_stream(HOST, port) as stream:
        await stream.send_all(b"\x00")
        await read_to_end(stream)
    assert seen == [1]


async def serve_in_memory(
    nursery: trio.Nursery, server: RtmpServer
) -> tuple[trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream], trio.Event]:
    ours, theirs = trio.testing.memory_stream_pair()
    closed = trio.Event()

    async def serve() -> None:
        await server.serve_stream(theirs)
        closed.set()

    nursery.start_soon(serve)
    return ours, closed


@pytest.mark.parametrize(
    ("data", "after_s"),
    [(b"", 5), (b"\x03" + bytes(1000), 5), (b"\x03" + bytes(3072), 10), (opening(), 10)],
    ids=["nothing", "half a handshake", "no connect", "no media"],
)
async def test_silence_is_cut(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery, data: bytes, after_s: float
) -> None:
    gate = FakeGate()
    server = make_server(gate)
    start_time = trio.current_time()
    ours, closed = await serve_in_memory(nursery, server)
    if data:
        await ours.send_all(data)
    await closed.wait()
    # within the second that is left for reading the last status
    assert after_s <= trio.current_time() - start_time <= after_s + 1.1
    assert server.statistics().stalled == 1
    assert not any(recorder.finished for recorder in gate.publications)


async def test_a_drip_does_not_hold_the_door(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    server = make_server(FakeGate())
    ours, closed = await serve_in_memory(nursery, server)

    async def drip() -> None:
        try:
            await ours.send_all(b"\x03")
            while True:
                await ours.send_all(b"\x00")
                await trio.sleep(1)
        except trio.BrokenResourceError:
            return

    nursery.start_soon(drip)
    await closed.wait()
    assert trio.current_time() < 7


async def test_stalled_publisher_is_cut_and_one_that_sends_is_not(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    gate = FakeGate()
    server = make_server(gate)
    ours, closed = await serve_in_memory(nursery, server)
    await ours.send_all(opening())
    await gate.entered.wait()
    for _ in range(5):
        await ours.send_all(media(video()))
        await trio.sleep(9)
    assert not closed.is_set()
    last = trio.current_time() - 9
    await closed.wait()
    assert 10 <= trio.current_time() - last <= 11.1
    assert len(gate.last.packets) == 5
    assert not gate.last.finished


async def test_a_gate_that_does_not_answer(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    gate = FakeGate(waiting=True)
    server = make_server(gate)
    ours, closed = await serve_in_memory(nursery, server)
    await ours.send_all(opening())
    await closed.wait()
    assert trio.current_time() == pytest.approx(11, abs=0.2)
    assert b"NetStream.Publish.Rejected" in await read_to_end(ours)
    assert server.statistics().refused == 1


async def test_a_peer_that_does_not_read_is_cut(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    gate = FakeGate()
    server = make_server(gate)
    ours, theirs = trio.testing.lockstep_stream_pair()
    closed = trio.Event()

    async def serve() -> None:
        await server.serve_stream(theirs)
        closed.set()

    nursery.start_soon(serve)
    await ours.send_all(b"\x03" + bytes(1536))
    await closed.wait()
    assert trio.current_time() == pytest.approx(5, abs=0.2)
