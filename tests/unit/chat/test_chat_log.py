"""The log in PostgreSQL: all that was said, in order, with who took what back."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
import trio
import trio.testing
from chat_harness import LIVE, OTHER, ChatRoom, id_of, people_of

from dorami_core.base.errors import DoramiError
from dorami_core.chat import log as chat_log
from dorami_core.chat.log import BATCH, MessageLog
from dorami_core.chat.model import ChatMessage
from dorami_core.store.redis import RedisStore
from dorami_core.testing.clock import ManualClock
from dorami_core.testing.sockets import user_principal


def line(number: int) -> ChatMessage:
    at = f"2026-01-02T03:04:{number % 60:02}.000Z"
    user = str(UUID(int=1))
    return ChatMessage(str(UUID(int=1000 + number)), LIVE, user, "minji", "USER", f"line {number}", at, number, "e")


async def rows(chat: ChatRoom) -> int:
    found: int = await chat.db.fetchval("SELECT count(*) FROM chat.messages")
    return found


async def until_rows(chat: ChatRoom, count: int) -> None:
    with trio.fail_after(60):
        while await rows(chat) != count:
            await trio.lowlevel.checkpoint()


async def test_a_second_after_it_was_said_it_is_written(chat: ChatRoom) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chat.log.run)
        person = await chat.join()
        await chat.say(person, "  <b>그대로</b> 👋 ")
        await trio.testing.wait_all_tasks_blocked()
        assert await rows(chat) == 0
        chat.clock.advance(1)
        await until_rows(chat, 1)
        (row,) = await chat.db.fetch("SELECT * FROM chat.messages")
        assert (row["message"], row["stream_key"], row["seq"]) == ("  <b>그대로</b> 👋 ", LIVE, 1)
        nursery.cancel_scope.cancel()


async def test_two_hundred_are_written_at_once(chat: ChatRoom) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chat.log.run)
        for number in range(BATCH):
            chat.log.add(line(number))
        await until_rows(chat, BATCH)  # and no clock has moved
        nursery.cancel_scope.cancel()


async def test_an_orderly_stop_writes_what_waits(chat: ChatRoom) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chat.log.run)
        await trio.testing.wait_all_tasks_blocked()
        chat.log.add(line(1))
        nursery.cancel_scope.cancel()
    assert await rows(chat) == 1
    assert chat.log.statistics().waiting == 0


async def test_while_the_database_is_away_rows_wait_in_order_and_within_a_bound(
    chat: ChatRoom, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_log, "WAITING_BOUND", 300)

    class Away:
        async def execute(self, sql: str, *args: Any) -> str:
            raise DoramiError("UNAVAILABLE")

    log = MessageLog(Away(), manual_clock)  # type: ignore[arg-type]
    for number in range(310):
        log.add(line(number))
    with pytest.raises(DoramiError, match="UNAVAILABLE"):
        await log.write()
    assert (log.statistics().waiting, log.statistics().dropped) == (300, 10)
    log._db = chat.db
    await log.write()
    seqs = [row["seq"] for row in await chat.db.fetch("SELECT seq FROM chat.messages ORDER BY seq")]
    assert seqs == list(range(10, 310))


async def test_what_is_said_while_a_batch_is_written_gathers_for_the_next(chat: ChatRoom) -> None:
    batches = 0

    class Slow:
        """While it writes, people go on talking."""

        async def execute(self, sql: str, *args: Any) -> str:
            nonlocal batches
            batches += 1
            log.add(line(batches))
            return await chat.db.execute(sql, *args)

    log = MessageLog(Slow(), chat.clock)  # type: ignore[arg-type]
    log.add(line(0))
    with trio.fail_after(60):
        await log.write()
    assert (batches, await rows(chat), log.statistics().waiting) == (1, 1, 1)


async def test_a_row_that_cannot_be_written_does_not_hold_up_the_next(chat: ChatRoom) -> None:
    bad = ChatMessage(str(UUID(int=5)), LIVE, str(UUID(int=1)), "x", "USER", "\x00", "2026-01-02T03:04:05Z", 1, "e")
    chat.log.add(bad)
    await chat.log.write()
    chat.log.add(line(2))
    await chat.log.write()
    assert (await rows(chat), chat.log.statistics().dropped) == (1, 1)


async def test_pages_in_the_order_of_the_room_with_what_was_deleted(
    chat: ChatRoom, redis_store: RedisStore, manual_clock: ManualClock
) -> None:
    people = await people_of(chat)
    said = [await chat.say(people.seller, str(number)) for number in range(7)]
    await chat.say(people.seller, "elsewhere", liveId=OTHER)
    # another process takes one back before this one has written it
    other = ChatRoom(chat.db, redis_store, manual_clock)
    await other.rules.refresh()
    await other.send(people.moderator, "chat:delete-message", liveId=LIVE, messageId=said[3]["id"])
    first = await chat.log.page(LIVE, None, 5)
    rest = await chat.log.page(LIVE, first[-1].id, 5)
    assert [one.message for one in [*first, *rest]] == [str(number) for number in range(7)]
    assert [one.seq for one in [*first, *rest]] == list(range(1, 8))
    gone = first[3]
    assert (str(gone.deleted_by), gone.deleted_at) == (id_of(people.moderator), manual_clock.now())
    assert {one.deleted_at for one in [*first, *rest] if one is not gone} == {None}
    assert await chat.log.page(OTHER, first[-1].id, 5) == []


async def test_what_redis_has_forgotten_can_still_be_deleted(chat: ChatRoom) -> None:
    people = await people_of(chat)
    old = await chat.say(people.person, "long ago")
    await chat.redis.execute("FLUSHALL")
    await chat.send(people.seller, "chat:delete-message", liveId=LIVE, messageId=old["id"])
    assert people.watcher.heard[-1] == ("chat:deleted", {"id": old["id"]})
    found = await chat.log.find(LIVE, UUID(old["id"]))
    assert found is not None
    assert found.deleted_at is not None
    await chat.redis.execute("FLUSHALL")
    kept = await chat.say(people.person, "and this stays")
    await chat.redis.execute("FLUSHALL")
    await chat.send(people.seller, "chat:pin-message", liveId=LIVE, messageId=kept["id"])
    assert chat.rules.now.room(LIVE).pinned is not None


async def test_the_same_row_twice_is_one(chat: ChatRoom) -> None:
    for _ in range(2):
        chat.log.add(line(1))
    await chat.log.write()
    assert await rows(chat) == 1
    assert user_principal().user is not None


async def test_a_replay_reads_what_was_said_in_a_time_and_not_taken_back(chat: ChatRoom) -> None:
    for number in (*range(10), 3000):
        chat.log.add(line(number))
    await chat.log.write()
    gone = UUID(int=1004)
    await chat.db.execute("INSERT INTO chat.deletions VALUES ($1, $2, core.now())", gone, UUID(int=1))
    since, until = (datetime.fromisoformat(line(number).timestamp) for number in (2, 8))

    async def said(after: UUID | None, limit: int) -> list[int]:
        return [one.seq for one in await chat.log.between(LIVE, since, until, after, limit)]

    assert await said(None, 100) == [2, 3, 5, 6, 7, 8]
    assert await said(None, 2) == [2, 3]
    assert await said(UUID(int=1003), 2) == [5, 6]
    assert await said(gone, 2) == [5, 6], "the message of a cursor may be taken back meanwhile"
    assert await said(UUID(int=77), 2) == []
    assert [one.seq for one in await chat.log.before(LIVE, since, until, 3)] == [5, 6, 7]
    assert [one.seq for one in await chat.log.before(LIVE, since, until, 100)] == [2, 3, 5, 6, 7]
    assert await chat.log.between(OTHER, since, until, None, 10) == []
