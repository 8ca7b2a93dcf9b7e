"""Socket events of namespace `/chat` (contract.md, Sockets and video)."""

from __future__ import annotations

import attrs

from dorami_core.base.principal import Access
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


class ChatSockets:
    def __init__(self, service: ChatService) -> None:
        self._service = service

    async def join(self, conn: SocketConnection, payload: JoinRoom) -> None:
        await self._service.join(conn, payload.live_id)

    async def leave(self, conn: SocketConnection, payload: LeaveRoom) -> None:
        for room in conn.rooms if payload.live_id is None else (payload.live_id,):
            conn.leave(room)

    async def send(self, conn: SocketConnection, payload: SendMessage) -> object:
        """Answers `id`, `seq`, `timestamp`, and what plugins add."""
        receipt = await self._service.send(conn.principal, payload.live_id, payload.message, payload.client_id)
        return await self._service.receipt_for(conn.principal, payload.live_id, payload.message, receipt)

    async def delete(self, conn: SocketConnection, payload: DeleteMessage) -> None:
        await self._service.delete(conn.principal, payload.live_id, payload.message_id)


def register(sockets: SocketEvents, service: ChatService) -> None:
    handlers = ChatSockets(service)
    sockets.on(NAMESPACE, "chat:join-room", handlers.join, payload=JoinRoom, access=Access.PUBLIC)
    sockets.on(NAMESPACE, "chat:leave-room", handlers.leave, payload=LeaveRoom, access=Access.PUBLIC)
    sockets.on(NAMESPACE, "chat:send-message", handlers.send, payload=SendMessage, access=Access.USER)
    sockets.on(NAMESPACE, "chat:delete-message", handlers.delete, payload=DeleteMessage, access=Access.ADMIN)
