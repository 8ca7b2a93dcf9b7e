from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from dorami_core.events.codec import EventCodec
from dorami_core.events.outbox import OutboxWriter
from dorami_core.hooks.transactions import Tx
from dorami_core.store.deadlines import DeadlineRunner, DeadlineStore
from dorami_core.store.postgres import PostgresDatabase, open_database
from dorami_core.testing.clock import move_database_clock


class Bell:
    def __init__(self) -> None:
        self.rung: list[str] = []
        self.broken: set[str] = set()

    async def __call__(self, tx: Tx, keys: Sequence[str]) -> None:
        await tx.execute("CREATE TABLE IF NOT EXISTS rung (key text)")
        for key in keys:
            await tx.execute("INSERT INTO rung VALUES ($1)", key)
            if key in self.broken:
                raise RuntimeError(key)
        self.rung += keys


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[tuple[PostgresDatabase, DeadlineRunner, Bell]]:
    bell = Bell()
    async with open_database(database_url, outbox_writer=OutboxWriter(EventCodec())) as db:
        yield db, DeadlineRunner(db, {"bell": bell}), bell


async def set_in(db: PostgresDatabase, seconds: float, *keys: str, kind: str = "bell") -> None:
    now = await db.fetchval("SELECT core.now()")
    async with db.transaction() as tx:
        for key in keys:
            await DeadlineStore().set(tx, kind, key, now + timedelta(seconds=seconds))


async def left(db: PostgresDatabase) -> int:
    return int(await db.fetchval("SELECT count(*) FROM core.deadlines"))


async def test_a_timer_fires_once_when_its_time_has_come(database_url: str) -> None:
    async with opened(database_url) as (db, runner, bell):
        await set_in(db, 600, "a")
        await move_database_clock(db, 599)
        assert not await runner.fire_due()
        assert bell.rung == []
        await move_database_clock(db, 1)
        assert await runner.fire_due()
        assert not await runner.fire_due()
        assert bell.rung == ["a"]
        assert await left(db) == 0


async def test_setting_again_moves_it_and_clearing_takes_it_away(database_url: str) -> None:
    async with opened(database_url) as (db, runner, bell):
        await set_in(db, 10, "a", "b")
        await set_in(db, 100, "a")
        async with db.transaction() as tx:
            await DeadlineStore().clear(tx, "bell", "b")
        await move_database_clock(db, 50)
        assert not await runner.fire_due()
        await move_database_clock(db, 50)
        assert await runner.fire_due()
        assert bell.rung == ["a"]


async def test_a_rolled_back_timer_never_was(database_url: str) -> None:
    async with opened(database_url) as (db, _, _):
        now = await db.fetchval("SELECT core.now()")
        with pytest.raises(RuntimeError, match="no"):
            async with db.transaction() as tx:
                await DeadlineStore().set(tx, "bell", "a", now)
                raise RuntimeError("no")
        assert await left(db) == 0


async def test_one_bad_key_does_not_hold_up_the_others(database_url: str) -> None:
    async with opened(database_url) as (db, runner, bell):
        bell.broken.add("bad")
        await set_in(db, -1, "a", "bad", "b")
        await runner.fire_due()
        assert sorted(bell.rung) == ["a", "b"]
        assert await left(db) == 1
        rung = [row["key"] for row in await db.fetch("SELECT key FROM rung ORDER BY key")]
        assert rung == ["a", "b"], "what the bad one wrote was rolled back"
        bell.broken.clear()
        await move_database_clock(db, 60)
        await runner.fire_due()
        assert sorted(bell.rung) == ["a", "b", "bad"]
        assert runner.statistics().failed == 1


async def test_a_kind_that_nobody_handles_waits(database_url: str) -> None:
    async with opened(database_url) as (db, runner, _):
        await set_in(db, -1, "a", kind="whistle")
        assert not await runner.fire_due()
        assert await left(db) == 1


async def test_timers_survive_the_runner(database_url: str) -> None:
    async with opened(database_url) as (db, _, _):
        await set_in(db, 5, "a")
    async with opened(database_url) as (db, runner, bell):
        await move_database_clock(db, 5)
        await runner.fire_due()
        assert bell.rung == ["a"]
