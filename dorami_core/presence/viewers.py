"""Counts the people who watch a stream, over all their sockets in both namespaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import ViewerId
from dorami_core.hooks.sockets import Delivery, Rooms, SocketConnection

NAMESPACE = "/streaming"
MAX_STREAMS_PER_SOCKET = 32
PUSH_INTERVAL_S = 1.0

_Socket = tuple[str, str]  # namespace, connection id


class Viewers(Protocol):
    """What the socket events need of presence; counts of several processes can be behind it."""

    def join(self, conn: SocketConnection, stream_key: str) -> bool:
        """True where it is the person's first socket there in this namespace. CONFLICT past 32 streams a socket."""
        ...

    def leave(self, conn: SocketConnection, stream_key: str) -> bool:
        """True where it was the person's last socket there in this namespace. Twice does no harm."""
        ...

    def has_joined(self, conn: SocketConnection, stream_key: str) -> bool: ...
    def joined(self, conn: SocketConnection) -> frozenset[str]: ...
    def count(self, stream_key: str) -> int: ...


@attrs.frozen
class PresenceStatistics:
    """Streams that are watched, people over all of them, sockets that joined any."""

    streams: int
    viewers: int
    sockets: int


class LocalViewers:
    """Presence of this process. `on_count(stream_key, count)` hears, once a second at most, the highest count since
    it was called last."""

    def __init__(self, rooms: Rooms, clock: Clock, on_count: Callable[[str, int], None] = lambda _, __: None) -> None:
        self.on_count = on_count
        self._rooms = rooms
        self._clock = clock
        self._people: dict[str, dict[ViewerId, set[_Socket]]] = {}
        self._joined: dict[_Socket, set[str]] = {}
        self._pushed: dict[str, int] = {}
        self._highest: dict[str, int] = {}
        self._dirty: set[str] = set()
        self._forced: set[str] = set()
        self._changed = trio.Event()

    def statistics(self) -> PresenceStatistics:
        return PresenceStatistics(
            len(self._people), sum(len(people) for people in self._people.values()), len(self._joined)
        )

    def count(self, stream_key: str) -> int:
        return len(self._people.get(stream_key, ()))

    def joined(self, conn: SocketConnection) -> frozenset[str]:
        return frozenset(self._joined.get((conn.namespace, conn.id), ()))

    def has_joined(self, conn: SocketConnection, stream_key: str) -> bool:
        return stream_key in self._joined.get((conn.namespace, conn.id), ())

    def join(self, conn: SocketConnection, stream_key: str) -> bool:
        socket = (conn.namespace, conn.id)
        streams = self._joined.setdefault(socket, set())
        if stream_key not in streams and len(streams) >= MAX_STREAMS_PER_SOCKET:
            raise DoramiError("CONFLICT", limit=MAX_STREAMS_PER_SOCKET)
        sockets = self._people.setdefault(stream_key, {}).setdefault(conn.principal.viewer_id, set())
        is_first = all(namespace != conn.namespace for namespace, _ in sockets)
        streams.add(stream_key)
        sockets.add(socket)
        if conn.namespace == NAMESPACE:
            self._forced.add(stream_key)  # the newcomer needs the number, even where it is the same as before
        self._highest[stream_key] = max(self._highest.get(stream_key, 0), self.count(stream_key))
        self._touch(stream_key)
        return is_first

    def leave(self, conn: SocketConnection, stream_key: str) -> bool:
        socket = (conn.namespace, conn.id)
        streams = self._joined.get(socket, set())
        if stream_key not in streams:
            return False
        streams.remove(stream_key)
        if not streams:
            del self._joined[socket]
        people = self._people[stream_key]
        sockets = people[conn.principal.viewer_id]
        sockets.remove(socket)
        if not sockets:
            del people[conn.principal.viewer_id]
            if not people:
                del self._people[stream_key]
            self._touch(stream_key)
        return all(namespace != conn.namespace for namespace, _ in sockets)

    def _touch(self, stream_key: str) -> None:
        self._dirty.add(stream_key)
        self._changed.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pushes what has changed, at once after a quiet second and never more than once a second."""
        task_status.started()
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            self._push()
            await self._clock.sleep(PUSH_INTERVAL_S)

    def _push(self) -> None:
        dirty, self._dirty = self._dirty, set()
        forced, self._forced = self._forced, set()
        for stream_key in dirty:
            count = self.count(stream_key)
            if stream_key in self._highest:
                self.on_count(stream_key, self._highest.pop(stream_key))
            if count != self._pushed.get(stream_key, 0) or stream_key in forced:
                data = {"streamKey": stream_key, "viewerCount": count}
                self._rooms.emit(NAMESPACE, stream_key, "stream:viewer:update", data, delivery=Delivery.LATEST)
            if count:
                self._pushed[stream_key] = count
            else:
                self._pushed.pop(stream_key, None)
