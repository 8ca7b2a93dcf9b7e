"""The rules of chat: who may write what and when, and the order in which a room hears it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

import attrs
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import is_stream_key
from dorami_core.base.principal import Principal
from dorami_core.base.settings import ChatSettings
from dorami_core.base.structure import to_json
from dorami_core.chat.model import Receipt, check_client_id, check_text
from dorami_core.chat.store import ChatStore, ClientIdReused, Draft, Limited, Repeated
from dorami_core.hooks.host import HookCaller, StreamStatus
from dorami_core.hooks.sockets import Delivery, Rooms, SocketConnection
from dorami_core.streams.model import CHAT_OPEN

NAMESPACE = "/chat"
WAITING_BOUND = 1000
"""Messages of one room that wait for their turn; more are turned away."""
OPTIMISTIC_READS = 3

StatusOf = Callable[[str], Awaitable[StreamStatus | None]]


@attrs.define(eq=False, weakref_slot=True)
class _Room:
    """Order of one room within this process: what Redis numbers first is emitted first."""

    lock: trio.Lock = attrs.field(factory=trio.Lock)
    version: int = 0
    """Grows when a message or a deletion begins and when it is said."""


@attrs.frozen
class ChatStatistics:
    """`waiting`: messages that wait for their room's turn; the others count since the start."""

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
    ) -> None:
        self._store = store
        self._status_of = status_of
        self._rooms = rooms
        self._hooks = hooks
        self._clock = clock
        self._settings = settings
        self._by_id: WeakValueDictionary[str, _Room] = WeakValueDictionary()
        self._sent = 0
        self._limited = 0

    def statistics(self) -> ChatStatistics:
        waiting = sum(room.lock.statistics().tasks_waiting for room in self._by_id.values())
        return ChatStatistics(waiting, self._sent, self._limited)

    async def join(self, conn: SocketConnection, live_id: str) -> None:
        """Joins the room and sends `chat:history` first. No message of this process is missed between the two or said
        twice: the history is read again where something was said meanwhile."""
        await self._status(live_id)
        room = self._room(live_id)
        for _ in range(OPTIMISTIC_READS):
            version = room.version
            history = await self._store.history(live_id, self._clock.now())
            if room.version == version and not room.lock.locked():
                conn.emit("chat:history", history)
                await conn.join(live_id)
                return
        async with room.lock:
            conn.emit("chat:history", await self._store.history(live_id, self._clock.now()))
            await conn.join(live_id)

    async def send(self, principal: Principal, live_id: str, message: str, client_id: str | None) -> Receipt:
        """Sends the text as it was written. UNAUTHORIZED, STREAM_NOT_FOUND, VALIDATION_FAILED, CONFLICT (chat is
        closed, or the client id stands for another text), RATE_LIMITED, UNAVAILABLE; then nothing was sent."""
        user = principal.user
        if user is None:
            raise DoramiError("UNAUTHORIZED")
        check_client_id(client_id)
        check_text(message, self._settings.max_chars)
        status = await self._status(live_id)
        if status not in CHAT_OPEN:
            raise DoramiError("CONFLICT", status=status)
        await self._hooks.authorize("validate_chat_message", principal=principal, stream_key=live_id, message=message)
        room = self._room(live_id)
        if room.lock.statistics().tasks_waiting >= WAITING_BOUND:
            raise DoramiError("UNAVAILABLE", retry_after_ms=1000)
        async with room.lock:
            room.version += 1
            # Once Redis has numbered it the room must hear it, even when its sender goes away in between.
            with trio.CancelScope(shield=True):
                outcome = await self._store.send(
                    Draft(
                        live_id,
                        str(user.id),
                        user.display_name,
                        user.role,
                        message,
                        client_id,
                        self._clock.now(),
                        0 if principal.is_admin else self._settings.rate_count,
                        self._settings.rate_window_s,
                    )
                )
            if isinstance(outcome, Limited):
                self._limited += 1
                raise DoramiError("RATE_LIMITED", retry_after_ms=outcome.retry_after_ms)
            if isinstance(outcome, ClientIdReused):
                raise DoramiError("CONFLICT", clientId=client_id)
            if isinstance(outcome, Repeated):
                return outcome.receipt
            sent = outcome.message
            self._rooms.emit(NAMESPACE, live_id, "chat:message", to_json(sent), delivery=Delivery.DROPPABLE)
            room.version += 1
            self._sent += 1
        return Receipt(sent.id, sent.seq, sent.timestamp)

    async def receipt_for(self, principal: Principal, live_id: str, message: str, receipt: Receipt) -> dict[str, Any]:
        """What the writer is answered: the receipt, and what plugins add to it."""
        value: dict[str, Any] = to_json(receipt)
        return await self._hooks.filter(
            "filter_chat_receipt", value, principal=principal, stream_key=live_id, message=message
        )

    async def delete(self, principal: Principal, live_id: str, message_id: str) -> None:
        """Takes a message back from the history and from every screen; twice says it again. FORBIDDEN,
        MESSAGE_NOT_FOUND, UNAVAILABLE."""
        if not principal.is_admin:
            raise DoramiError("FORBIDDEN")
        room = self._room(live_id)
        async with room.lock:
            room.version += 1
            with trio.CancelScope(shield=True):
                known = await self._store.delete(live_id, message_id)
            if not known:
                raise DoramiError("MESSAGE_NOT_FOUND")
            self._rooms.emit(NAMESPACE, live_id, "chat:deleted", {"id": message_id})
            room.version += 1

    async def _status(self, live_id: str) -> StreamStatus:
        status = await self._status_of(live_id) if is_stream_key(live_id) else None
        if status is None:
            raise DoramiError("STREAM_NOT_FOUND")
        return status

    def _room(self, live_id: str) -> _Room:
        room = self._by_id.get(live_id)
        if room is None:
            room = self._by_id[live_id] = _Room()
        return room
