"""Socket events of `/chat` for staff. The service asks who is: a moderator is one by a list, not by his role."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import attrs

from dorami_core.base.clock import iso
from dorami_core.base.ids import UserId
from dorami_core.base.principal import Access
from dorami_core.chat.moderation import NAMESPACE, Moderation
from dorami_core.chat.standing import describe
from dorami_core.hooks.sockets import SocketConnection, SocketEvents


@attrs.frozen
class TimeOutUser:
    """`minutes`: 1, 5, 10 or 60. The live id says where it was seen; it holds in every room."""

    user_id: UUID
    minutes: int
    live_id: str | None = None


@attrs.frozen
class BanUser:
    user_id: UUID
    reason: str = ""
    live_id: str | None = None


@attrs.frozen
class OneUser:
    user_id: UUID
    live_id: str | None = None


@attrs.frozen
class SetMode:
    """What is absent stays as it is; `slow_seconds` 0 ends slow mode."""

    live_id: str
    frozen: bool | None = None
    slow_seconds: int | None = None


@attrs.frozen
class PinMessage:
    live_id: str
    message_id: str


@attrs.frozen
class OneRoom:
    live_id: str


class ModerationSockets:
    def __init__(self, moderation: Moderation) -> None:
        self._moderation = moderation

    async def time_out(self, conn: SocketConnection, payload: TimeOutUser) -> dict[str, Any]:
        """Answers `until`."""
        until = await self._moderation.time_out(conn.principal, UserId(payload.user_id), payload.minutes)
        return {"until": iso(until)}

    async def end_timeout(self, conn: SocketConnection, payload: OneUser) -> None:
        await self._moderation.end_timeout(conn.principal, UserId(payload.user_id))

    async def ban(self, conn: SocketConnection, payload: BanUser) -> None:
        await self._moderation.ban(conn.principal, UserId(payload.user_id), payload.reason)

    async def unban(self, conn: SocketConnection, payload: OneUser) -> None:
        await self._moderation.unban(conn.principal, UserId(payload.user_id))

    async def appoint(self, conn: SocketConnection, payload: OneUser) -> None:
        await self._moderation.appoint(conn.principal, UserId(payload.user_id))

    async def dismiss(self, conn: SocketConnection, payload: OneUser) -> None:
        await self._moderation.dismiss(conn.principal, UserId(payload.user_id))

    async def set_mode(self, conn: SocketConnection, payload: SetMode) -> dict[str, Any]:
        """Answers what holds now."""
        mode = await self._moderation.set_mode(conn.principal, payload.live_id, payload.frozen, payload.slow_seconds)
        return describe(payload.live_id, mode)

    async def pin(self, conn: SocketConnection, payload: PinMessage) -> None:
        await self._moderation.pin(conn.principal, payload.live_id, payload.message_id)

    async def unpin(self, conn: SocketConnection, payload: OneRoom) -> None:
        await self._moderation.unpin(conn.principal, payload.live_id)


def register(sockets: SocketEvents, moderation: Moderation) -> None:
    handlers = ModerationSockets(moderation)
    user, admin = Access.USER, Access.ADMIN
    sockets.on(NAMESPACE, "chat:timeout-user", handlers.time_out, payload=TimeOutUser, access=user)
    sockets.on(NAMESPACE, "chat:end-timeout", handlers.end_timeout, payload=OneUser, access=user)
    sockets.on(NAMESPACE, "chat:ban-user", handlers.ban, payload=BanUser, access=user)
    sockets.on(NAMESPACE, "chat:unban-user", handlers.unban, payload=OneUser, access=user)
    sockets.on(NAMESPACE, "chat:add-moderator", handlers.appoint, payload=OneUser, access=admin)
    sockets.on(NAMESPACE, "chat:remove-moderator", handlers.dismiss, payload=OneUser, access=admin)
    sockets.on(NAMESPACE, "chat:set-mode", handlers.set_mode, payload=SetMode, access=user)
    sockets.on(NAMESPACE, "chat:pin-message", handlers.pin, payload=PinMessage, access=user)
    sockets.on(NAMESPACE, "chat:unpin-message", handlers.unpin, payload=OneRoom, access=user)
