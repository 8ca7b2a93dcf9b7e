"""Rate windows: of a person over all processes, of an address, of what costs only this process."""

from __future__ import annotations

import pytest
import trio
from chat_harness import LIVE, ChatRoom, make_streams, people_of

from dorami_core.base.errors import DoramiError
from dorami_core.base.settings import ChatSettings
from dorami_core.chat.windows import KEYS_KEPT, LocalWindow, address_key
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.store.redis import RedisStore
from dorami_core.testing.clock import ManualClock
from dorami_core.testing.sockets import RecordedConnection, guest_principal, user_principal


async def _flood(rooms: list[ChatRoom], conns: list[RecordedConnection], times: int) -> int:
    """How many of `times` messages through each room were taken, all at once."""
    taken = 0

    async def say(room: ChatRoom, conn: RecordedConnection) -> None:
        nonlocal taken
        try:
            await room.say(conn, "x")
            taken += 1
        except DoramiError as error:
            assert error.code == "RATE_LIMITED"
            assert error.retry_after_ms == 10_000

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for room, conn in zip(rooms, conns, strict=True):
                for _ in range(times):
                    nursery.start_soon(say, room, conn)
    return taken


async def test_two_processes_share_one_window(
    chat: ChatRoom, redis_store: RedisStore, manual_clock: ManualClock
) -> None:
    rooms = [chat, ChatRoom(chat.db, redis_store, manual_clock)]
    person = user_principal()
    assert await _flood(rooms, [room.conn(person) for room in rooms], 25) == 20


async def test_without_a_shared_window_each_process_lets_twenty_through(
    chat: ChatRoom, redis_store: RedisStore, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same flood, where each process counts under a name of its own."""
    rooms = [chat, ChatRoom(chat.db, redis_store, manual_clock)]
    for number, room in enumerate(rooms):
        send = room.service._store._send

        async def apart(keys, args, number=number, send=send):  # type: ignore[no-untyped-def]
            return await send([*keys[:2], f"{keys[2]}:{number}", *keys[3:]], args)

        monkeypatch.setattr(room.service._store, "_send", apart)
    person = user_principal()
    assert await _flood(rooms, [room.conn(person) for room in rooms], 25) == 40


async def test_an_address_has_a_window_of_its_own(
    database: PostgresDatabase, redis_store: RedisStore, manual_clock: ManualClock
) -> None:
    await make_streams(database)
    chat = ChatRoom(database, redis_store, manual_clock, settings=ChatSettings(rate_count=3, address_rate_count=5))
    crowd = [chat.conn(address="203.0.113.7") for _ in range(3)]
    for number in range(5):
        await chat.say(crowd[number % 3], "x")
    refused = await chat.refusal(crowd[2], "x")
    assert (refused.code, refused.retry_after_ms) == ("RATE_LIMITED", 10_000)
    await chat.say(chat.conn(address="203.0.113.8"), "another address")
    await chat.say(chat.conn(user_principal(role="ADMIN"), address="203.0.113.7"), "staff")
    chat.clock.advance(10)
    await chat.say(crowd[2], "x")


async def test_an_exempt_address_is_spared_that_window_and_not_the_persons(
    database: PostgresDatabase, redis_store: RedisStore, manual_clock: ManualClock
) -> None:
    await make_streams(database)
    settings = ChatSettings(rate_count=3, address_rate_count=4, join_rate_count=1)
    chat = ChatRoom(database, redis_store, manual_clock, settings=settings, exempt_addresses=["10.0.0.0/8"])
    crowd = [chat.conn(address="10.1.2.3") for _ in range(4)]
    for conn in crowd * 3:
        await chat.send(conn, "chat:join-room", liveId=LIVE)
        await chat.say(conn, "x")
    assert (await chat.refusal(crowd[0], "x")).code == "RATE_LIMITED"


async def test_moderators_are_staff_for_the_windows_too(chat: ChatRoom) -> None:
    people = await people_of(chat)
    for _ in range(25):
        await chat.say(people.moderator, "x")


async def test_joining_has_windows_too(
    database: PostgresDatabase, redis_store: RedisStore, manual_clock: ManualClock
) -> None:
    await make_streams(database)
    settings = ChatSettings(join_rate_count=4, address_join_rate_count=10)
    chat = ChatRoom(database, redis_store, manual_clock, settings=settings)
    guest = chat.conn(guest_principal("one"))
    for _ in range(4):
        await chat.send(guest, "chat:join-room", liveId=LIVE)
    with pytest.raises(DoramiError, match="RATE_LIMITED") as refused:
        await chat.send(guest, "chat:join-room", liveId=LIVE)
    assert refused.value.retry_after_ms == 2500
    for number in range(6):  # what was refused is not counted
        await chat.join(guest_principal(f"other-{number}"))
    with pytest.raises(DoramiError, match="RATE_LIMITED"):
        await chat.join(guest_principal("late"))
    await chat.join(guest_principal("elsewhere"), address="2001:db8::1")
    chat.clock.advance(2.5)
    await chat.send(guest, "chat:join-room", liveId=LIVE)


def test_a_window_lets_its_count_through_at_once_and_then_evenly(manual_clock: ManualClock) -> None:
    window = LocalWindow(manual_clock, 10, 5)
    window.take("a", 10)
    with pytest.raises(DoramiError) as refused:
        window.take("a")
    assert refused.value.retry_after_ms == 500
    window.take("b", 3)
    manual_clock.advance(0.5)
    window.take("a")
    manual_clock.advance(100)
    window.take("a", 10)


def test_a_window_keeps_no_more_than_its_bound(manual_clock: ManualClock) -> None:
    window = LocalWindow(manual_clock, 1, 5)
    for number in range(KEYS_KEPT + 1):
        window.take(number)
    window.take(0)  # forgotten, the oldest
    with pytest.raises(DoramiError, match="RATE_LIMITED"):
        window.take(KEYS_KEPT)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.7", "::ffff:203.0.113.7", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("203.0.113.7", "203.0.113.8", False),
        ("unix", "unix", True),
    ],
)
def test_one_customers_addresses_are_one(one: str, other: str, same: bool) -> None:
    assert (address_key(one) == address_key(other)) is same
