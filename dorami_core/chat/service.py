"""The rules of chat: who may write what and when, and the order in which a room hears it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import attrs
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import is_stream_key
from dorami_core.base.peers import Networks
from dorami_core.base.principal import Principal
from dorami_core.base.settings import ChatSettings
from dorami_core.base.structure import to_json
from dorami_core.chat.hearts import Hearts
from dorami_core.chat.log import MessageLog
from dorami_core.chat.model import Receipt, check_client_id, check_text
from dorami_core.chat.moderation import Moderation
from dorami_core.chat.standing import Standing
from dorami_core.chat.store import ChatStore, ClientIdReused, Draft, Limited, Limits, Outcome, Sent
from dorami_core.chat.windows import LocalWindow, address_key
from dorami_core.hooks.host import HookCaller, StreamStatus
from dorami_core.hooks.sockets import Rooms, SocketConnection
from dorami_core.streams.model import CHAT_OPEN

NAMESPACE = "/chat"
WAITING_BOUND = 1000
"""Messages of one room that Redis has not answered yet; more are turned away."""

StatusOf = Callable[[str], Awaitable[StreamStatus | None]]


@attrs.frozen
class ChatStatistics:
    """`waiting`: messages that Redis has not answered yet; the others count since the start."""

    waiting: int
    sent: int
    limited: int


class ChatService:
    """`status_of` answers None for a stream that does not exist."""

    def __init__(
        self,
        store: ChatStore,
        status_of: StatusOf,
        rooms: Rooms,
        hooks: HookCaller,
        clock: Clock,
        settings: ChatSettings,
        *,
        standing: Standing,
        moderation: Moderation,
        log: MessageLog,
        hearts: Hearts,
        exempt_addresses: Sequence[str] = (),
    ) -> None:
        self._store = store
        self._status_of = status_of
        self._rooms = rooms
        self._hooks = hooks
        self._clock = clock
        self._settings = settings
        self._standing = standing
        self._moderation = moderation
        self._log = log
        self._hearts = hearts
        self._exempt = Networks(exempt_addresses)
        window_s = settings.rate_window_s
        self._joins = LocalWindow(clock, settings.join_rate_count, window_s)
        self._address_joins = LocalWindow(clock, settings.address_join_rate_count, window_s)
        self._socket_hearts = LocalWindow(clock, settings.heart_rate_count, window_s)
        self._address_hearts = LocalWindow(clock, settings.address_heart_rate_count, window_s)
        self._under_way: Counter[str] = Counter()
        self._sent = 0
        self._limited = 0

    def statistics(self) -> ChatStatistics:
        return ChatStatistics(self._under_way.total(), self._sent, self._limited)

    async def enter(self, conn: SocketConnection, live_id: str) -> dict[str, Any]:
        """As `join`, within its windows; answers the state of the room, whose changes follow as events.

        FORBIDDEN for a banned user, RATE_LIMITED, STREAM_NOT_FOUND, UNAVAILABLE.
        """
        self._standing.check_ban(conn.principal)
        if conn.address not in self._exempt and not self._standing.is_staff(conn.principal):
            self._joins.take(conn.principal.viewer_id)
            self._address_joins.take(address_key(conn.address))
        hearts = await self._hearts.total(live_id) if is_stream_key(live_id) else 0
        await self.join(conn, live_id)
        # Read after joining and without a wait in between: what changes from now on is heard.
        return {**self._standing.state(conn.principal, live_id), "hearts": hearts}

    async def join(self, conn: SocketConnection, live_id: str) -> None:
        """Sends `chat:history`, and joins the room where that ends: no message is missed between the two or said
        twice."""
        await self._status(live_id)
        history, position = await self._store.window(live_id, self._clock.now())
        conn.emit("chat:history", history)
        try:
            await conn.join(live_id, after=position)
        except DoramiError:
            # the rooms are this process's own just now, or have begun anew
            await conn.join(live_id)

    async def readmit(self, conn: SocketConnection, live_id: str) -> None:
        """FORBIDDEN for a banned user, STREAM_NOT_FOUND."""
        self._standing.check_ban(conn.principal)
        await self._status(live_id)

    async def send(
        self, principal: Principal, live_id: str, message: str, client_id: str | None, *, address: str = ""
    ) -> Receipt:
        """Sends the text as it was written. UNAUTHORIZED, STREAM_NOT_FOUND, VALIDATION_FAILED, CONFLICT (chat is
        closed, or the client id stands for another text), FORBIDDEN (banned), CHAT_TIMED_OUT, CHAT_FROZEN,
        CHAT_WORD_REFUSED, CHAT_SLOW_MODE, RATE_LIMITED, UNAVAILABLE; then nothing was sent."""
        user = principal.user
        if user is None:
            raise DoramiError("UNAUTHORIZED")
        check_client_id(client_id)
        check_text(message, self._settings.max_chars)
        status = await self._status(live_id)
        if status not in CHAT_OPEN:
            raise DoramiError("CONFLICT", status=status)
        self._standing.check(principal, live_id)
        self._standing.check_words(principal, message)
        await self._hooks.authorize("validate_chat_message", principal=principal, stream_key=live_id, message=message)
        # Again, for plugins may have been asked while somebody froze the room.
        self._standing.check(principal, live_id)
        draft = Draft(
            live_id,
            str(user.id),
            user.display_name,
            user.role,
            message,
            client_id,
            self._clock.now(),
            self._limits(principal, live_id, address),
        )
        return self._receipt(await self._say(draft), client_id)

    async def _say(self, draft: Draft) -> Outcome:
        """In the order of the calls, which do not wait for each other."""
        if self._under_way[draft.live_id] >= WAITING_BOUND:
            raise DoramiError("UNAVAILABLE", retry_after_ms=1000)
        self._under_way[draft.live_id] += 1
        try:
            # Once Redis has taken it, it has been said, even when its sender goes away in between.
            with trio.CancelScope(shield=True):
                outcome = await self._store.send(draft)
            return outcome
        finally:
            self._under_way[draft.live_id] -= 1
            if not self._under_way[draft.live_id]:
                del self._under_way[draft.live_id]

    def _receipt(self, outcome: Outcome, client_id: str | None) -> Receipt:
        if isinstance(outcome, Sent):
            self._sent += 1
            self._log.add(outcome.message)
            return Receipt(outcome.message.id, outcome.message.seq, outcome.message.timestamp)
        if isinstance(outcome, Limited):
            self._limited += 1
            code = "CHAT_SLOW_MODE" if outcome.is_slow_mode else "RATE_LIMITED"
            raise DoramiError(code, retry_after_ms=outcome.retry_after_ms)
        if isinstance(outcome, ClientIdReused):
            raise DoramiError("CONFLICT", clientId=client_id)
        return outcome.receipt

    def _limits(self, principal: Principal, live_id: str, address: str) -> Limits:
        """Staff have none; an exempt address only spares the window of the address."""
        settings = self._settings
        if self._standing.is_staff(principal):
            return Limits(0, settings.rate_window_s)
        is_exempt = not address or address in self._exempt
        return Limits(
            settings.rate_count,
            settings.rate_window_s,
            address_key(address),
            0 if is_exempt else settings.address_rate_count,
            self._standing.slow_s(live_id),
        )

    async def heart(self, conn: SocketConnection, live_id: str, count: int) -> None:
        """Counts hearts, of guests too. STREAM_NOT_FOUND, CONFLICT (chat is closed), FORBIDDEN, RATE_LIMITED."""
        self._standing.check_ban(conn.principal)
        status = await self._status(live_id)
        if status not in CHAT_OPEN:
            raise DoramiError("CONFLICT", status=status)
        self._socket_hearts.take(conn.id, count)
        if conn.address not in self._exempt:
            self._address_hearts.take(address_key(conn.address), count)
        self._hearts.add(live_id, count)

    async def receipt_for(self, principal: Principal, live_id: str, message: str, receipt: Receipt) -> dict[str, Any]:
        """What the writer is answered: the receipt, and what plugins add to it."""
        value: dict[str, Any] = to_json(receipt)
        return await self._hooks.filter(
            "filter_chat_receipt", value, principal=principal, stream_key=live_id, message=message
        )

    async def delete(self, principal: Principal, live_id: str, message_id: str) -> None:
        """Takes a message back from the history and from every screen, and notes who did; twice says it again.
        Staff only: FORBIDDEN; MESSAGE_NOT_FOUND, UNAVAILABLE."""
        if not self._standing.is_staff(principal):
            raise DoramiError("FORBIDDEN")
        identifier = _message_id(message_id)
        message_id = str(identifier)
        with trio.CancelScope(shield=True):
            known = await self._store.delete(live_id, message_id)
            if not known and await self._log.find(live_id, identifier) is None:
                raise DoramiError("MESSAGE_NOT_FOUND")
        self._rooms.emit(NAMESPACE, live_id, "chat:deleted", {"id": message_id})
        # After the screens: what must go goes, also where the database is away just now and this is to be repeated.
        await self._moderation.note_deletion(principal, live_id, identifier)

    async def _status(self, live_id: str) -> StreamStatus:
        status = await self._status_of(live_id) if is_stream_key(live_id) else None
        if status is None:
            raise DoramiError("STREAM_NOT_FOUND")
        return status


def _message_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise DoramiError("MESSAGE_NOT_FOUND") from None
