"""The clocks that tests move."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio
import trio.testing

from dorami_core.base.clock import Clock
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.testing.clock import ManualClock, move_database_clock

OFFSET = "SELECT round(extract(epoch FROM core.now() - clock_timestamp()))::int"


async def test_the_manual_clock_wakes_who_is_due(manual_clock: ManualClock) -> None:
    clock: Clock = manual_clock
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    before = clock.now()
    async with trio.open_nursery() as nursery:
        for seconds in (1, 5, 10):
            nursery.start_soon(sleeper, seconds)
        await trio.testing.wait_all_tasks_blocked()
        assert manual_clock.sleeping == 3
        manual_clock.advance(4.999)
        await trio.testing.wait_all_tasks_blocked()
        assert woken == [1]
        manual_clock.advance(0.001)
        await trio.testing.wait_all_tasks_blocked()
        assert woken == [1, 5]
        assert clock.monotonic() == pytest.approx(5)
        assert clock.now() - before == timedelta(seconds=5)
        nursery.cancel_scope.cancel()
    assert manual_clock.sleeping == 0


async def test_a_sleep_of_nothing_returns(manual_clock: ManualClock) -> None:
    with trio.fail_after(1):
        await manual_clock.sleep(0)


def test_time_does_not_go_back(manual_clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="back"):
        manual_clock.advance(-1)


async def test_the_database_clock_moves_for_all_sessions(database: PostgresDatabase) -> None:
    async with database.acquire_session() as other, database.transaction() as tx:
        assert await other.fetchval(OFFSET) == 0
        assert await tx.fetchval(OFFSET) == 0
        await move_database_clock(database, 600)
        assert await other.fetchval(OFFSET) == 600
        assert await tx.fetchval(OFFSET) == 600
        await move_database_clock(database, 1)
        assert await other.fetchval(OFFSET) == 601
        assert await tx.fetchval(OFFSET) == 601


async def test_it_is_another_clock_in_each_test(database: PostgresDatabase) -> None:
    assert await database.fetchval(OFFSET) == 0


async def test_a_database_that_was_not_made_for_it(database: PostgresDatabase) -> None:
    await database.execute("DROP TABLE core.clock_shift")
    await database.execute(
        "CREATE OR REPLACE FUNCTION core.now() RETURNS timestamptz LANGUAGE sql AS 'select clock_timestamp()'"
    )
    await move_database_clock(database, 60)
    assert await database.fetchval(OFFSET) == 60
