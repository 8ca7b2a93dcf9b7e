"""`join:stream` and `leave:stream` of namespace `/`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import attrs
import trio

from dorami_core.base.clock import Clock, iso
from dorami_core.base.coalescing import Coalesced, CoalescingStatistics
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
"""Of a room that has said nothing since, a snapshot serves whoever comes within this,"""
RENEWED_S = 0.15
"""and from here on it is renewed while it serves, so that nobody in a crowd waits for the next one."""


@attrs.frozen
class JoinStream:
    stream_key: str


@attrs.frozen
class LeaveStream:
    """Without a key: every stream that the socket has joined."""

    stream_key: str | None = None


@attrs.frozen
class _Recent:
    """A snapshot that began to be read at `begun_at`, when the room had been at `position`."""

    snapshot: dict[str, Any]
    position: RoomPosition
    begun_at: float


@attrs.frozen(eq=False)
class _UnderWay:
    """One that is being read."""

    position: RoomPosition
    over: trio.Event = attrs.field(factory=trio.Event)


class StreamSockets:
    """`run` renews what a crowd is served; without it every quarter of a second some have to wait."""

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
        self._under_way: dict[str, _UnderWay] = {}
        self._ripe: dict[str, RoomPosition] = {}
        self._more = trio.Event()

    def statistics(self) -> CoalescingStatistics:
        """Of the snapshots."""
        return self._snapshots.statistics()

    async def run(self) -> None:
        """Renews snapshots, for ever."""
        while True:
            await self._more.wait()
            self._more = trio.Event()
            while self._ripe:
                key, position = next(iter(self._ripe.items()))
                try:
                    with suppress(DoramiError):  # who comes next asks himself, and is told
                        await self._read(key, position)
                finally:
                    del self._ripe[key]

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
        """What has changed since one was begun is still to be heard by who is in the room at the same position."""
        snapshot = self._served(key, position)
        if snapshot is None:
            under_way = self._under_way.get(key)
            if under_way is not None and under_way.position == position:
                await under_way.over.wait()
                snapshot = self._served(key, position)
        return await self._read(key, position) if snapshot is None else snapshot

    def _served(self, key: str, position: RoomPosition) -> dict[str, Any] | None:
        recent = self._recent.get(key)
        if recent is None or recent.position != position:
            return None
        age_s = self._clock.monotonic() - recent.begun_at
        if age_s >= SERVES_S:
            return None
        if age_s >= RENEWED_S:
            self._ripe.setdefault(key, position)
            self._more.set()
        return recent.snapshot

    async def _read(self, key: str, position: RoomPosition) -> dict[str, Any]:
        now = self._clock.monotonic()
        under_way = self._under_way[key] = _UnderWay(position)
        try:
            snapshot = await self._snapshots.get(key)
            if snapshot is None:
                raise DoramiError("STREAM_NOT_FOUND")
            self._recent = {name: one for name, one in self._recent.items() if now < one.begun_at + SERVES_S}
            if key not in self._recent or self._recent[key].begun_at <= now:
                self._recent[key] = _Recent(snapshot, position, now)
            return snapshot
        finally:
            under_way.over.set()
            if self._under_way.get(key) is under_way:
                del self._under_way[key]

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
) -> StreamSockets:
    snapshots = Coalesced(Snapshots(streams, viewers, hooks, clock, history).build, pause_s=BETWEEN_SNAPSHOTS_S)
    handlers = StreamSockets(streams, viewers, snapshots, clock)
    sockets.on(NAMESPACE, "join:stream", handlers.join, payload=JoinStream, access=Access.PUBLIC)
    sockets.on(NAMESPACE, "leave:stream", handlers.leave, payload=LeaveStream, access=Access.PUBLIC)
    sockets.on_return(NAMESPACE, handlers.come_back)
    sockets.on_disconnect(NAMESPACE, handlers.disconnect)
    return handlers
