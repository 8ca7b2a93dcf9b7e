"""What happens when a peer does not read: who is dropped, who is cut, and that nothing is torn."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from dorami_core.edge.counters import EdgeCounters
from dorami_core.edge.outbox import Outbox, OutboxLimits
from dorami_core.edge.wheel import Ticket
from dorami_core.edge.wire import Chunk
from dorami_core.hooks.sockets import Delivery

pytestmark = pytest.mark.plain_trio
BLOCK = 50_000


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for sock in (ours, theirs):
            sock.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        yield ours, theirs


def watch(outbox: Outbox, at: float, watched: list[tuple[Outbox, float]]) -> Ticket:
    watched.append((outbox, at))
    return Ticket(outbox)


def fill(outbox: Outbox) -> bytes:
    """Sends one big chunk, of which the kernel takes a part."""
    data = b"<" + b"-" * BLOCK + b">"
    outbox.send_one(Chunk(data))
    assert 0 < outbox.queued_bytes < len(data)
    return data


async def read_all(sock: socket.socket) -> bytes:
    found = b""
    while True:
        await trio.lowlevel.wait_readable(sock)
        data = sock.recv(65536)
        if not data:
            return found
        found += data


async def test_what_the_kernel_takes_is_never_queued(pair: tuple[socket.socket, socket.socket]) -> None:
    async with trio.open_nursery() as nursery:
        outbox = Outbox(pair[0], nursery, OutboxLimits(100), EdgeCounters())
        outbox.send_one(Chunk(b"hello"))
        assert outbox.queued_bytes == 0
        assert pair[1].recv(100) == b"hello"
        assert not nursery.child_tasks


async def test_all_arrives_in_order_and_then_the_end(pair: tuple[socket.socket, socket.socket]) -> None:
    outbox = None
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            outbox = Outbox(pair[0], nursery, OutboxLimits(10_000_000), EdgeCounters())
            expected = fill(outbox)
            for number in range(300):
                chunks = [Chunk(b"%d:%d;" % (number, part) + b"." * 700) for part in range(3)]
                outbox.send(b"".join(chunk.data for chunk in chunks), chunks)
                expected += b"".join(chunk.data for chunk in chunks)
            outbox.finish()
            outbox.send_one(Chunk(b"too late"))
            assert await read_all(pair[1]) == expected
    assert outbox.queued_bytes == 0
    assert outbox.lost is None


async def test_latest_replaces_its_elder_and_takes_the_later_place(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    counters = EdgeCounters()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            outbox = Outbox(pair[0], nursery, OutboxLimits(10_000_000), counters)
            expected = fill(outbox)
            before = outbox.queued_bytes
            for number in range(1000):
                outbox.send_one(Chunk(b"[a%03d]" % number, Delivery.LATEST, "a"))
            outbox.send_one(Chunk(b"[b]", Delivery.LATEST, "b"))
            outbox.send_one(Chunk(b"[r]"))
            outbox.send_one(Chunk(b"[a!]", Delivery.LATEST, "a"))
            assert outbox.queued_bytes == before + len("[b][r][a!]")
            outbox.finish()
            assert await read_all(pair[1]) == expected + b"[b][r][a!]"
    assert counters.dropped == 1000


async def test_the_oldest_droppable_go_first(pair: tuple[socket.socket, socket.socket]) -> None:
    counters = EdgeCounters()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            outbox = Outbox(pair[0], nursery, OutboxLimits(BLOCK + 1000), counters)
            expected = fill(outbox)
            outbox.send_one(Chunk(b"[required]"))
            for number in range(3000):
                outbox.send_one(Chunk(b"[%04d]" % number, Delivery.DROPPABLE))
            assert outbox.lost is None
            assert outbox.queued_bytes <= BLOCK + 1000
            outbox.finish()
            got = await read_all(pair[1])
    kept = 3000 - counters.dropped
    assert 0 < kept < 3000
    tail = b"".join(b"[%04d]" % number for number in range(counters.dropped, 3000))
    assert got == expected + b"[required]" + tail


async def test_dropping_goes_on_after_some_were_sent(pair: tuple[socket.socket, socket.socket]) -> None:
    counters = EdgeCounters()
    async with trio.open_nursery() as nursery:
        outbox = Outbox(pair[0], nursery, OutboxLimits(BLOCK + 1000), counters)
        fill(outbox)
        for _ in range(20):
            for _ in range(300):
                outbox.send_one(Chunk(b"[%04d]" % 1, Delivery.DROPPABLE))
            try:
                while pair[1].recv(3000):
                    pass
            except BlockingIOError:
                await trio.testing.wait_all_tasks_blocked()
        assert outbox.lost is None
        nursery.cancel_scope.cancel()


async def test_required_beyond_the_bound_cuts(pair: tuple[socket.socket, socket.socket]) -> None:
    told = trio.Event()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            outbox = Outbox(pair[0], nursery, OutboxLimits(BLOCK + 1000), EdgeCounters(), told.set)
            fill(outbox)
            outbox.send_one(Chunk(b"d" * 500, Delivery.DROPPABLE))
            for _ in range(200):
                outbox.send_one(Chunk(b"r" * 100))
    assert outbox.lost == "queue_full"
    assert told.is_set()
    assert outbox.queued_bytes == 0
    assert pair[0].fileno() == -1
    outbox.send_one(Chunk(b"more"))
    outbox.finish()
    outbox.cut("again")
    assert outbox.lost == "queue_full"


async def test_a_peer_that_is_gone_is_no_error(pair: tuple[socket.socket, socket.socket]) -> None:
    async with trio.open_nursery() as nursery:
        outbox = Outbox(pair[0], nursery, OutboxLimits(1000), EdgeCounters())
        pair[1].close()
        outbox.send_one(Chunk(b"hello"))
        assert outbox.lost == "peer_reset"


async def test_a_peer_that_goes_while_we_wait_is_no_error(pair: tuple[socket.socket, socket.socket]) -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            outbox = Outbox(pair[0], nursery, OutboxLimits(10_000_000), EdgeCounters())
            fill(outbox)
            pair[1].close()
    assert outbox.lost == "peer_reset"


async def test_without_a_socket_everything_waits_to_be_taken() -> None:
    told: list[int] = []
    counters = EdgeCounters()
    async with trio.open_nursery() as nursery:
        outbox = Outbox(None, nursery, OutboxLimits(40), counters, lambda: told.append(1))
        assert outbox.take(100, bytes) == []
        for text in (b"aaaa", b"bbbb", b"cccc"):
            outbox.send_one(Chunk(text))
        assert len(told) == 3
        assert outbox.take(9, bytes) == [b"aaaa", b"bbbb"], "four, a byte between, four"
        assert outbox.queued_bytes == 4
        assert outbox.take(1, bytes) == [b"cccc"], "the first comes whatever its size"
        assert outbox.queued_bytes == 0
        for number in range(30):
            outbox.send_one(Chunk(b"[%02d]" % number, Delivery.DROPPABLE))
            outbox.send_one(Chunk(b"n%03d" % number, Delivery.LATEST, "n"))
        assert (outbox.queued_bytes, outbox.lost) == (40, None)
        assert outbox.take(1000, bytes) == [*[b"[%02d]" % number for number in range(21, 30)], b"n029"]
        assert not nursery.child_tasks


async def test_without_a_socket_the_bound_cuts_and_tells() -> None:
    told: list[str | None] = []
    async with trio.open_nursery() as nursery:
        outbox = Outbox(None, nursery, OutboxLimits(40), EdgeCounters(), lambda: told.append(outbox.lost))
        outbox.send_one(Chunk(b"r" * 40))
        outbox.send_one(Chunk(b"r"))
        assert told == [None, None, "queue_full"]
        outbox.send_one(Chunk(b"more"))
        assert (outbox.queued_bytes, outbox.take(100, bytes)) == (0, [])


@pytest.mark.parametrize("waiting", [0, 1, 300])
async def test_a_socket_gets_what_waited_first(pair: tuple[socket.socket, socket.socket], waiting: int) -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            outbox = Outbox(None, nursery, OutboxLimits(10_000_000), EdgeCounters())
            expected = b"".join(b"%d;" % number + b"." * 700 for number in range(waiting + 20))
            for number in range(waiting):
                outbox.send_one(Chunk(b"%d;" % number + b"." * 700))
            outbox.attach(pair[0])
            for number in range(waiting, waiting + 20):
                outbox.send_one(Chunk(b"%d;" % number + b"." * 700))
            outbox.finish()
            assert await read_all(pair[1]) == expected
    assert outbox.queued_bytes == 0


async def test_a_byte_that_has_waited_too_long_cuts_the_connection(
    pair: tuple[socket.socket, socket.socket], mock_clock: trio.testing.MockClock
) -> None:
    watched: list[tuple[Outbox, float]] = []
    limits = OutboxLimits(10_000_000, 20.0, lambda outbox, at: watch(outbox, at, watched))
    async with trio.open_nursery() as nursery:
        outbox = Outbox(pair[0], nursery, limits, EdgeCounters())
        fill(outbox)
        start = trio.current_time()
        assert watched == [(outbox, start + 20)]
        mock_clock.jump(19)
        outbox.send_one(Chunk(b"younger"))
        assert outbox.on_time(trio.current_time()) == start + 20
        assert outbox.lost is None
        mock_clock.jump(1)
        assert outbox.on_time(trio.current_time()) is None
        assert outbox.lost == "slow"
        assert len(watched) == 1


async def test_dropping_what_is_oldest_makes_nobody_younger(
    pair: tuple[socket.socket, socket.socket], mock_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        counters = EdgeCounters()
        outbox = Outbox(pair[0], nursery, OutboxLimits(2000, 20.0, lambda outbox, at: watch(outbox, at, [])), counters)
        while not outbox.queued_bytes:
            outbox.send_one(Chunk(b"[chat]" * 10, Delivery.DROPPABLE))
        for _ in range(19):
            mock_clock.jump(1)
            for _ in range(50):
                outbox.send_one(Chunk(b"[chat]" * 10, Delivery.DROPPABLE))
            await trio.testing.wait_all_tasks_blocked()
        assert counters.dropped > 500
        assert outbox.on_time(trio.current_time()) is not None
        mock_clock.jump(1)
        assert outbox.on_time(trio.current_time()) is None
        assert outbox.lost == "slow"


async def test_who_reads_slowly_but_reads_is_not_cut(
    pair: tuple[socket.socket, socket.socket], mock_clock: trio.testing.MockClock
) -> None:
    watched: list[tuple[Outbox, float]] = []
    limits = OutboxLimits(10_000_000, 20.0, lambda outbox, at: watch(outbox, at, watched))
    async with trio.open_nursery() as nursery:
        outbox = Outbox(pair[0], nursery, limits, EdgeCounters())
        fill(outbox)
        for _ in range(5):
            mock_clock.jump(15)
            outbox.send_one(Chunk(b"x" * BLOCK))
            while outbox.queued_bytes > BLOCK:
                pair[1].recv(65536)
                await trio.testing.wait_all_tasks_blocked()
            due = outbox.on_time(trio.current_time())
            assert due is not None
            assert due > trio.current_time()
        assert len(watched) == 1
        outbox.cut("done")


async def test_what_was_asked_for_may_wait_beyond_the_bound(pair: tuple[socket.socket, socket.socket]) -> None:
    async with trio.open_nursery() as nursery:
        outbox = Outbox(pair[0], nursery, OutboxLimits(1000), EdgeCounters())
        outbox.send(b"x" * BLOCK, [Chunk(b"x" * BLOCK)], is_asked=True)
        assert outbox.queued_bytes > 1000
        outbox.send_one(Chunk(b"y" * 500))
        assert outbox.lost is None
        for _ in range(30):
            outbox.send(b"x" * BLOCK, [Chunk(b"x" * BLOCK)], is_asked=True)
        assert outbox.lost == "queue_full", "but not without end"
