"""Moderation on real PostgreSQL and Redis: who may do what to whom, and what the room hears of it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from chat_harness import LIVE, OTHER, ChatRoom, id_of, people_of

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import ViewerId, new_uuid
from dorami_core.chat import moderation_store
from dorami_core.hooks.markers import hookimpl
from dorami_core.hooks.transactions import Tx
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.store.redis import RedisStore
from dorami_core.testing.clock import ManualClock
from dorami_core.testing.sockets import RecordedConnection, RecordedRooms, guest_principal, user_principal


def told(conn: RecordedConnection, event: str) -> list[object]:
    return [data for name, data in conn.heard if name == event]


async def test_a_timeout_silences_one_person_for_its_minutes(chat: ChatRoom) -> None:
    people = await people_of(chat)
    answer = await chat.send(people.moderator, "chat:timeout-user", userId=id_of(people.person), minutes=5, liveId=LIVE)
    assert answer == {"until": "2026-01-02T03:09:05.000Z"}
    viewer = people.person.principal.viewer_id
    assert [said.data["minutes"] for said in chat.rooms.said if said.room == viewer] == [5]
    chat.clock.advance(240)
    refused = await chat.refusal(people.person, "let me")
    assert (refused.code, refused.retry_after_ms) == ("CHAT_TIMED_OUT", 60_000)
    assert (await chat.refusal(people.person, "here?", liveId=OTHER)).code == "CHAT_TIMED_OUT"
    await chat.say(people.watcher, "others go on")
    chat.clock.advance(60)
    await chat.say(people.person, "back")


async def test_a_timeout_can_be_ended_and_knows_four_lengths(chat: ChatRoom) -> None:
    people = await people_of(chat)
    for minutes in (0, 2, -1, 61):
        code = await chat.refused(people.seller, "chat:timeout-user", userId=id_of(people.person), minutes=minutes)
        assert code == "VALIDATION_FAILED"
    for minutes in (1, 5, 10, 60):
        await chat.send(people.seller, "chat:timeout-user", userId=id_of(people.person), minutes=minutes)
    state = await chat.events.send(people.person, "chat:join-room", {"liveId": LIVE})
    assert state["timedOutUntil"] == "2026-01-02T04:04:05.000Z"
    for _ in range(2):
        await chat.send(people.moderator, "chat:end-timeout", userId=id_of(people.person))
    await chat.say(people.person, "free again")


async def test_a_ban_cuts_and_keeps_out_until_it_is_undone(chat: ChatRoom) -> None:
    people = await people_of(chat)
    await chat.send(people.moderator, "chat:ban-user", userId=id_of(people.person), reason="욕설", liveId=LIVE)
    assert (ViewerId(f"u:{id_of(people.person)}"), "banned") in chat.rooms.cut
    with pytest.raises(DoramiError) as refused:
        chat.bans.admit(people.person.principal)
    assert (refused.value.code, refused.value.details) == ("FORBIDDEN", {"reason": "banned"})
    assert (await chat.refusal(people.person, "hello")).details == {"reason": "banned"}
    assert await chat.refused(people.person, "chat:join-room", liveId=OTHER) == "FORBIDDEN"
    assert await chat.refused(people.person, "chat:heart", liveId=LIVE) == "FORBIDDEN"
    for other in (people.watcher.principal, people.seller.principal, guest_principal()):
        chat.bans.admit(other)
    for _ in range(2):
        await chat.send(people.moderator, "chat:unban-user", userId=id_of(people.person))
    chat.bans.admit(people.person.principal)
    await chat.say(people.person, "thank you")


async def test_a_ban_reaches_the_other_processes_with_their_next_look(
    chat: ChatRoom, redis_store: RedisStore, manual_clock: ManualClock
) -> None:
    other = ChatRoom(chat.db, redis_store, manual_clock)
    async with trio.open_nursery() as nursery:
        await nursery.start(other.rules.run)
        people = await people_of(chat)
        await chat.send(people.seller, "chat:ban-user", userId=id_of(people.person))
        other.bans.admit(people.person.principal)  # has not looked since
        await trio.testing.wait_all_tasks_blocked()
        assert manual_clock.sleeping == 1
        version = other.rules.now.version
        manual_clock.advance(0.5)
        with trio.fail_after(60):
            while other.rules.now.version == version:
                await trio.lowlevel.checkpoint()
        with pytest.raises(DoramiError, match="FORBIDDEN"):
            other.bans.admit(people.person.principal)
        # he may have come in there between the cut and the look
        assert other.rooms.cut == [(ViewerId(f"u:{id_of(people.person)}"), "banned")]
        nursery.cancel_scope.cancel()


async def test_bans_hold_while_the_database_is_away(
    database: PostgresDatabase, redis_store: RedisStore, manual_clock: ManualClock, chat: ChatRoom
) -> None:
    people = await people_of(chat)
    await chat.send(people.seller, "chat:ban-user", userId=id_of(people.person))

    class Away:
        async def fetchval(self, sql: str, *args: object) -> object:
            raise DoramiError("UNAVAILABLE")

    chat.rules._db = Away()  # type: ignore[assignment]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_run_after_boot, chat)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            manual_clock.advance(0.5)
            await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(DoramiError, match="FORBIDDEN"):
            chat.bans.admit(people.person.principal)
        nursery.cancel_scope.cancel()


async def _run_after_boot(chat: ChatRoom) -> None:
    with pytest.raises(DoramiError, match="UNAVAILABLE"):
        await chat.rules.run()  # a first copy is needed
    real, chat.rules._db = chat.rules._db, chat.db
    async with trio.open_nursery() as nursery:
        await nursery.start(chat.rules.run)
        chat.rules._db = real


async def test_who_may_do_what_to_whom(chat: ChatRoom) -> None:
    people = await people_of(chat)
    second = await chat.join(await chat.user("helper-two"))
    await chat.send(people.seller, "chat:add-moderator", userId=id_of(second))
    line = await chat.say(people.person, "a line")
    staff_only: list[tuple[str, dict[str, object]]] = [
        ("chat:timeout-user", {"userId": id_of(people.watcher), "minutes": 1}),
        ("chat:end-timeout", {"userId": id_of(people.watcher)}),
        ("chat:ban-user", {"userId": id_of(people.watcher)}),
        ("chat:unban-user", {"userId": id_of(people.watcher)}),
        ("chat:set-mode", {"liveId": LIVE, "frozen": True}),
        ("chat:pin-message", {"liveId": LIVE, "messageId": line["id"]}),
        ("chat:unpin-message", {"liveId": LIVE}),
        ("chat:delete-message", {"liveId": LIVE, "messageId": line["id"]}),
    ]
    guest = await chat.join(guest_principal())
    for event, data in staff_only:
        assert await chat.refused(people.person, event, **data) == "FORBIDDEN", event
        assert await chat.refused(guest, event, **data) == "UNAUTHORIZED", event
        await chat.send(people.moderator, event, **data)
    for target in (people.seller, second):  # staff are out of a moderator's reach
        for event, more in (("chat:ban-user", {}), ("chat:timeout-user", {"minutes": 1})):
            assert await chat.refused(people.moderator, event, userId=id_of(target), **more) == "FORBIDDEN"
    assert await chat.refused(people.moderator, "chat:add-moderator", userId=id_of(people.person)) == "FORBIDDEN"
    assert await chat.refused(people.moderator, "chat:remove-moderator", userId=id_of(second)) == "FORBIDDEN"
    assert await chat.refused(people.seller, "chat:ban-user", userId=id_of(people.seller)) == "FORBIDDEN"
    assert await chat.refused(people.seller, "chat:ban-user", userId=str(new_uuid())) == "USER_NOT_FOUND"
    await chat.send(people.seller, "chat:remove-moderator", userId=id_of(second))
    assert await chat.refused(second, "chat:set-mode", liveId=LIVE, frozen=True) == "FORBIDDEN"
    await chat.send(people.seller, "chat:ban-user", userId=id_of(people.moderator))  # the seller may
    assert await chat.refused(people.moderator, "chat:set-mode", liveId=LIVE, frozen=True) == "FORBIDDEN"


async def test_who_becomes_a_moderator_is_told(chat: ChatRoom) -> None:
    people = await people_of(chat)
    await chat.send(people.seller, "chat:remove-moderator", userId=id_of(people.moderator))
    assert [said.data for said in chat.rooms.said if said.event == "chat:moderator"] == [
        {"isModerator": True},
        {"isModerator": False},
    ]


async def test_a_frozen_room_hears_staff_alone(chat: ChatRoom) -> None:
    people = await people_of(chat)
    answer = await chat.send(people.moderator, "chat:set-mode", liveId=LIVE, frozen=True)
    assert answer == {"liveId": LIVE, "frozen": True, "slowSeconds": 0}
    assert told(people.watcher, "chat:mode") == [answer]
    assert (await chat.refusal(people.person, "hello?")).code == "CHAT_FROZEN"
    await chat.say(people.person, "elsewhere", liveId=OTHER)
    await chat.say(people.seller, "one moment")
    await chat.say(people.moderator, "please wait")
    state = await chat.events.send(chat.conn(guest_principal()), "chat:join-room", {"liveId": LIVE})
    assert (state["frozen"], state["isModerator"]) == (True, False)
    await chat.send(people.seller, "chat:set-mode", liveId=LIVE, frozen=False)
    await chat.say(people.person, "hello")
    assert await chat.refused(people.seller, "chat:set-mode", liveId="live-none", frozen=True) == "STREAM_NOT_FOUND"
    assert await chat.refused(people.seller, "chat:set-mode", liveId=LIVE) == "VALIDATION_FAILED"


async def test_whose_message_a_plugin_looks_at_while_the_room_is_frozen_is_refused(chat: ChatRoom) -> None:
    people = await people_of(chat)
    looks, may_go = trio.Event(), trio.Event()
    refused: list[str] = []

    class Slow:
        @hookimpl
        async def validate_chat_message(self) -> None:
            looks.set()
            await may_go.wait()

    async def say() -> None:
        refused.append((await chat.refusal(people.person, "looked at")).code)

    chat.manager.register(Slow())
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say)
            await looks.wait()
            await chat.send(people.seller, "chat:set-mode", liveId=LIVE, frozen=True)
            may_go.set()
    assert refused == ["CHAT_FROZEN"]


async def test_an_id_is_the_same_however_it_is_written(chat: ChatRoom) -> None:
    people = await people_of(chat)
    line = await chat.say(people.person, "oops")
    await chat.send(people.moderator, "chat:delete-message", liveId=LIVE, messageId=line["id"].upper())
    assert people.watcher.heard[-1] == ("chat:deleted", {"id": line["id"]})
    assert (await chat.join()).heard == [("chat:history", [])]


async def test_slow_mode_spaces_one_persons_messages(chat: ChatRoom) -> None:
    people = await people_of(chat)
    await chat.say(people.person, "before")
    await chat.send(people.moderator, "chat:set-mode", liveId=LIVE, slowSeconds=30)
    await chat.say(people.person, "first", clientId="a")
    chat.clock.advance(10)
    refused = await chat.refusal(people.person, "second")
    assert (refused.code, refused.retry_after_ms) == ("CHAT_SLOW_MODE", 20_000)
    await chat.say(people.person, "first", clientId="a")  # a repetition is no second message
    await chat.say(people.watcher, "another person")
    await chat.say(people.person, "another room", liveId=OTHER)
    for _ in range(3):
        await chat.say(people.moderator, "staff")
    chat.clock.advance(20)
    await chat.say(people.person, "second")
    await chat.send(people.seller, "chat:set-mode", liveId=LIVE, slowSeconds=0)
    await chat.say(people.person, "third")
    for wrong in (-1, 301):
        code = await chat.refused(people.seller, "chat:set-mode", liveId=LIVE, slowSeconds=wrong)
        assert code == "VALIDATION_FAILED"


async def test_a_refused_message_does_not_count_for_slow_mode_or_rates(chat: ChatRoom) -> None:
    people = await people_of(chat)
    await chat.send(people.seller, "chat:set-mode", liveId=LIVE, slowSeconds=2)
    await chat.say(people.person, "one")
    for _ in range(30):
        assert (await chat.refusal(people.person, "two")).code == "CHAT_SLOW_MODE"
    chat.clock.advance(2)
    await chat.say(people.person, "two")


async def test_a_banned_word_is_refused_and_nobody_sees_it(chat: ChatRoom) -> None:
    people = await people_of(chat)
    word_id = await chat.moderation.ban_word(people.seller.principal, "바보")
    assert await chat.moderation.ban_word(people.seller.principal, "ㅂㅏㅂㅗ") == word_id
    for text in ("바보", "ㅂㅏ 보", "너 바.보?"):
        assert (await chat.refusal(people.person, text)).code == "CHAT_WORD_REFUSED"
    assert told(people.watcher, "chat:message") == []
    await chat.say(people.seller, "바보라고 하지 말아 주세요")
    await chat.say(people.person, "안녕하세요")
    for bad in ("", "!!", "x" * 51):
        with pytest.raises(DoramiError, match="VALIDATION_FAILED"):
            await chat.moderation.ban_word(people.seller.principal, bad)
    with pytest.raises(DoramiError, match="FORBIDDEN"):
        await chat.moderation.ban_word(people.moderator.principal, "other")
    await chat.moderation.allow_word(people.seller.principal, word_id)
    await chat.say(people.person, "바보")


async def test_a_message_is_pinned_replaced_and_taken_down(chat: ChatRoom) -> None:
    people = await people_of(chat)
    first = await chat.say(people.person, "사이즈는 <S> & M")
    second = await chat.say(people.person, "무료 배송")
    await chat.send(people.moderator, "chat:pin-message", liveId=LIVE, messageId=first["id"])
    await chat.send(people.moderator, "chat:pin-message", liveId=LIVE, messageId=second["id"])
    texts = [data["message"]["message"] for data in told(people.watcher, "chat:pinned")]  # type: ignore[index]
    assert texts == ["사이즈는 <S> & M", "무료 배송"]
    state = await chat.events.send(chat.conn(guest_principal()), "chat:join-room", {"liveId": LIVE})
    assert state["pinned"] == {
        "id": second["id"],
        "userId": id_of(people.person),
        "displayName": "minji",
        "role": "USER",
        "message": "무료 배송",
        "timestamp": second["timestamp"],
    }
    await chat.send(people.moderator, "chat:unpin-message", liveId=LIVE)
    assert told(people.watcher, "chat:pinned")[-1] == {"liveId": LIVE, "message": None}
    for live, message in ((LIVE, str(new_uuid())), (LIVE, "none"), (OTHER, first["id"])):
        code = await chat.refused(people.seller, "chat:pin-message", liveId=live, messageId=message)
        assert code == "MESSAGE_NOT_FOUND"


async def test_what_is_deleted_is_not_pinned(chat: ChatRoom) -> None:
    people = await people_of(chat)
    line = await chat.say(people.person, "oops")
    await chat.send(people.moderator, "chat:pin-message", liveId=LIVE, messageId=line["id"])
    await chat.send(people.moderator, "chat:delete-message", liveId=LIVE, messageId=line["id"])
    assert people.watcher.heard[-2:] == [
        ("chat:deleted", {"id": line["id"]}),
        ("chat:pinned", {"liveId": LIVE, "message": None}),
    ]
    code = await chat.refused(people.moderator, "chat:pin-message", liveId=LIVE, messageId=line["id"])
    assert code == "MESSAGE_NOT_FOUND"


async def test_pinning_and_deleting_at_once_never_leaves_a_deleted_message_pinned(
    chat: ChatRoom, redis_store: RedisStore, manual_clock: ManualClock
) -> None:
    other = ChatRoom(chat.db, redis_store, manual_clock, rooms=chat.rooms)
    people = await people_of(chat)
    await other.rules.refresh()
    for number in range(8):
        line = await chat.say(people.person, str(number))
        data = {"liveId": LIVE, "messageId": line["id"]}

        async def pin(data: dict[str, str]) -> None:
            try:
                await other.events.send(people.seller, "chat:pin-message", data)
            except DoramiError as error:
                assert error.code == "MESSAGE_NOT_FOUND"

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pin, data)
                nursery.start_soon(chat.events.send, people.seller, "chat:delete-message", data)
        assert await chat.db.fetchval("SELECT pinned FROM chat.rooms WHERE stream_key = $1", LIVE) is None


@pytest.mark.parametrize("is_locked", [True, False])
async def test_the_lock_is_what_keeps_a_deleted_message_from_being_pinned(
    chat: ChatRoom, is_locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion comes between the look at the deletions and the pin. Without the lock (the control) it gets by."""
    people = await people_of(chat)
    line = await chat.say(people.person, "oops")
    looked, deleted = trio.Event(), trio.Event()
    real_begin, real_pin = moderation_store.begin, moderation_store.pin

    class Halting:
        def __init__(self, tx: Tx) -> None:
            self._tx = tx

        async def fetchval(self, sql: str, *args: object) -> object:
            found = await self._tx.fetchval(sql, *args)
            looked.set()
            await deleted.wait()
            return found

        async def execute(self, sql: str, *args: object) -> str:
            return await self._tx.execute(sql, *args)

    async def pin(tx: Tx, *args: Any) -> bool:
        return await real_pin(Halting(tx), *args)  # type: ignore[arg-type]

    async def begin(tx: Tx, *args: Any, **facts: Any) -> None:
        if is_locked:
            await real_begin(tx, *args, **facts)

    async def delete() -> None:
        await other.events.send(people.seller, "chat:delete-message", {"liveId": LIVE, "messageId": line["id"]})
        deleted.set()

    monkeypatch.setattr(moderation_store, "pin", pin)
    monkeypatch.setattr(moderation_store, "begin", begin)
    other = ChatRoom(chat.db, chat.redis, chat.clock, rooms=chat.rooms)
    await other.rules.refresh()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                chat.events.send, people.seller, "chat:pin-message", {"liveId": LIVE, "messageId": line["id"]}
            )
            await looked.wait()
            nursery.start_soon(delete)
            while not deleted.is_set():
                if await chat.db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    deleted.set()  # it waits for the pin to be over
                await trio.lowlevel.checkpoint()
    pinned = await chat.db.fetchval("SELECT pinned FROM chat.rooms WHERE stream_key = $1", LIVE)
    assert (pinned is None) is is_locked


async def test_a_change_is_said_again_with_what_holds_by_then(chat: ChatRoom) -> None:
    people = await people_of(chat)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chat.moderation.run)
        await chat.send(people.seller, "chat:set-mode", liveId=LIVE, frozen=True)
        await chat.send(people.seller, "chat:set-mode", liveId=LIVE, slowSeconds=5)
        await trio.testing.wait_all_tasks_blocked()
        chat.clock.advance(1)
        await trio.testing.wait_all_tasks_blocked()
        modes = told(people.watcher, "chat:mode")
        assert len(modes) == 3
        assert modes[1] == modes[2] == {"liveId": LIVE, "frozen": True, "slowSeconds": 5}
        nursery.cancel_scope.cancel()


async def test_what_was_done_is_written_down(chat: ChatRoom) -> None:
    people = await people_of(chat)
    await chat.send(people.moderator, "chat:ban-user", userId=id_of(people.person), reason="spam")
    await chat.send(people.seller, "chat:unban-user", userId=id_of(people.person))
    rows = await chat.db.fetch("SELECT act, by_user, subject, facts FROM chat.acts ORDER BY no")
    assert [(row["act"], str(row["by_user"]), row["facts"]) for row in rows][1:] == [
        ("ban", id_of(people.moderator), {"reason": "spam"}),
        ("unban", id_of(people.seller), {}),
    ]


async def test_a_copy_never_goes_back_however_many_look_at_once(
    chat: ChatRoom, redis_store: RedisStore, manual_clock: ManualClock
) -> None:
    other = ChatRoom(chat.db, redis_store, manual_clock, rooms=RecordedRooms())
    people = await people_of(chat)
    versions: list[int] = []
    other.rules.on_change.append(lambda _, after: versions.append(after.version))

    async def change(room: ChatRoom, number: int) -> None:
        await room.moderation.ban_word(user_principal(role="ADMIN"), f"word{number}")

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(change, (chat, other)[number % 2], number)
                nursery.start_soon(other.rules.refresh)
                nursery.start_soon(chat.rules.refresh)
    await chat.rules.refresh()
    await other.rules.refresh()
    assert versions == sorted(set(versions))
    assert len(chat.rules.now.words) == len(other.rules.now.words) == 10
    assert people.seller.principal.is_admin
