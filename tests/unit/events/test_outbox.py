from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import attrs
import pytest
import trio

from dorami_core.base.money import Money
from dorami_core.events.codec import EventCodec
from dorami_core.events.model import Event, EventMeta
from dorami_core.events.outbox import MAX_ATTEMPTS, Outbox, OutboxWriter
from dorami_core.store.postgres import PostgresDatabase, open_database
from dorami_core.testing.clock import move_database_clock


@attrs.frozen(kw_only=True)
class BagPacked(Event):
    bag: str
    number: int
    price: Money | None = None

    @property
    def aggregate(self) -> str:
        return f"bag:{self.bag}"


Heard = list[tuple[str, str, int]]
Opened = Callable[[], AbstractAsyncContextManager[tuple[PostgresDatabase, Outbox, Heard, set[str]]]]


class Refused(Exception):
    pass


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[tuple[PostgresDatabase, Outbox, Heard, set[str]]]:
    """A database, an outbox with subscribers `a` and `b`, what they heard, and the bags that `b` refuses."""
    codec = EventCodec([BagPacked])
    heard: Heard = []
    refused: set[str] = set()

    async def deliver(subscriber: str, hook: str, /, **facts: Any) -> None:
        assert hook == "on_bag_packed"
        event = facts["event"]
        if subscriber == "b" and event.bag in refused:
            raise Refused(event.bag)
        heard.append((subscriber, event.bag, event.number))

    async with open_database(database_url, outbox_writer=OutboxWriter(codec)) as db:
        outbox = Outbox(db, db, codec, lambda hook: ["a", "b"], deliver)
        await outbox._welcome()
        yield db, outbox, heard, refused


async def pack(db: PostgresDatabase, *packed: tuple[str, int]) -> None:
    async with db.transaction() as tx:
        for bag, number in packed:
            tx.emit(BagPacked(bag=bag, number=number))


async def drain(outbox: Outbox) -> None:
    while await outbox.deliver_once():
        pass


async def test_an_event_reaches_every_subscriber_once(database_url: str) -> None:
    async with opened(database_url) as (db, outbox, heard, _):
        await pack(db, ("red", 1), ("blue", 1), ("red", 2))
        await drain(outbox)
        assert sorted(heard) == sorted((name, *what) for name in "ab" for what in (("red", 1), ("blue", 1), ("red", 2)))
        assert [what for what in heard if what[:2] == ("a", "red")] == [("a", "red", 1), ("a", "red", 2)]
        await drain(outbox)
        assert len(heard) == 6


async def test_nothing_is_told_of_what_was_rolled_back(database_url: str) -> None:
    async with opened(database_url) as (db, outbox, heard, _):
        with pytest.raises(Refused):
            async with db.transaction() as tx:
                tx.emit(BagPacked(bag="red", number=1))
                raise Refused
        await drain(outbox)
        assert heard == []


async def test_aggregate_sequences_have_no_gaps(database_url: str) -> None:
    async with opened(database_url) as (db, _, _, _):
        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(pack, db, ("red", number), ("blue", number), ("red", -number))
        rows = await db.fetch("SELECT aggregate, aggregate_seq FROM core.outbox ORDER BY aggregate, aggregate_seq")
        assert [row["aggregate_seq"] for row in rows if row["aggregate"] == "bag:red"] == list(range(1, 25))
        assert [row["aggregate_seq"] for row in rows if row["aggregate"] == "bag:blue"] == list(range(1, 13))


async def test_a_row_that_commits_late_is_not_passed_over(database_url: str) -> None:
    """The first row's id is the smaller one, but it can be seen only after the second was delivered."""
    async with opened(database_url) as (db, outbox, heard, _):
        write = OutboxWriter(EventCodec([BagPacked]))
        async with db.transaction() as slow:
            await write(slow, [BagPacked(bag="slow", number=1)])
            await pack(db, ("quick", 1))
            await drain(outbox)
            assert [what[1] for what in heard] == ["quick", "quick"]
        await drain(outbox)
        assert {what[1] for what in heard} == {"quick", "slow"}


async def test_a_failing_subscriber_holds_up_that_aggregate_for_itself_alone(database_url: str) -> None:
    async with opened(database_url) as (db, outbox, heard, refused):
        refused.add("red")
        await pack(db, ("red", 1), ("red", 2), ("blue", 1))
        await drain(outbox)
        assert sorted(heard) == [("a", "blue", 1), ("a", "red", 1), ("a", "red", 2), ("b", "blue", 1)]
        await pack(db, ("red", 3))
        await drain(outbox)
        assert ("b", "red", 3) not in heard

        refused.clear()
        await move_database_clock(db, 60)
        await drain(outbox)
        assert [what for what in heard if what[:2] == ("b", "red")] == [("b", "red", n) for n in (1, 2, 3)]
        assert await db.fetchval("SELECT count(*) FROM core.outbox_parked") == 0


async def test_eight_failures_make_a_dead_letter_that_pauses_its_aggregate(database_url: str) -> None:
    async with opened(database_url) as (db, outbox, heard, refused):
        refused.add("red")
        await pack(db, ("red", 1), ("red", 2))
        for _ in range(MAX_ATTEMPTS + 3):
            await drain(outbox)
            await move_database_clock(db, 60)
        rows = await db.fetch("SELECT attempts, retry_at, error FROM core.outbox_parked ORDER BY position")
        assert [(row["attempts"], row["retry_at"] is None) for row in rows] == [(MAX_ATTEMPTS, True), (0, False)]
        assert rows[0]["error"] == "Refused: red"
        assert outbox.statistics().dead == 1
        assert not any(what[0] == "b" for what in heard)


async def test_one_deliverer_at_a_time_and_the_other_takes_over(database_url: str) -> None:
    async with opened(database_url) as (db, outbox, heard, _), opened(database_url) as (_, other, heard_too, _):
        async with trio.open_nursery() as nursery:
            first = trio.CancelScope()

            async def run_first() -> None:
                with first:
                    await outbox.run()

            async def wait(done: Callable[[], bool]) -> None:
                with trio.fail_after(60):
                    while not done():
                        await db.fetchval("SELECT pg_sleep(0.01)")

            nursery.start_soon(run_first)
            await wait(lambda: outbox.statistics().is_deliverer)
            nursery.start_soon(other.run)
            await pack(db, ("red", 1))
            outbox.poke()
            await wait(lambda: len(heard) == 2)
            assert not other.statistics().is_deliverer
            first.cancel()
            await wait(lambda: other.statistics().is_deliverer)
            await pack(db, ("red", 2))
            await wait(lambda: len(heard_too) == 2)
            nursery.cancel_scope.cancel()
    assert {what[2] for what in heard} == {1}
    assert {what[2] for what in heard_too} == {2}


async def test_a_new_subscriber_hears_nothing_of_the_past(database_url: str) -> None:
    async with opened(database_url) as (db, outbox, heard, _):
        await pack(db, ("red", 1))
        await drain(outbox)
        # `gone` was taken out long ago; its place must not pull newcomers back to it.
        await db.execute("INSERT INTO core.outbox_cursors (subscriber, position) VALUES ('gone', 0)")
        heard.clear()

        async def deliver(subscriber: str, hook: str, /, **facts: Any) -> None:
            heard.append((subscriber, facts["event"].bag, facts["event"].number))

        later = Outbox(db, db, EventCodec([BagPacked]), lambda hook: ["a", "b", "new"], deliver)
        await later._welcome()
        await pack(db, ("red", 2))
        await drain(later)
    assert sorted(heard) == [("a", "red", 2), ("b", "red", 2), ("new", "red", 2)]


async def test_meta_tells_where_an_event_stands(database_url: str) -> None:
    codec = EventCodec([BagPacked])
    metas: list[EventMeta] = []

    async def deliver(subscriber: str, hook: str, /, **facts: Any) -> None:
        assert facts["event"] == BagPacked(bag="red", number=1, price=Money(1250, "USD"))
        metas.append(facts["meta"])

    async with open_database(database_url, outbox_writer=OutboxWriter(codec)) as db:
        outbox = Outbox(db, db, codec, lambda hook: ["a"], deliver)
        await outbox._welcome()
        async with db.transaction() as tx:
            tx.emit(BagPacked(bag="red", number=1, price=Money(1250, "USD")))
        await drain(outbox)
    assert (metas[0].aggregate_seq, isinstance(metas[0].id, UUID)) == (1, True)


async def test_an_event_that_nobody_registered_is_refused(database_url: str) -> None:
    async with open_database(database_url, outbox_writer=OutboxWriter(EventCodec())) as db:
        with pytest.raises(ValueError, match="BagPacked"):
            async with db.transaction() as tx:
                tx.emit(BagPacked(bag="red", number=1))


async def test_what_everybody_has_taken_goes_after_a_week(database_url: str) -> None:
    async with opened(database_url) as (db, outbox, _, refused):
        refused.add("red")
        await pack(db, ("red", 1), ("blue", 1))
        await drain(outbox)
        await pack(db, ("green", 1))
        await outbox.purge()
        assert await db.fetchval("SELECT count(*) FROM core.outbox") == 3, "too young"
        await move_database_clock(db, 8 * 86400)
        await outbox.purge()
        left = await db.fetch("SELECT aggregate FROM core.outbox ORDER BY id")
        assert [row["aggregate"] for row in left] == ["bag:red", "bag:green"], "parked, and not yet delivered"
