"""Socket events of namespace `/chat` (contract.md, Sockets and video)."""

from __future__ import annotations

from typing import Any

import attrs

from dorami_core.base.principal import Access
from dorami_core.chat.hearts import MAX_AT_ONCE
from dorami_core.chat.service import NAMESPACE, ChatService
from dorami_core.hooks.sockets import SocketConnection, SocketEvents


@attrs.frozen
class JoinRoom:
    live_id: str


@attrs.frozen
class LeaveRoom:
    """Without an id: every chat room of the socket."""

    live_id: str | None = None


@attrs.frozen
class SendMessage:
    live_id: str
    message: str
    client_id: str | None = None


@attrs.frozen
class DeleteMessage:
    live_id: str
    message_id: str


def _few(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
    if not 1 <= value <= MAX_AT_ONCE:
        raise ValueError(f"'{attribute.name}' must be 1 to {MAX_AT_ONCE}")


@attrs.frozen
class Heart:
    live_id: str
    count: int = attrs.field(default=1, validator=_few)


class ChatSockets:
    def __init__(self, service: ChatService) -> None:
        self._service = service

    async def join(self, conn: SocketConnection, payload: JoinRoom) -> dict[str, Any]:
        """Answers `frozen`, `slowSeconds`, `pinned`, `hearts`, and of the person `isModerator` and `timedOutUntil`."""
        return await self._service.enter(conn, payload.live_id)

    async def come_back(self, conn: SocketConnection, room: str) -> None:
        """For a client that returns to a room without asking for its history."""
        await self._service.readmit(conn, room)

    async def leave(self, conn: SocketConnection, payload: LeaveRoom) -> None:
        for room in conn.rooms if payload.live_id is None else (payload.live_id,):
            conn.leave(room)

    async def send(self, conn: SocketConnection, payload: SendMessage) -> object:
        """Answers `id`, `seq`, `timestamp`, and what plugins add."""
        receipt = await self._service.send(
            conn.principal, payload.live_id, payload.message, payload.client_id, address=conn.address
        )
        return await self._service.receipt_for(conn.principal, payload.live_id, payload.message, receipt)

    async def delete(self, conn: SocketConnection, payload: DeleteMessage) -> None:
        await self._service.delete(conn.principal, payload.live_id, payload.message_id)

    async def heart(self, conn: SocketConnection, payload: Heart) -> None:
        await self._service.heart(conn, payload.live_id, payload.count)


def register(sockets: SocketEvents, service: ChatService) -> None:
    handlers = ChatSockets(service)
    sockets.on(NAMESPACE, "chat:join-room", handlers.join, payload=JoinRoom, access=Access.PUBLIC)
    sockets.on_return(NAMESPACE, handlers.come_back)
    sockets.on(NAMESPACE, "chat:leave-room", handlers.leave, payload=LeaveRoom, access=Access.PUBLIC)
    sockets.on(NAMESPACE, "chat:send-message", handlers.send, payload=SendMessage, access=Access.USER, gathers=True)
    sockets.on(NAMESPACE, "chat:delete-message", handlers.delete, payload=DeleteMessage, access=Access.USER)
    sockets.on(NAMESPACE, "chat:heart", handlers.heart, payload=Heart, access=Access.PUBLIC)
