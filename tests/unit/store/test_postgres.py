"""The database: statements, transactions, cancellation, failures."""

from __future__ import annotations

import time
from collections.abc import Sequence

import asyncpg
import attrs
import pytest
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.events.model import Event
from dorami_core.hooks.transactions import Database, Queries, Tx
from dorami_core.store.connection import leaves_state
from dorami_core.store.postgres import PostgresDatabase, PostgresTx, TransactionFailed, open_database
from dorami_core.testing.databases import DatabaseFarm


@attrs.frozen(kw_only=True)
class ThingHappened(Event):
    number: int

    @property
    def aggregate(self) -> str:
        return f"thing:{self.number}"


@pytest.fixture
async def things(database: PostgresDatabase) -> PostgresDatabase:
    await database.execute("CREATE TABLE things (number int PRIMARY KEY, body jsonb)")
    return database


async def numbers(db: Queries) -> list[int]:
    return [row["number"] for row in await db.fetch("SELECT number FROM things ORDER BY number")]


async def test_it_is_what_plugins_are_promised(database: PostgresDatabase) -> None:
    promised: Database = database
    async with promised.transaction() as tx:
        also: Tx = tx
        assert await also.fetchval("SELECT 1") == 1


async def test_the_four_calls(things: PostgresDatabase) -> None:
    body = {"이름": ["귤", 1, None, 1.5]}
    assert await things.execute("INSERT INTO things VALUES ($1, $2)", 1, body) == "INSERT 0 1"
    row = await things.fetchrow("SELECT * FROM things WHERE number = $1", 1)
    assert row["body"] == body
    assert await things.fetchrow("SELECT * FROM things WHERE number = $1", 2) is None
    assert await things.fetchval("SELECT count(*) FROM things") == 1
    assert await numbers(things) == [1]


async def test_an_error_of_sql_passes(database: PostgresDatabase) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        await database.fetchval("SELECT 1/0")


async def test_a_wrong_call_is_not_unavailability(database: PostgresDatabase) -> None:
    with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
        await database.fetchval("SELECT $1::int")


async def test_commit_writes_events_and_calls_back(things: PostgresDatabase, written_events: list[Event]) -> None:
    seen: list[int] = []
    things.after_commit.append(lambda: seen.append(len(written_events)))
    async with things.transaction() as tx:
        await tx.execute("INSERT INTO things VALUES (1)")
        tx.emit(ThingHappened(number=1))
        tx.emit(ThingHappened(number=2))
        assert written_events == []
        assert await numbers(things) == []
    assert await numbers(things) == [1]
    assert written_events == [ThingHappened(number=1), ThingHappened(number=2)]
    assert seen == [2]


async def test_without_events_nothing_is_called(things: PostgresDatabase, written_events: list[Event]) -> None:
    calls: list[str] = []
    things.after_commit.append(lambda: calls.append("called"))
    async with things.transaction() as tx:
        await tx.execute("INSERT INTO things VALUES (1)")
    assert calls == []
    assert written_events == []


async def test_the_writer_writes_inside_the_transaction(database_url: str) -> None:
    async def write(tx: Queries, events: Sequence[Event]) -> None:
        for _ in events:
            await tx.execute("INSERT INTO things VALUES (1)")

    async with open_database(database_url, outbox_writer=write) as db:
        await db.execute("CREATE TABLE things (number int PRIMARY KEY)")
        async with db.transaction() as tx:
            tx.emit(ThingHappened(number=1))
        assert await numbers(db) == [1]

        async def again() -> None:
            async with db.transaction() as tx:
                await tx.execute("INSERT INTO things VALUES (2)")
                tx.emit(ThingHappened(number=1))

        with pytest.raises(asyncpg.UniqueViolationError):
            await again()
        assert await numbers(db) == [1]


async def test_an_error_rolls_back(things: PostgresDatabase) -> None:
    calls: list[str] = []
    things.after_commit.append(lambda: calls.append("called"))

    async def refused() -> None:
        async with things.transaction() as tx:
            await tx.execute("INSERT INTO things VALUES (1)")
            tx.emit(ThingHappened(number=1))
            raise DoramiError("CONFLICT")

    with pytest.raises(DoramiError, match="CONFLICT"):
        await refused()
    assert await numbers(things) == []
    assert calls == []


async def test_a_swallowed_error_is_not_a_commit(things: PostgresDatabase) -> None:
    async def swallow() -> None:
        async with things.transaction() as tx:
            await tx.execute("INSERT INTO things VALUES (1)")
            with pytest.raises(asyncpg.UniqueViolationError):
                await tx.execute("INSERT INTO things VALUES (1)")

    with pytest.raises(TransactionFailed):
        await swallow()
    assert await numbers(things) == []


async def test_a_transaction_cannot_be_used_afterwards(things: PostgresDatabase) -> None:
    async with things.transaction() as tx:
        pass
    with pytest.raises(RuntimeError, match="over"):
        await tx.fetchval("SELECT 1")
    with pytest.raises(RuntimeError, match="over"):
        tx.emit(ThingHappened(number=1))


async def test_calls_of_one_transaction_take_turns(things: PostgresDatabase) -> None:
    async with things.transaction() as tx, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(tx.execute, "INSERT INTO things VALUES ($1)", number)
    assert await numbers(things) == list(range(20))


async def test_a_cancelled_query_is_back_at_once_and_the_pool_is_whole(database_url: str) -> None:
    async with open_database(database_url, min_size=1, max_size=1, outbox_writer=nothing) as db:
        async with db.transaction() as tx:
            own = await tx.fetchval("SELECT pg_backend_pid()")
        with trio.CancelScope() as scope:
            scope.deadline = trio.current_time() + 0.05
            started = time.perf_counter()
            await db.execute("SELECT pg_sleep(5)")
        assert scope.cancelled_caught
        assert time.perf_counter() - started < 0.05 + 0.3
        assert await db.fetchval("SELECT pg_backend_pid()") == own
        assert db.statistics().idle == 1


async def test_a_cancelled_transaction_is_rolled_back(things: PostgresDatabase) -> None:
    inside = trio.Event()

    async def work() -> None:
        async with things.transaction() as tx:
            await tx.execute("INSERT INTO things VALUES (1)")
            inside.set()
            await tx.execute("SELECT pg_sleep(60)")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        await inside.wait()
        await wait_until_asleep(things)
        nursery.cancel_scope.cancel()
    assert await numbers(things) == []
    idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    assert await things.fetchval(idle) == 0


async def test_a_commit_under_way_is_finished(things: PostgresDatabase) -> None:
    """The commit is held up by a deferred trigger, and cancelled there."""
    await things.execute("""
        CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS 'begin perform pg_sleep(0.2); return null; end';
        CREATE CONSTRAINT TRIGGER lingering AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION linger();
    """)
    calls: list[str] = []
    things.after_commit.append(lambda: calls.append("called"))

    async def work() -> None:
        async with things.transaction() as tx:
            await tx.execute("INSERT INTO things VALUES (1)")
            tx.emit(ThingHappened(number=1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        await wait_until_asleep(things)
        nursery.cancel_scope.cancel()
    assert await numbers(things) == [1]
    assert calls == ["called"]


async def test_a_cancelled_scope_does_not_begin_to_commit(things: PostgresDatabase) -> None:
    with trio.CancelScope() as scope:
        async with things.transaction() as tx:
            await tx.execute("INSERT INTO things VALUES (1)")
            scope.cancel()
    assert await numbers(things) == []


async def test_a_killed_connection_is_unavailability(things: PostgresDatabase) -> None:
    async def killed() -> None:
        async with things.transaction() as tx:
            await tx.execute("INSERT INTO things VALUES (1)")
            own = await tx.fetchval("SELECT pg_backend_pid()")
            await things.execute("SELECT pg_terminate_backend($1, 5000)", own)
            await tx.fetchval("SELECT 1")

    with pytest.raises(DoramiError, match="UNAVAILABLE"):
        await killed()
    assert await numbers(things) == []
    async with things.transaction() as tx:
        await tx.execute("INSERT INTO things VALUES (2)")
    assert await numbers(things) == [2]


async def test_a_closed_pool_is_unavailability(database_url: str) -> None:
    async with open_database(database_url, outbox_writer=nothing) as db:
        pass
    with pytest.raises(DoramiError, match="UNAVAILABLE"):
        await db.fetchval("SELECT 1")
    with pytest.raises(DoramiError, match="UNAVAILABLE"):
        async with db.transaction():
            pass


async def test_no_server_is_unavailability() -> None:
    with pytest.raises(DoramiError, match="UNAVAILABLE"):
        async with open_database("postgresql://nobody@/none?host=/nonexistent", outbox_writer=nothing):
            pass


async def test_a_deadlock_is_tried_again(things: PostgresDatabase) -> None:
    await things.execute("INSERT INTO things VALUES (1), (2)")
    first_has, second_has = trio.Event(), trio.Event()
    runs: list[str] = []

    async def update(tx: PostgresTx, number: int) -> None:
        await tx.execute("UPDATE things SET body = '1' WHERE number = $1", number)

    async def one(tx: PostgresTx) -> None:
        runs.append("one")
        await tx.execute("SET LOCAL deadlock_timeout = '20ms'")
        await update(tx, 1)
        first_has.set()
        await second_has.wait()
        await update(tx, 2)

    async def two(tx: PostgresTx) -> None:
        runs.append("two")
        await tx.execute("SET LOCAL deadlock_timeout = '20ms'")
        await update(tx, 2)
        second_has.set()
        await first_has.wait()
        await update(tx, 1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(things.run, one)
        nursery.start_soon(things.run, two)
    assert len(runs) == 3


async def test_retries_end(things: PostgresDatabase) -> None:
    runs: list[int] = []

    async def never(tx: PostgresTx) -> None:
        runs.append(1)
        await tx.execute("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$")

    with pytest.raises(DoramiError, match="UNAVAILABLE"):
        await things.run(never)
    assert len(runs) == 3


async def test_a_session_holds_its_advisory_lock(database: PostgresDatabase) -> None:
    async with database.acquire_session() as session:
        assert await session.fetchval("SELECT pg_try_advisory_lock(7)") is True
        async with database.acquire_session() as other:
            assert await other.fetchval("SELECT pg_try_advisory_lock(7)") is False
    with trio.fail_after(60):
        async with database.acquire_session() as session:
            await session.execute("SELECT pg_advisory_lock(7)")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT pg_advisory_lock(11)",
        "SET statement_timeout = 1234",
        "SELECT 1; SET statement_timeout = 1234",
        "SELECT set_config('statement_timeout', '1234', false)",
    ],
)
async def test_what_is_left_in_a_session_does_not_reach_the_next_user(database_url: str, sql: str) -> None:
    async with open_database(database_url, min_size=1, max_size=1, outbox_writer=nothing) as db:
        await db.execute(sql)
        assert await db.fetchval("SHOW statement_timeout") == "0"
        async with db.acquire_session() as other:
            assert await other.fetchval("SELECT pg_try_advisory_lock(11)")
        async with db.transaction() as tx:
            await tx.execute(sql)
        assert await db.fetchval("SHOW statement_timeout") == "0"


async def test_a_connection_that_keeps_nothing_is_not_cleaned(database_url: str) -> None:
    """Also after one that had to be: PostgreSQL itself says what it was sent last."""
    asked = "SELECT query FROM pg_stat_activity WHERE pid = $1"
    async with open_database(database_url, min_size=1, max_size=1, outbox_writer=nothing) as db:
        pid = await db.fetchval("SELECT pg_backend_pid()")
        async with db.acquire_session() as other:
            for sql, last in (
                ("SELECT 1 AS first", "SELECT 1 AS first"),
                ("SET statement_timeout = 1234", "SELECT pg_advisory_unlock_all()"),
                ("SELECT 1 AS second", "SELECT 1 AS second"),
            ):
                await db.execute(sql)
                assert (await other.fetchval(asked, pid)).startswith(last)
            async with db.transaction() as tx:
                await tx.fetchval("SELECT 2")
            assert await other.fetchval(asked, pid) == "COMMIT"


@pytest.mark.parametrize(
    ("sql", "leaves"),
    [
        ("SELECT 1", False),
        ("\n  with a as (select 1) UPDATE things SET number = 1;\n", False),
        ("INSERT INTO things VALUES ($1)", False),
        ("SET LOCAL lock_timeout = '1s'", False),
        ("SET lock_timeout = '1s'", True),
        ("LISTEN news", True),
        ("SELECT pg_try_advisory_lock(1)", True),
        ("SELECT pg_advisory_xact_lock(1)", False),
        ("SELECT 1; LISTEN news", True),
        ("/* x */ LISTEN news", True),
        ("", True),
    ],
)
def test_which_statements_leave_state(sql: str, leaves: bool) -> None:
    assert leaves_state(sql) is leaves


async def nothing(_: Queries, events: Sequence[Event]) -> None:
    raise AssertionError("no event was emitted")


async def wait_until_asleep(db: Queries) -> None:
    """Until a backend of this database is in pg_sleep."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    with trio.fail_after(60):
        while not await db.fetchval(query):
            await trio.lowlevel.checkpoint()


def test_urls_of_other_databases() -> None:
    farm = DatabaseFarm("postgresql://postgres@/postgres?host=/data")
    assert farm.at("other") == "postgresql://postgres@/other?host=/data"
    assert DatabaseFarm("postgresql://me:pw@db:5432/app").at("other") == "postgresql://me:pw@db:5432/other"
