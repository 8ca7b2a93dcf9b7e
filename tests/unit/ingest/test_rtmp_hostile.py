"""Hostile publishers, one after another, beside one who just publishes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from urllib.parse import quote

import pytest
import trio
from hostile_publishers import ATTACKS, Attack, Victim, never_reads
from rtmp_parts import AVC_HEADER, FRAME, KEYFRAME, SECRET, video
from soaking import Soak

from dorami_core.base.settings import RtmpSettings
from dorami_core.ingest.client import RtmpPublisher, open_publisher
from dorami_core.ingest.gate import PublishRefused, PublishRequest
from dorami_core.ingest.limits import RtmpLimits
from dorami_core.ingest.server import RtmpServer
from dorami_core.ingest.session import ServerSession
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.testing.waiting import becomes

pytestmark = pytest.mark.plain_trio

HOST = "127.0.0.1"
HOSTILE = 72
WARM_UP = 27
GROWTH_BYTES = 500_000
"""Of all Python objects, for all of them together: a tenth of what one of them may have waiting."""
MAX_MESSAGE_BYTES = 4_000_000
LIMITS = RtmpLimits(handshake_s=0.5, publish_s=0.5, linger_s=0.1)


class Taken:
    """A publication that keeps what its own publisher sent, or only counts."""

    def __init__(self, *, keeps: bool) -> None:
        self.packets: list[MediaPacket] = []
        self.count = 0
        self._keeps = keeps
        self._news = trio.Event()

    def write(self, packet: MediaPacket) -> None:
        self.count += 1
        if self._keeps:
            self.packets.append(packet)
            self._news.set()
            self._news = trio.Event()

    def finish(self) -> None:
        pass

    def note_round_trip(self, seconds: float) -> None:
        assert seconds >= 0

    def note_codec(self, kind: MediaKind, codec: str) -> None:
        assert codec

    async def wait_cut(self) -> str:
        await trio.sleep_forever()
        raise AssertionError

    async def wait_packets(self, count: int) -> None:
        while len(self.packets) < count:
            await self._news.wait()


class Gate:
    def __init__(self) -> None:
        self.good = Taken(keeps=True)
        self.let_in = 0

    @asynccontextmanager
    async def publish(self, request: PublishRequest) -> AsyncIterator[Taken]:
        if request.secret != SECRET:
            raise PublishRefused("wrong_secret")
        if request.stream_key == "good":
            yield self.good
        else:
            self.let_in += 1
            yield Taken(keeps=False)


def allocated_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


async def quiet(server: RtmpServer) -> None:
    """Waits until the good publisher is the only connection."""
    await becomes(lambda: server.statistics().connections <= 1)


async def publish_one(gate: Gate, publisher: RtmpPublisher, number: int) -> MediaPacket:
    packet = video((KEYFRAME if number % 30 == 0 else FRAME) + number.to_bytes(4, "big"), number * 33)
    await publisher.send(packet)
    with trio.fail_after(60):
        await gate.good.wait_packets(number + 2)
    return packet


@asynccontextmanager
async def running(gate: Gate) -> AsyncIterator[tuple[RtmpServer, Victim, RtmpPublisher]]:
    settings = RtmpSettings(max_message_bytes=MAX_MESSAGE_BYTES)
    server = RtmpServer(gate, settings, limits=LIMITS)
    async with trio.open_nursery() as nursery:
        port: int = await nursery.start(server.serve, HOST, 0)
        publisher = await open_publisher(nursery, HOST, port, "good", SECRET)
        await publisher.send(video(AVC_HEADER))
        yield server, Victim(port, f"hostile?secret={quote(SECRET, safe='')}"), publisher
        await publisher.close()
        nursery.cancel_scope.cancel()


@pytest.mark.soak
async def test_hostile_publishers_take_no_memory_and_no_frame(soak: Soak, traced: None) -> None:
    """The seed of each is its number, so that they are the same in every run; `make soak` has more of them."""
    gate, sent = Gate(), []
    async with running(gate) as (server, victim, publisher):
        before = 0
        for number in soak.rounds(HOSTILE):
            chance = Random(number)
            with trio.fail_after(60):
                await ATTACKS[number % len(ATTACKS)](victim, chance)
            sent.append(await publish_one(gate, publisher, number))
            if number == WARM_UP:
                await quiet(server)
                before = allocated_bytes()
        await quiet(server)
        assert allocated_bytes() - before < GROWTH_BYTES
        statistics = server.statistics()
    assert gate.good.packets[1:] == sent
    assert statistics.errors == 0, "whatever they sent, it was the peer's fault and none of ours"
    assert statistics.protocol_errors > HOSTILE / 4
    assert statistics.stalled > HOSTILE / 20
    assert gate.let_in > HOSTILE / 4


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("attack", dict.fromkeys(ATTACKS), ids=lambda attack: attack.__name__)
async def test_what_a_hostile_publisher_has_sent_goes_with_it(without_collector: None, attack: Attack) -> None:
    """Without the garbage collector, which `calm_garbage_collection` lets run seldom: up to 32 MB would wait for it,
    of each of them."""
    async with running(Gate()) as (server, victim, _):
        for number in range(8):  # some of these seeds vanish, some are let in
            with trio.fail_after(60):
                await attack(victim, Random(number))
        await quiet(server)
        assert sum(type(one) is ServerSession for one in gc.get_objects()) == 1


async def test_who_does_not_read_is_cut_and_holds_nobody_up() -> None:
    gate = Gate()
    async with running(gate) as (server, victim, publisher):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(never_reads, victim, Random(1))
            for number in range(20):
                await publish_one(gate, publisher, number)
        await quiet(server)
        assert server.statistics().errors == 0
