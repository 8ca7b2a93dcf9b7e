"""`stream:viewer:join` and `stream:viewer:leave` of namespace `/streaming`."""

from __future__ import annotations

from typing import Any

import attrs

from dorami_core.base.coalescing import Coalesced
from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import is_stream_key
from dorami_core.base.principal import Access
from dorami_core.hooks.host import StreamDirectory
from dorami_core.hooks.sockets import SocketConnection, SocketEvents
from dorami_core.presence.viewers import NAMESPACE, Viewers


@attrs.frozen
class ViewerJoin:
    stream_key: str


@attrs.frozen
class ViewerLeave:
    """Without a key: every stream that the socket has joined."""

    stream_key: str | None = None


class ViewerSockets:
    def __init__(self, streams: StreamDirectory, viewers: Viewers) -> None:
        self._streams = Coalesced(streams.find)
        self._viewers = viewers

    async def join(self, conn: SocketConnection, payload: ViewerJoin) -> dict[str, Any]:
        """Answers `streamKey`, `status`, `viewerCount`."""
        key = payload.stream_key
        if not is_stream_key(key):
            raise DoramiError("STREAM_NOT_FOUND")
        is_new = not self._viewers.has_joined(conn, key)
        # Counted before the first wait: a socket that goes away meanwhile is uncounted by its disconnect.
        self._viewers.join(conn, key)
        try:
            # In the room before it too, so that the newcomer hears the push that its coming causes.
            await conn.join(key)
            stream = await self._streams.get(key)
            if stream is None:
                raise DoramiError("STREAM_NOT_FOUND")
        except Exception:
            if is_new:
                conn.leave(key)
                self._viewers.leave(conn, key)
            raise
        return {"streamKey": key, "status": stream.status, "viewerCount": self._viewers.count(key)}

    async def come_back(self, conn: SocketConnection, room: str) -> None:
        """Counts a client that returns to a room; STREAM_NOT_FOUND."""
        if not is_stream_key(room) or await self._streams.get(room) is None:
            raise DoramiError("STREAM_NOT_FOUND")
        self._viewers.join(conn, room)

    async def leave(self, conn: SocketConnection, payload: ViewerLeave) -> None:
        keys = self._viewers.joined(conn) if payload.stream_key is None else {payload.stream_key}
        for key in keys:
            conn.leave(key)
            self._viewers.leave(conn, key)

    async def disconnect(self, conn: SocketConnection) -> None:
        for key in self._viewers.joined(conn):
            self._viewers.leave(conn, key)


def register(sockets: SocketEvents, streams: StreamDirectory, viewers: Viewers) -> None:
    handlers = ViewerSockets(streams, viewers)
    sockets.on(NAMESPACE, "stream:viewer:join", handlers.join, payload=ViewerJoin, access=Access.PUBLIC)
    sockets.on(NAMESPACE, "stream:viewer:leave", handlers.leave, payload=ViewerLeave, access=Access.PUBLIC)
    sockets.on_return(NAMESPACE, handlers.come_back)
    sockets.on_disconnect(NAMESPACE, handlers.disconnect)
