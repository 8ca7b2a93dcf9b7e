"""`join:stream` and `leave:stream` of namespace `/`."""

from __future__ import annotations

from typing import Any

import attrs

from dorami_core.base.clock import Clock, iso
from dorami_core.base.coalescing import Coalesced
from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import is_stream_key
from dorami_core.base.principal import Access
from dorami_core.base.structure import PlainDict
from dorami_core.hooks.host import HookCaller, StreamDirectory
from dorami_core.hooks.sockets import RoomPosition, SocketConnection, SocketEvents
from dorami_core.presence.viewers import Viewers
from dorami_core.streams.snapshot import ChatHistory, Snapshots

NAMESPACE = "/"
BETWEEN_SNAPSHOTS_S = 0.02
"""While a room is talking a snapshot for its crowd is built so often; who comes alone does not wait."""
SERVES_S = 0.25
"""Of a room that has said nothing since, a snapshot serves whoever comes within this."""


@attrs.frozen
class JoinStream:
    stream_key: str


@attrs.frozen
class LeaveStream:
    """Without a key: every stream that the socket has joined."""

    stream_key: str | None = None


@attrs.frozen
class _Recent:
    """A snapshot that was read after the room was at `position`."""

    snapshot: dict[str, Any]
    position: RoomPosition
    until: float


class StreamSockets:
    def __init__(
        self,
        streams: StreamDirectory,
        viewers: Viewers,
        snapshots: Coalesced[dict[str, Any] | None],
        clock: Clock,
    ) -> None:
        self._streams = Coalesced(streams.find)
        self._viewers = viewers
        self._snapshots = snapshots
        self._clock = clock
        self._recent: dict[str, _Recent] = {}

    async def join(self, conn: SocketConnection, payload: JoinStream) -> dict[str, Any]:
        """Joins the room; answers the snapshot (`streams.snapshot`) with `room`, the place it is from. What is said
        in the room from before the snapshot was read reaches the socket too, so the two meet without a gap."""
        key = payload.stream_key
        if not is_stream_key(key):
            raise DoramiError("STREAM_NOT_FOUND")
        is_new = not self._viewers.has_joined(conn, key)
        # Counted before the first wait: a socket that goes away meanwhile is uncounted by its disconnect.
        self._viewers.join(conn, key)
        try:
            position = await conn.join(key)
            snapshot = await self._snapshot(key, position)
        except Exception:
            if is_new:
                self._leave(conn, key)
            raise
        count = self._viewers.count(key)
        return PlainDict(
            {
                **snapshot,
                "stream": PlainDict({**snapshot["stream"], "viewerCount": count}),
                "viewerCount": count,
                "serverTime": iso(self._clock.now()),
                "room": {"room": f"{NAMESPACE}:{key}", "epoch": position.epoch, "seq": position.seq},
            }
        )

    async def _snapshot(self, key: str, position: RoomPosition) -> dict[str, Any]:
        """What has changed since a recent one was read is still to be heard by who is in the room at that position."""
        recent, now = self._recent.get(key), self._clock.monotonic()
        if recent is not None and recent.position == position and now < recent.until:
            return recent.snapshot
        snapshot = await self._snapshots.get(key)
        if snapshot is None:
            raise DoramiError("STREAM_NOT_FOUND")
        self._recent = {name: one for name, one in self._recent.items() if now < one.until}
        self._recent[key] = _Recent(snapshot, position, now + SERVES_S)
        return snapshot

    async def come_back(self, conn: SocketConnection, room: str) -> None:
        """Counts a client that returns to a room without asking for a snapshot; STREAM_NOT_FOUND."""
        if not is_stream_key(room) or await self._streams.get(room) is None:
            raise DoramiError("STREAM_NOT_FOUND")
        self._viewers.join(conn, room)

    async def leave(self, conn: SocketConnection, payload: LeaveStream) -> None:
        for key in self._viewers.joined(conn) if payload.stream_key is None else (payload.stream_key,):
            self._leave(conn, key)

    async def disconnect(self, conn: SocketConnection) -> None:
        for key in self._viewers.joined(conn):
            self._viewers.leave(conn, key)

    def _leave(self, conn: SocketConnection, stream_key: str) -> None:
        conn.leave(stream_key)
        self._viewers.leave(conn, stream_key)


def register(
    sockets: SocketEvents,
    streams: StreamDirectory,
    viewers: Viewers,
    hooks: HookCaller,
    clock: Clock,
    history: ChatHistory,
) -> Coalesced[dict[str, Any] | None]:
    """Answers the snapshots, whose statistics are worth a look."""
    snapshots = Coalesced(Snapshots(streams, viewers, hooks, clock, history).build, pause_s=BETWEEN_SNAPSHOTS_S)
    handlers = StreamSockets(streams, viewers, snapshots, clock)
    sockets.on(NAMESPACE, "join:stream", handlers.join, payload=JoinStream, access=Access.PUBLIC)
    sockets.on(NAMESPACE, "leave:stream", handlers.leave, payload=LeaveStream, access=Access.PUBLIC)
    sockets.on_return(NAMESPACE, handlers.come_back)
    sockets.on_disconnect(NAMESPACE, handlers.disconnect)
    return snapshots
