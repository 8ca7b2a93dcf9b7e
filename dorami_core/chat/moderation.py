"""What staff may do to a room and to who writes in it. ADMIN may all of it, moderators what holds for ordinary users.

Each command is written to PostgreSQL, then known here, then told to the room; UNAVAILABLE where the first fails, and
nothing was changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import attrs
import trio

from dorami_core.base.clock import Clock, iso
from dorami_core.base.errors import DoramiError, invalid
from dorami_core.base.ids import UserId, ViewerId
from dorami_core.base.principal import ANONYMOUS_NAME, Principal, UserIdentity
from dorami_core.base.structure import to_json
from dorami_core.chat import moderation_store as store
from dorami_core.chat.bans import Bans
from dorami_core.chat.log import MessageLog
from dorami_core.chat.rules import PinnedMessage, RoomMode, RulesCopy
from dorami_core.chat.standing import describe
from dorami_core.chat.store import ChatStore
from dorami_core.chat.words import MAX_WORD_CHARS, normal
from dorami_core.hooks.host import StreamStatus, UserDirectory, UserView
from dorami_core.hooks.sockets import Rooms
from dorami_core.hooks.transactions import Database, Tx

NAMESPACE = "/chat"
TIMEOUT_MINUTES = (1, 5, 10, 60)
MAX_SLOW_S = 300
MAX_REASON_CHARS = 200
MAX_WORDS = 1000
TELL_AGAIN_S = 1.0
"""Who joins at another process in the moment of a change may be told the old state; by then every process knows."""

StatusOf = Callable[[str], Awaitable[StreamStatus | None]]
Told = Literal["chat:mode", "chat:pinned"]


class Moderation:
    """Commands of one process run one after another, so that a room hears of them in the order of their commits."""

    def __init__(
        self,
        db: Database,
        rules: RulesCopy,
        bans: Bans,
        chat: ChatStore,
        log: MessageLog,
        users: UserDirectory,
        status_of: StatusOf,
        rooms: Rooms,
        clock: Clock,
    ) -> None:
        self._db = db
        self._rules = rules
        self._bans = bans
        self._chat = chat
        self._log = log
        self._users = users
        self._status_of = status_of
        self._rooms = rooms
        self._clock = clock
        self._turn = trio.Lock()
        self._to_repeat: dict[tuple[str, Told], float] = {}
        self._changed = trio.Event()

    # what staff do to people

    async def time_out(self, actor: Principal, user_id: UserId, minutes: int) -> datetime:
        """The user may not write in any room until then. VALIDATION_FAILED, FORBIDDEN, USER_NOT_FOUND."""
        by = self._staff(actor)
        if minutes not in TIMEOUT_MINUTES:
            raise invalid("minutes", f"must be one of {', '.join(map(str, TIMEOUT_MINUTES))}")
        target = await self._target(actor, user_id)
        async with self._change(by, "timeout", str(user_id), minutes=minutes) as (tx, now):
            until = now + timedelta(minutes=minutes)
            await store.time_out(tx, user_id, _name(target), until, by.id, now)
        self._tell_user(user_id, "chat:timed-out", {"until": iso(until), "minutes": minutes})
        return until

    async def end_timeout(self, actor: Principal, user_id: UserId) -> None:
        """Twice does no harm."""
        by = self._staff(actor)
        async with self._change(by, "end-timeout", str(user_id)) as (tx, _):
            await store.forget(tx, "timeouts", user_id)
        self._tell_user(user_id, "chat:timeout-ended", {})

    async def ban(self, actor: Principal, user_id: UserId, reason: str = "") -> None:
        """Out of the whole shop's sockets, at once and until `unban`. FORBIDDEN, USER_NOT_FOUND; twice does no harm."""
        by = self._staff(actor)
        if len(reason) > MAX_REASON_CHARS:
            raise invalid("reason", f"must have at most {MAX_REASON_CHARS} characters")
        target = await self._target(actor, user_id)
        async with self._change(by, "ban", str(user_id), reason=reason) as (tx, now):
            await store.ban(tx, user_id, _name(target), reason, by.id, now)
        self._bans.cut(user_id)

    async def unban(self, actor: Principal, user_id: UserId) -> None:
        by = self._staff(actor)
        async with self._change(by, "unban", str(user_id)) as (tx, _):
            await store.forget(tx, "bans", user_id)

    async def appoint(self, actor: Principal, user_id: UserId) -> None:
        """Makes a moderator; ADMIN alone may. USER_NOT_FOUND."""
        by = _admin(actor)
        target = await self._found(user_id)
        async with self._change(by, "appoint", str(user_id)) as (tx, now):
            await store.appoint(tx, user_id, _name(target), by.id, now)
        self._tell_moderator(user_id, True)

    async def dismiss(self, actor: Principal, user_id: UserId) -> None:
        by = _admin(actor)
        async with self._change(by, "dismiss", str(user_id)) as (tx, _):
            await store.forget(tx, "moderators", user_id)
        self._tell_moderator(user_id, False)

    # what staff do to a room

    async def set_mode(self, actor: Principal, live_id: str, frozen: bool | None, slow_s: int | None) -> RoomMode:
        """Freezes or thaws, sets the seconds between two messages of one person; None stays as it is."""
        by = self._staff(actor)
        if slow_s is not None and not 0 <= slow_s <= MAX_SLOW_S:
            raise invalid("slowSeconds", f"must be 0 to {MAX_SLOW_S}")
        if frozen is None and slow_s is None:
            raise invalid("frozen", "frozen or slowSeconds is needed")
        await self._check_room(live_id)
        async with self._change(by, "mode", live_id, frozen=frozen, slowSeconds=slow_s) as (tx, now):
            await store.set_mode(tx, live_id, frozen, slow_s, now)
        self._tell(live_id, "chat:mode")
        return self._rules.now.room(live_id)

    async def pin(self, actor: Principal, live_id: str, message_id: str) -> None:
        """Shows one message to all above the others, in place of the one before. MESSAGE_NOT_FOUND."""
        by = self._staff(actor)
        await self._check_room(live_id)
        pinned = await self._message(live_id, message_id)
        async with self._change(by, "pin", live_id, messageId=message_id) as (tx, now):
            if not await store.pin(tx, live_id, attrs.asdict(pinned), now):
                raise DoramiError("MESSAGE_NOT_FOUND")
        self._tell(live_id, "chat:pinned")

    async def unpin(self, actor: Principal, live_id: str) -> None:
        by = self._staff(actor)
        await self._check_room(live_id)
        async with self._change(by, "unpin", live_id) as (tx, now):
            await store.pin(tx, live_id, None, now)
        self._tell(live_id, "chat:pinned")

    async def note_deletion(self, actor: Principal, live_id: str, message_id: UUID) -> None:
        """Writes down who took a message back; where it was pinned it is not any more."""
        by = self._staff(actor)
        async with self._change(by, "delete", live_id, messageId=str(message_id)) as (tx, now):
            was_pinned = await store.mark_deleted(tx, live_id, message_id, by.id, now)
        if was_pinned:
            self._tell(live_id, "chat:pinned")

    # banned words

    async def ban_word(self, actor: Principal, word: str) -> UUID:
        """The id of the word, however it is written. VALIDATION_FAILED; CONFLICT past 1,000 words."""
        by = _admin(actor)
        plain = normal(word) if len(word) <= MAX_WORD_CHARS else ""
        if not plain:
            raise invalid("word", f"must have a letter, and at most {MAX_WORD_CHARS} characters")
        async with self._change(by, "ban-word", word) as (tx, now):
            word_id = await store.ban_word(tx, word.strip(), plain, by.id, now, MAX_WORDS)
            if word_id is None:
                raise DoramiError("CONFLICT", limit=MAX_WORDS)
        return word_id

    async def allow_word(self, actor: Principal, word_id: UUID) -> None:
        by = _admin(actor)
        async with self._change(by, "allow-word", str(word_id)) as (tx, _):
            await store.allow_word(tx, word_id)

    # telling

    async def run(self) -> None:
        """Says every change of a room a second time, with what holds by then."""
        while True:
            if not self._to_repeat:
                self._changed = trio.Event()
                await self._changed.wait()
            await self._clock.sleep(min(self._to_repeat.values()) - self._clock.monotonic())
            for (live_id, event), due in list(self._to_repeat.items()):
                if due <= self._clock.monotonic():
                    del self._to_repeat[live_id, event]
                    self._emit(live_id, event)

    def _tell_moderator(self, user_id: UserId, is_moderator: bool) -> None:
        self._tell_user(user_id, "chat:moderator", {"isModerator": is_moderator})

    def _tell_user(self, user_id: UserId, event: str, data: dict[str, Any]) -> None:
        self._rooms.emit_to_viewer(NAMESPACE, ViewerId(f"u:{user_id}"), event, data)

    def _tell(self, live_id: str, event: Told) -> None:
        self._emit(live_id, event)
        self._to_repeat[live_id, event] = self._clock.monotonic() + TELL_AGAIN_S
        self._changed.set()

    def _emit(self, live_id: str, event: Told) -> None:
        mode = self._rules.now.room(live_id)
        data = describe(live_id, mode) if event == "chat:mode" else {"liveId": live_id, "message": to_json(mode.pinned)}
        self._rooms.emit(NAMESPACE, live_id, event, data)

    # the rest

    @asynccontextmanager
    async def _change(
        self, by: UserIdentity, act: str, subject: str, **facts: Any
    ) -> AsyncIterator[tuple[Tx, datetime]]:
        """A transaction; after it the copy of the rules here has what it changed."""
        async with self._turn:
            now = self._clock.now()
            async with self._db.transaction() as tx:
                await store.begin(tx, by.id, now, act, subject, **facts)
                yield tx, now
            # Committed, so the room hears of it whatever happens to who asked for it; where the copy cannot be read
            # just now, it is right by the time that the change is said again.
            with trio.CancelScope(shield=True), suppress(DoramiError):
                await self._rules.refresh()

    def _staff(self, actor: Principal) -> UserIdentity:
        """UNAUTHORIZED for a guest, FORBIDDEN for who is no staff."""
        if actor.user is None:
            raise DoramiError("UNAUTHORIZED")
        if not self._rules.now.is_staff(actor):
            raise DoramiError("FORBIDDEN")
        return actor.user

    async def _target(self, actor: Principal, user_id: UserId) -> UserView:
        """Whom a measure is for; FORBIDDEN for ADMIN, and for a moderator unless ADMIN takes it."""
        target = await self._found(user_id)
        is_moderator = user_id in self._rules.now.moderators
        if target.role == "ADMIN" or (is_moderator and not actor.is_admin):
            raise DoramiError("FORBIDDEN", reason="staff")
        return target

    async def _found(self, user_id: UserId) -> UserView:
        target = await self._users.find(user_id)
        if target is None:
            raise DoramiError("USER_NOT_FOUND")
        return target

    async def _check_room(self, live_id: str) -> None:
        if await self._status_of(live_id) is None:
            raise DoramiError("STREAM_NOT_FOUND")

    async def _message(self, live_id: str, message_id: str) -> PinnedMessage:
        """From the recent history, else from the log."""
        for found in await self._chat.recent(live_id):
            if found["id"] == message_id:
                return PinnedMessage(
                    found["id"],
                    found["userId"],
                    found["displayName"],
                    found["role"],
                    found["message"],
                    found["timestamp"],
                )
        try:
            logged = await self._log.find(live_id, UUID(message_id))
        except ValueError:
            logged = None
        if logged is None or logged.deleted_at is not None:
            raise DoramiError("MESSAGE_NOT_FOUND")
        return PinnedMessage(
            str(logged.id),
            str(logged.user_id),
            logged.display_name,
            logged.role,
            logged.message,
            iso(logged.timestamp),
        )


def _admin(actor: Principal) -> UserIdentity:
    if actor.user is None:
        raise DoramiError("UNAUTHORIZED")
    if not actor.is_admin:
        raise DoramiError("FORBIDDEN")
    return actor.user


def _name(user: UserView) -> str:
    return user.instagram_id or ANONYMOUS_NAME
