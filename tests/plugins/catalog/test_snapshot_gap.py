"""A snapshot and the events that follow it meet without a gap, for however many share the snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import pytest
import trio
from dorami_catalog.api import CatalogApi, ProductView
from dorami_catalog.model import NewProduct, ProductPatch
from dorami_catalog.plugin import CatalogPlugin
from dorami_catalog.service import Catalog
from trio.testing import wait_all_tasks_blocked

from dorami_core.base.coalescing import Coalesced
from dorami_core.hooks import Plugin, StreamView, hookimpl
from dorami_core.presence.ledger import RedisLedger
from dorami_core.presence.viewers import SharedViewers
from dorami_core.store.redis import RedisStore
from dorami_core.streams.snapshot import Snapshots
from dorami_core.streams.sockets import RENEWED_S, SERVES_S, JoinStream, StreamSockets
from dorami_core.testing.host import Bench, open_bench
from dorami_core.testing.sockets import RecordedConnection, RecordedRooms, guest_principal
from dorami_core.testing.waiting import becomes

KEY = "live-show"


class Gate(Plugin):
    """Holds a snapshot back after all others have read, where it is shut."""

    name = "gate"

    def __init__(self) -> None:
        self.builds = 0
        self.reached = trio.Event()
        self.opened = trio.Event()
        self.opened.set()

    def shut(self) -> None:
        self.reached, self.opened = trio.Event(), trio.Event()

    @hookimpl(trylast=True)
    async def filter_stream_snapshot(self, value: dict[str, Any], stream: StreamView) -> dict[str, Any]:
        self.builds += 1
        self.reached.set()
        await self.opened.wait()
        return value


class NoHistory:
    async def history(self, live_id: str, now: datetime) -> Sequence[dict[str, Any]]:
        return []


class SharesTheRunningOne(Coalesced[Any]):
    """The mistake: who comes during a build gets what it has read already."""

    def __init__(self, make: Any) -> None:
        super().__init__(make)
        self._make_one = make
        self._running: list[Any] | None = None
        self._done = trio.Event()

    async def get(self, key: str) -> Any:
        if self._running is None:
            running, done = self._running, self._done = [], trio.Event()
            running.append(await self._make_one(key))
            self._running = None
            done.set()
            return running[0]
        running, done = self._running, self._done
        await done.wait()
        return running[0]


class Show:
    def __init__(self, bench: Bench, redis: RedisStore, gate: Gate, kind: type[Coalesced[Any]] = Coalesced) -> None:
        self.bench = bench
        self.gate = gate
        self.rooms = RecordedRooms()
        viewers = SharedViewers(self.rooms, bench.clock, RedisLedger(redis, lease_s=15), lease_s=15)
        self.snapshots = kind(Snapshots(bench.streams, viewers, bench.hooks, bench.clock, NoHistory()).build)
        self.sockets = StreamSockets(bench.streams, viewers, self.snapshots, bench.clock)
        bench.rooms.emit = self.rooms.emit  # type: ignore[method-assign]

    @property
    def catalog(self) -> Catalog:
        catalog = self.bench.api(CatalogApi)
        assert isinstance(catalog, Catalog)
        return catalog

    async def product(self) -> ProductView:
        made = await self.catalog.create(NewProduct(name="니트", price="10.00", stream_key=KEY, quantity=5))
        await self.bench.deliver()
        return made

    async def rename(self, product: ProductView, name: str) -> int:
        version = (await self.catalog.change(product.id, ProductPatch(name=name))).version
        await self.bench.deliver()
        return version

    async def join(self, known: list[Newcomer]) -> None:
        newcomer = Newcomer(RecordedConnection(self.rooms, "/", guest_principal(str(len(known)))))
        known.append(newcomer)
        newcomer.snapshot = await self.sockets.join(newcomer.conn, JoinStream(KEY))


class Newcomer:
    def __init__(self, conn: RecordedConnection) -> None:
        self.conn = conn
        self.snapshot: dict[str, Any] = {}

    @property
    def version(self) -> int:
        """Of the one product, after the snapshot and whatever was heard since the socket is in the room."""
        heard = [data["version"] for event, data in self.conn.heard if event.startswith("live:product:")]
        return max([self.snapshot["products"][0]["version"], *heard])


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def bench(database_url: str, gate: Gate) -> AsyncIterator[Bench]:
    async with open_bench(database_url, [CatalogPlugin(), gate]) as bench:
        bench.streams.put(KEY)
        yield bench


async def join_during_a_build(show: Show) -> tuple[list[Newcomer], int]:
    """One has a snapshot that is read and not sent yet when the product changes; then others join."""
    product = await show.product()
    known: list[Newcomer] = []
    async with trio.open_nursery() as nursery:
        show.gate.shut()
        nursery.start_soon(show.join, known)
        await show.gate.reached.wait()
        version = await show.rename(product, "카디건")
        for _ in range(50):
            nursery.start_soon(show.join, known)
        await wait_all_tasks_blocked()
        show.gate.opened.set()
    return known, version


async def test_an_event_during_a_build_reaches_everyone(bench: Bench, redis_store: RedisStore, gate: Gate) -> None:
    known, version = await join_during_a_build(Show(bench, redis_store, gate))
    assert [newcomer.version for newcomer in known] == [version] * 51
    assert known[0].snapshot["products"][0]["version"] < version, "the first had read before, and heard the event"
    assert gate.builds == 2


async def test_sharing_a_build_that_runs_would_lose_it(bench: Bench, redis_store: RedisStore, gate: Gate) -> None:
    known, version = await join_during_a_build(Show(bench, redis_store, gate, SharesTheRunningOne))
    assert [newcomer.version for newcomer in known[1:]] == [version - 1] * 50
    assert known[0].version == version


async def test_a_crowd_that_joins_while_products_change(bench: Bench, redis_store: RedisStore, gate: Gate) -> None:
    show = Show(bench, redis_store, gate)
    product = await show.product()
    known: list[Newcomer] = []
    version = 0
    async with trio.open_nursery() as nursery:
        for number in range(20):
            for _ in range(50):
                nursery.start_soon(show.join, known)
            version = await show.rename(product, f"니트 {number}")
    assert len(known) == 1000
    assert {newcomer.version for newcomer in known} == {version}
    assert show.sockets.statistics().made == gate.builds <= 200, "few builds for many"


async def test_who_comes_while_the_first_is_read_shares_it(bench: Bench, redis_store: RedisStore, gate: Gate) -> None:
    """Where the room has said nothing meanwhile."""
    show = Show(bench, redis_store, gate)
    await show.product()
    known: list[Newcomer] = []
    gate.shut()
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(show.join, known)
        await gate.reached.wait()
        await wait_all_tasks_blocked()
        gate.opened.set()
    assert len(known) == 50
    assert gate.builds == 1


async def test_a_snapshot_is_renewed_while_it_serves(bench: Bench, redis_store: RedisStore, gate: Gate) -> None:
    show = Show(bench, redis_store, gate)
    await show.product()
    known: list[Newcomer] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(show.sockets.run)
        await show.join(known)
        bench.clock.advance(RENEWED_S)
        gate.shut()
        await show.join(known)
        await gate.reached.wait()
        gate.opened.set()
        await becomes(lambda: show.sockets.statistics().made == 2)
        await wait_all_tasks_blocked()
        bench.clock.advance(SERVES_S - 0.01)
        gate.shut()
        await show.join(known)
        assert len(known) == 3, "served by the second, which is not too old, although the third cannot be read"
        nursery.cancel_scope.cancel()


async def test_the_position_of_the_room_is_in_the_answer(bench: Bench, redis_store: RedisStore, gate: Gate) -> None:
    show = Show(bench, redis_store, gate)
    conn = RecordedConnection(show.rooms, "/", guest_principal())
    snapshot = await show.sockets.join(conn, JoinStream(KEY))
    position = await conn.join(KEY)
    assert snapshot["room"] == {"room": f"/:{KEY}", "epoch": position.epoch, "seq": position.seq}


async def test_a_snapshot_serves_until_the_room_speaks_or_it_is_old(
    bench: Bench, redis_store: RedisStore, gate: Gate
) -> None:
    show = Show(bench, redis_store, gate)
    product = await show.product()
    known: list[Newcomer] = []
    for _ in range(3):
        await show.join(known)
    assert gate.builds == 1
    version = await show.rename(product, "카디건")
    await show.join(known)
    assert gate.builds == 2
    assert known[3].snapshot["products"][0]["version"] == version
    assert [newcomer.version for newcomer in known] == [version] * 4
    bench.clock.advance(SERVES_S)
    await show.join(known)
    assert gate.builds == 3
    assert [newcomer.snapshot["viewerCount"] for newcomer in known] == [1, 2, 3, 4, 5]
