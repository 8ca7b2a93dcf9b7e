"""Hearts of several processes, added up on one Redis and told by one of them at a time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from chat_harness import LIVE, OTHER, ChatRoom

from dorami_core.base.errors import DoramiError
from dorami_core.hooks.sockets import Delivery
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.store.redis import RedisStore, open_redis
from dorami_core.testing.clock import ManualClock
from dorami_core.testing.sockets import RecordedRooms, guest_principal


async def test_many_hearts_are_one_event(chat: ChatRoom) -> None:
    guest, person = await chat.join(guest_principal()), await chat.join()
    for _ in range(30):
        await chat.send(guest, "chat:heart", liveId=LIVE)
    await chat.send(person, "chat:heart", liveId=LIVE, count=12)
    await chat.hearts.tell()
    assert chat.rooms.of("chat:hearts") == [{"liveId": LIVE, "total": 42}]
    assert next(said for said in chat.rooms.said if said.event == "chat:hearts").delivery is Delivery.LATEST
    chat.clock.advance(1)
    state = await chat.events.send(chat.conn(), "chat:join-room", {"liveId": LIVE})
    assert state["hearts"] == 42
    assert chat.hearts.statistics().waiting == 0


async def test_the_room_hears_four_times_a_second_at_most(chat: ChatRoom) -> None:
    told: list[dict[str, Any]] = []
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(chat.hearts.run)
            for _ in range(40):  # two seconds
                chat.hearts.add(LIVE, 1)
                while not chat.clock.sleeping:  # it tells, or has told and pauses
                    await trio.lowlevel.checkpoint()
                chat.clock.advance(0.05)
            while not told or told[-1]["total"] < 40:
                if chat.clock.sleeping:
                    chat.clock.advance(0.25)
                await trio.lowlevel.checkpoint()
                told = chat.rooms.of("chat:hearts")
            nursery.cancel_scope.cancel()
    assert 2 <= len(told) <= chat.clock.monotonic() / 0.25 + 1


@pytest.mark.parametrize("processes", [2, 5])
async def test_processes_add_up_and_take_turns(
    chat: ChatRoom, redis_store: RedisStore, manual_clock: ManualClock, processes: int
) -> None:
    rooms = RecordedRooms()
    all_of_them = [ChatRoom(chat.db, redis_store, manual_clock, rooms=rooms) for _ in range(processes)]
    ticks = 8
    for _ in range(ticks):
        async with trio.open_nursery() as nursery:
            for one in all_of_them:
                one.hearts.add(LIVE, 3)
                nursery.start_soon(one.hearts.tell)
        manual_clock.advance(0.25)
    for one in all_of_them:
        await one.hearts.tell()  # what nobody has said yet
    told = rooms.of("chat:hearts")
    assert len(told) <= ticks + 1
    assert told[-1]["total"] == ticks * processes * 3
    totals = [data["total"] for data in told]
    assert totals == sorted(totals)
    assert [one.hearts.statistics().waiting for one in all_of_them] == [0] * processes


async def test_without_the_turns_each_process_would_speak(
    chat: ChatRoom, redis_store: RedisStore, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same, where each process counts under a name of its own."""
    rooms = RecordedRooms()
    all_of_them = [ChatRoom(chat.db, redis_store, manual_clock, rooms=rooms) for _ in range(2)]
    for number, one in enumerate(all_of_them):
        add = one.hearts._add

        async def apart(keys: Any, args: Any, number: int = number, add: Any = add) -> Any:
            return await add([f"{keys[0]}:{number}"], args)

        monkeypatch.setattr(one.hearts, "_add", apart)
        one.hearts.add(LIVE, 3)
        await one.hearts.tell()
    assert [data["total"] for data in rooms.of("chat:hearts")] == [3, 3]


async def test_a_machine_whose_clock_lies_behind_is_not_silent(
    chat: ChatRoom, redis_store: RedisStore, database: PostgresDatabase
) -> None:
    ahead, behind = ManualClock(), ManualClock()
    ahead.advance(60)
    fast = ChatRoom(database, redis_store, ahead)
    slow = ChatRoom(database, redis_store, behind)
    fast.hearts.add(LIVE, 1)
    await fast.hearts.tell()
    slow.hearts.add(LIVE, 1)
    await slow.hearts.tell()
    assert slow.rooms.of("chat:hearts") == [{"liveId": LIVE, "total": 2}]


async def test_hearts_are_bounded_and_belong_to_an_open_room(chat: ChatRoom) -> None:
    conn = await chat.join()
    for wrong in (0, -1, 51):
        assert await chat.refused(conn, "chat:heart", liveId=LIVE, count=wrong) == "VALIDATION_FAILED"
    assert await chat.refused(conn, "chat:heart", liveId="live-none") == "STREAM_NOT_FOUND"
    for _ in range(4):
        await chat.send(conn, "chat:heart", liveId=LIVE, count=50)
    assert await chat.refused(conn, "chat:heart", liveId=LIVE) == "RATE_LIMITED"
    await chat.send(chat.conn(conn.principal), "chat:heart", liveId=OTHER)  # another socket
    chat.clock.advance(0.05)
    await chat.send(conn, "chat:heart", liveId=LIVE)
    chat.status[LIVE] = "OFFLINE"
    assert await chat.refused(conn, "chat:heart", liveId=LIVE) == "CONFLICT"


async def test_while_redis_is_away_hearts_wait(
    database: PostgresDatabase, redis_store: RedisStore, manual_clock: ManualClock, tmp_path: Any
) -> None:
    async with open_redis(f"unix://{tmp_path}/nobody.sock") as nowhere:
        chat = ChatRoom(database, nowhere, manual_clock)
        chat.hearts.add(LIVE, 7)
        with pytest.raises(DoramiError, match="UNAVAILABLE"):
            await chat.hearts.tell()
        assert chat.hearts.statistics().waiting == 7
        there = ChatRoom(database, redis_store, manual_clock)
        chat.hearts._add = there.hearts._add
        await chat.hearts.tell()
        assert chat.rooms.of("chat:hearts") == [{"liveId": LIVE, "total": 7}]
