"""Chat on real Redis."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import trio
import trio.testing
from chat_harness import LIVE, ChatRoom

from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import Principal
from dorami_core.hooks.host import StreamStatus
from dorami_core.hooks.markers import hookimpl
from dorami_core.hooks.sockets import RoomPosition
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.store.redis import open_redis
from dorami_core.testing.clock import ManualClock
from dorami_core.testing.sockets import RecordedConnection, guest_principal, user_principal


async def test_a_message_reaches_the_room_and_its_sender_as_it_was_written(chat: ChatRoom) -> None:
    speaker, listener = await chat.join(user_principal("dorami")), await chat.join(guest_principal())
    text = '  <b>"안녕"</b> 👋\n\\ {}  '
    answer = await chat.say(speaker, text)
    assert set(answer) == {"id", "seq", "timestamp"}
    assert speaker.heard == listener.heard
    assert [event for event, _ in listener.heard] == ["chat:history", "chat:message"]
    message = listener.heard[1][1]
    assert speaker.principal.user is not None
    assert message == {
        "id": answer["id"],
        "liveId": LIVE,
        "userId": str(speaker.principal.user.id),
        "displayName": "dorami",
        "role": "USER",
        "message": text,
        "timestamp": "2026-01-02T03:04:05.000Z",
        "seq": 1,
        "epoch": message["epoch"],
    }
    late = await chat.join()
    assert late.heard == [("chat:history", [message])]


async def test_everybody_can_tell_the_sellers_lines(chat: ChatRoom) -> None:
    seller, listener = await chat.join(user_principal(role="ADMIN")), await chat.join(guest_principal())
    await chat.say(seller, "어서 오세요")
    assert listener.heard[1][1]["role"] == "ADMIN"
    late = await chat.join()
    assert [message["role"] for message in late.heard[0][1]] == ["ADMIN"]


async def test_history_is_the_last_fifty_oldest_first_and_a_day_long(chat: ChatRoom) -> None:
    staff = await chat.join(user_principal(role="ADMIN"))
    for number in range(120):
        await chat.say(staff, str(number))
    assert await chat.redis.execute("LLEN", f"chat:{LIVE}:history") == 100
    history = (await chat.join()).heard[0][1]
    assert [message["message"] for message in history] == [str(number) for number in range(70, 120)]
    assert 86_000 < await chat.redis.execute("TTL", f"chat:{LIVE}:history") <= 86_400
    chat.clock.advance(timedelta(hours=23).total_seconds())
    await chat.say(staff, "later")
    chat.clock.advance(timedelta(hours=2).total_seconds())
    history = (await chat.join()).heard[0][1]
    assert [message["message"] for message in history] == ["later"]


async def test_twenty_in_ten_seconds_and_staff_as_many_as_they_like(chat: ChatRoom) -> None:
    person, staff = await chat.join(), await chat.join(user_principal(role="ADMIN"))
    for number in range(20):
        await chat.say(person, str(number))
        chat.clock.advance(0.1)
    refused = await chat.refusal(person, "too fast")
    assert (refused.code, refused.retry_after_ms) == ("RATE_LIMITED", 8000)
    for _ in range(40):
        await chat.say(staff, "staff")
    await chat.say(await chat.join(), "another person")
    chat.clock.advance(7.99)
    assert (await chat.refusal(person, "still")).retry_after_ms == 10
    chat.clock.advance(0.01)
    await chat.say(person, "again")
    assert (await chat.refusal(person, "one only")).retry_after_ms == 100
    assert "too fast" not in [message["message"] for message in chat.rooms.of("chat:message")]


async def test_the_rate_is_the_persons_over_all_rooms_and_sockets(chat: ChatRoom) -> None:
    person = user_principal()
    one, two = await chat.join(person), await chat.join(person, "live-two")
    for number in range(20):
        await chat.say(one if number % 2 else two, "x", liveId=LIVE if number % 2 else "live-two")
    assert (await chat.refusal(two, "x", liveId="live-two")).code == "RATE_LIMITED"


async def test_a_client_id_makes_a_message_once(chat: ChatRoom) -> None:
    person = await chat.join()
    first = await chat.say(person, "once", clientId="a")
    chat.clock.advance(60)
    assert await chat.say(person, "once", clientId="a") == first
    assert len(chat.rooms.of("chat:message")) == 1
    assert (await chat.refusal(person, "other text", clientId="a")).code == "CONFLICT"
    other = await chat.join()
    assert (await chat.say(other, "once", clientId="a"))["id"] != first["id"]
    for bad in ("", "x" * 129):
        assert (await chat.refusal(person, "x", clientId=bad)).code == "VALIDATION_FAILED"


async def test_a_repetition_does_not_count_for_the_rate(chat: ChatRoom) -> None:
    person = await chat.join()
    for number in range(20):
        await chat.say(person, "x", clientId=str(number))
    await chat.say(person, "x", clientId="0")
    assert (await chat.refusal(person, "x", clientId="20")).code == "RATE_LIMITED"


async def test_who_may_write_what_and_when(chat: ChatRoom) -> None:
    person = await chat.join()
    assert (await chat.refusal(await chat.join(guest_principal()), "hi")).code == "UNAUTHORIZED"
    assert (await chat.refusal(person, "hi", liveId="live-none")).code == "STREAM_NOT_FOUND"
    assert (await chat.refusal(person, "hi", liveId="../..")).code == "STREAM_NOT_FOUND"
    assert (await chat.refusal(person, " \n ")).code == "VALIDATION_FAILED"
    assert (await chat.refusal(person, "가" * 501)).code == "VALIDATION_FAILED"
    statuses: tuple[StreamStatus, ...] = ("PENDING", "LIVE", "INTERRUPTED")
    for status in statuses:
        chat.status[LIVE] = status
        await chat.say(person, status)
    chat.status[LIVE] = "OFFLINE"
    assert (await chat.refusal(person, "too late")).code == "CONFLICT"
    with pytest.raises(DoramiError, match="STREAM_NOT_FOUND"):
        await chat.join(live="live-none")


async def test_a_plugin_may_refuse_a_message(chat: ChatRoom) -> None:
    class Moderator:
        @hookimpl
        async def validate_chat_message(self, principal: Principal, stream_key: str, message: str) -> None:
            if "spam" in message:
                raise DoramiError("FORBIDDEN")

    chat.manager.register(Moderator())
    person = await chat.join()
    assert (await chat.refusal(person, "spam!")).code == "FORBIDDEN"
    await chat.say(person, "hello")
    assert [message["seq"] for message in chat.rooms.of("chat:message")] == [1]


async def test_staff_take_a_message_back(chat: ChatRoom) -> None:
    staff, person = await chat.join(await chat.user("seller", "ADMIN")), await chat.join()
    kept = await chat.say(person, "keep")
    bad = await chat.say(person, "take back")
    with pytest.raises(DoramiError, match="FORBIDDEN"):
        await chat.events.send(person, "chat:delete-message", {"liveId": LIVE, "messageId": bad["id"]})
    for _ in range(2):
        await chat.events.send(staff, "chat:delete-message", {"liveId": LIVE, "messageId": bad["id"]})
    assert person.heard[-1] == ("chat:deleted", {"id": bad["id"]})
    assert [message["id"] for message in (await chat.join()).heard[0][1]] == [kept["id"]]
    for live, message_id in ((LIVE, "unknown"), ("live-two", kept["id"])):
        with pytest.raises(DoramiError, match="MESSAGE_NOT_FOUND"):
            await chat.events.send(staff, "chat:delete-message", {"liveId": live, "messageId": message_id})


async def test_a_room_hears_all_in_the_order_of_the_numbers(chat: ChatRoom) -> None:
    listener = await chat.join()
    speakers = [await chat.join() for _ in range(30)]

    async def talk(conn: RecordedConnection) -> None:
        for number in range(10):
            await chat.say(conn, str(number))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for speaker in speakers:
                nursery.start_soon(talk, speaker)
    numbers = [data["seq"] for event, data in listener.heard if event == "chat:message"]
    assert numbers == list(range(1, 301))
    assert chat.service.statistics().sent == 300


async def test_who_joins_a_busy_room_misses_nothing_and_hears_nothing_twice(chat: ChatRoom) -> None:
    staff = [await chat.join(user_principal(role="ADMIN")) for _ in range(3)]
    joined: list[RecordedConnection] = []

    async def talk(conn: RecordedConnection) -> None:
        for number in range(15):
            await chat.say(conn, str(number))

    async def come() -> None:
        for _ in range(5):
            joined.append(await chat.join())

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for speaker in staff:
                nursery.start_soon(talk, speaker)
            for _ in range(3):
                nursery.start_soon(come)
    assert len(joined) == 15
    for conn in joined:
        (event, history), *later = conn.heard
        assert event == "chat:history"
        numbers = [message["seq"] for message in history] + [message["seq"] for _, message in later]
        assert numbers == list(range(1, 46))


async def test_rooms_count_apart_and_a_lost_redis_begins_another_epoch(chat: ChatRoom) -> None:
    person = await chat.join()
    await chat.say(person, "one")
    await chat.say(person, "two", liveId="live-two")
    await chat.redis.execute("FLUSHALL")
    await chat.redis.execute("SCRIPT", "FLUSH")
    await chat.say(person, "three")
    one, two, three = chat.rooms.of("chat:message")
    assert (one["seq"], two["seq"], three["seq"]) == (1, 1, 1)
    assert one["epoch"] == two["epoch"] != three["epoch"]


async def test_leaving_ends_the_listening(chat: ChatRoom) -> None:
    one, two = await chat.join(), await chat.join()
    await chat.events.send(one, "chat:leave-room", {"liveId": LIVE})
    await chat.events.send(two, "chat:leave-room")
    await chat.say(await chat.join(), "hello?")
    assert len(one.heard) == len(two.heard) == 1


async def test_a_sender_who_goes_away_leaves_no_gap(chat: ChatRoom) -> None:
    listener, sender = await chat.join(), await chat.join()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(chat.say, sender, "goodbye")
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    await chat.say(listener, "next")
    numbers = [data["seq"] for event, data in listener.heard if event == "chat:message"]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_without_redis_chat_says_so(database: PostgresDatabase, manual_clock: ManualClock, tmp_path: Any) -> None:
    async with open_redis(f"unix://{tmp_path}/nobody.sock") as redis:
        chat = ChatRoom(database, redis, manual_clock)
        assert (await chat.refusal(chat.conn(), "hi")).code == "UNAVAILABLE"
        with pytest.raises(DoramiError, match="UNAVAILABLE"):
            await chat.join()


async def test_a_message_between_reading_the_history_and_joining_is_not_lost(chat: ChatRoom) -> None:
    staff = await chat.join(user_principal(role="ADMIN"))
    store = chat.service._store
    read = store.window

    async def read_then_somebody_speaks(live_id: str, now: datetime) -> tuple[list[dict[str, Any]], RoomPosition]:
        found = await read(live_id, now)
        for number in range(2):
            await chat.say(staff, f"meanwhile {number}")
        return found

    await chat.say(staff, "before")
    store.window = read_then_somebody_speaks  # type: ignore[method-assign]
    newcomer = await chat.join()
    await chat.say(staff, "after")
    (event, history), *later = newcomer.heard
    assert event == "chat:history"
    assert [message["message"] for message in history] == ["before"]
    assert [message["message"] for _, message in later] == ["meanwhile 0", "meanwhile 1", "after"]
