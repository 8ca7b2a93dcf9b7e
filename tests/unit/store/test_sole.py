"""One process at a time: two workers on two pools stand for two processes."""

from __future__ import annotations

import trio

from dorami_core.events.codec import EventCodec
from dorami_core.events.outbox import OutboxWriter
from dorami_core.store import sole
from dorami_core.store.postgres import open_database
from dorami_core.store.sole import SoleWorker


class Shift:
    """Notes who works."""

    def __init__(self) -> None:
        self.at_work: list[str] = []
        self.most = 0
        self.changed = trio.Event()

    async def work(self, name: str) -> None:
        self.at_work.append(name)
        self.most = max(self.most, len(self.at_work))
        self.changed.set()
        try:
            await trio.sleep_forever()
        finally:
            self.at_work.remove(name)

    async def wait_for_change(self) -> None:
        await self.changed.wait()
        self.changed = trio.Event()


async def serve(url: str, shift: Shift, name: str, scope: trio.CancelScope) -> None:
    with scope:
        async with open_database(url, outbox_writer=OutboxWriter(EventCodec())) as db:
            worker = SoleWorker(db)
            worker.add("work", lambda: shift.work(name))
            await worker.run()


async def test_one_works_and_the_next_takes_over(database_url: str) -> None:
    shift = Shift()
    scopes = {name: trio.CancelScope() for name in ("first", "second", "third")}
    async with trio.open_nursery() as nursery:
        for name, scope in scopes.items():
            nursery.start_soon(serve, database_url, shift, name, scope)
        for _ in scopes:
            await shift.wait_for_change()
            assert len(shift.at_work) == 1
            scopes[shift.at_work[0]].cancel()
    assert shift.most == 1


async def test_who_loses_the_session_stops_working(database_url: str) -> None:
    shift = Shift()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, database_url, shift, "only", trio.CancelScope())
        await shift.wait_for_change()
        async with open_database(database_url, outbox_writer=OutboxWriter(EventCodec())) as db:
            killed = await db.fetchval(
                """SELECT count(pg_terminate_backend(pid)) FROM pg_locks
                   WHERE locktype = 'advisory'
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                     AND (classid::bigint << 32 | objid::bigint) = $1""",
                sole.LOCK_KEY,
            )
            assert killed == 1
            await shift.wait_for_change()
            assert (shift.at_work, shift.most) == (["only"], 1), "it stopped, and took the lock again"
        nursery.cancel_scope.cancel()
