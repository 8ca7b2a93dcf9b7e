"""Hostile publishers against a whole Dorami, beside a broadcast that goes on: its viewer misses no frame, and the
process takes no more memory than before."""

from __future__ import annotations

from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import psutil
import pytest
import trio
from hostile_publishers import ATTACKS, Victim, half_open

from bench.video import watch
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.testing.server import running_dorami

pytestmark = pytest.mark.plain_trio

HOSTILE = 45
WARM_UP = 18
GROWTH_BYTES = 10_000_000
FRAME_MS = 34
EXEMPT = {"DORAMI_LIMITS__EXEMPT_ADDRESSES": '["127.0.0.1"]'}


async def test_a_broadcast_goes_on_beside_hostile_publishers(short_tmp: Path) -> None:
    """The seed of each is its number. They know the key of a broadcast of their own and get in. A longer run is in
    tests/unit/ingest."""
    times: list[int] = []
    news = trio.Event()

    def see(packet: MediaPacket) -> None:
        nonlocal news
        if packet.kind is MediaKind.VIDEO and not packet.is_sequence_header:
            times.append(packet.timestamp_ms)
            news.set()
            news = trio.Event()

    async def see_more(count: int) -> None:
        with trio.fail_after(30):
            until = len(times) + count
            while len(times) < until:
                await news.wait()

    with running_dorami(short_tmp / "hostile", "--demo", environ=EXEMPT) as server:
        with server.client("seller@example.test", role="ADMIN") as seller:
            stream = seller.post("/api/streams", json={"title": "hostile"}).json()["data"]
        victim = Victim(urlsplit(server.rtmp).port or 0, stream["publish"]["key"])
        process = psutil.Process(server.process.pid)
        before = 0
        async with trio.open_nursery() as nursery:
            await nursery.start(watch, server.edge, "demo", see)
            for number in range(HOSTILE):
                attack = ATTACKS[number % len(ATTACKS)]
                chance = Random(number)
                if attack is half_open:
                    nursery.start_soon(half_open, victim, chance)  # it waits for the server to have had enough
                else:
                    with trio.fail_after(60):
                        await attack(victim, chance)
                await see_more(1)
                if number == WARM_UP:
                    before = process.memory_info().rss
            await see_more(30)
            assert process.memory_info().rss - before < GROWTH_BYTES
            nursery.cancel_scope.cancel()
        assert server.metric("dorami_rtmp_errors") == 0
        assert server.metric("dorami_rtmp_protocol_errors") > HOSTILE / 5
        assert server.metric("dorami_rtmp_accepted") > HOSTILE / 5
    steps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert all(0 < step <= FRAME_MS for step in steps), "each frame came, in its time"
