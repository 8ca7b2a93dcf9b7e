"""`join:stream` and `leave:stream` of namespace `/`."""

from __future__ import annotations

from typing import Any

import attrs

from dorami_core.base.clock import Clock, iso
from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import Access
from dorami_core.base.structure import to_json
from dorami_core.hooks.host import HookCaller, StreamDirectory
from dorami_core.hooks.sockets import Delivery, Rooms, SocketConnection, SocketEvents
from dorami_core.presence.viewers import Viewers
from dorami_core.streams.routes import describe

NAMESPACE = "/"
NAMES_UP_TO = 200
"""Above this many viewers nobody is named; only counts are sent."""


@attrs.frozen
class JoinStream:
    stream_key: str


@attrs.frozen
class LeaveStream:
    """Without a key: every stream that the socket has joined."""

    stream_key: str | None = None


class StreamSockets:
    def __init__(
        self, streams: StreamDirectory, viewers: Viewers, rooms: Rooms, hooks: HookCaller, clock: Clock
    ) -> None:
        self._streams = streams
        self._viewers = viewers
        self._rooms = rooms
        self._hooks = hooks
        self._clock = clock

    async def join(self, conn: SocketConnection, payload: JoinStream) -> dict[str, Any]:
        """Joins the room; answers the snapshot: `stream`, `viewerCount`, `serverTime` and what plugins add."""
        key = payload.stream_key
        # Counted before the first wait: a socket that goes away meanwhile is uncounted by its disconnect.
        is_new_person = self._viewers.join(conn, key)
        stream = await self._streams.find(key)
        if stream is None:
            self._viewers.leave(conn, key)
            raise DoramiError("STREAM_NOT_FOUND")
        if self._viewers.has_joined(conn, key):
            if is_new_person:
                self._name(conn, key, "user:joined")
            await conn.join(key)
        snapshot = {
            "stream": to_json(describe(stream, self._viewers.count(key))),
            "viewerCount": self._viewers.count(key),
            "serverTime": iso(self._clock.now()),
        }
        return await self._hooks.filter("filter_stream_snapshot", snapshot, stream=stream)

    async def leave(self, conn: SocketConnection, payload: LeaveStream) -> None:
        keys = self._viewers.joined(conn) if payload.stream_key is None else {payload.stream_key}
        for key in keys:
            conn.leave(key)
            self._leave(conn, key)

    async def disconnect(self, conn: SocketConnection) -> None:
        for key in self._viewers.joined(conn):
            self._leave(conn, key)

    def _leave(self, conn: SocketConnection, stream_key: str) -> None:
        if self._viewers.leave(conn, stream_key):
            self._name(conn, stream_key, "user:left")

    def _name(self, conn: SocketConnection, stream_key: str, event: str) -> None:
        user = conn.principal.user
        if user is not None and self._viewers.count(stream_key) <= NAMES_UP_TO:
            data = {"userId": str(user.id), "displayName": user.display_name}
            self._rooms.emit(NAMESPACE, stream_key, event, data, delivery=Delivery.DROPPABLE)


def register(
    sockets: SocketEvents,
    streams: StreamDirectory,
    viewers: Viewers,
    rooms: Rooms,
    hooks: HookCaller,
    clock: Clock,
) -> None:
    handlers = StreamSockets(streams, viewers, rooms, hooks, clock)
    sockets.on(NAMESPACE, "join:stream", handlers.join, payload=JoinStream, access=Access.PUBLIC)
    sockets.on(NAMESPACE, "leave:stream", handlers.leave, payload=LeaveStream, access=Access.PUBLIC)
    sockets.on_disconnect(NAMESPACE, handlers.disconnect)
