"""Two hundred hostile publishers against a whole Dorami, beside one who just publishes: his viewer misses no frame, and
the process takes no more memory than before."""

from __future__ import annotations

from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import psutil
import pytest
import trio
from hostile_publishers import ATTACKS, Victim, half_open

from bench.video import publish, watch
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.testing.server import RunningDorami, running_dorami
from dorami_core.testing.waiting import becomes

pytestmark = pytest.mark.plain_trio

HOSTILE = 200
WARM_UP = 27
GROWTH_BYTES = 10_000_000
FRAME_MS = 34
EXEMPT = {"DORAMI_LIMITS__EXEMPT_ADDRESSES": '["127.0.0.1"]'}


def status(server: RunningDorami, stream_key: str) -> str:
    with server.client() as client:
        return str(client.get(f"/api/streams/{stream_key}").json()["data"]["status"])


async def test_a_broadcast_goes_on_beside_hostile_publishers(short_tmp: Path) -> None:
    """The seed of each is its number. They know the key of a broadcast of their own and get in. A longer run is in
    tests/unit/ingest."""
    sent = 0
    times: list[int] = []
    news = trio.Event()

    def is_frame(packet: MediaPacket) -> bool:
        return packet.kind is MediaKind.VIDEO and not packet.is_sequence_header

    def count(packet: MediaPacket) -> None:
        nonlocal sent
        sent += is_frame(packet)

    def see(packet: MediaPacket) -> None:
        nonlocal news
        if is_frame(packet):
            times.append(packet.timestamp_ms)
            news.set()
            news = trio.Event()

    async def see_more(count: int) -> None:
        with trio.fail_after(60):
            until = len(times) + count
            while len(times) < until:
                await news.wait()

    with running_dorami(short_tmp / "hostile", environ=EXEMPT) as server:
        with server.client("seller@example.test", role="ADMIN") as seller:
            good, bad = (
                seller.post("/api/streams", json={"title": title}).json()["data"] for title in ("good", "hostile")
            )
        victim = Victim(urlsplit(server.rtmp).port or 0, bad["publish"]["key"])
        process = psutil.Process(server.process.pid)
        before = 0
        async with trio.open_nursery() as nursery:
            await nursery.start(publish, server.rtmp, [good["publish"]["key"]], short_tmp / "picture", count)
            await becomes(lambda: status(server, good["streamKey"]) == "LIVE")
            await nursery.start(watch, server.edge, good["streamKey"], see)
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
            growth = process.memory_info().rss - before
            nursery.cancel_scope.cancel()
        assert server.metric("dorami_rtmp_errors") == 0
        assert server.metric("dorami_rtmp_protocol_errors") > HOSTILE / 5
        assert server.metric("dorami_rtmp_accepted") > HOSTILE / 5
    assert growth < GROWTH_BYTES
    steps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert all(0 < step <= FRAME_MS for step in steps), "each frame came, in its time"
    print(f"{HOSTILE} hostile, {growth / 1e6:.1f} MB more, {len(times)} frames seen of {sent} sent")
