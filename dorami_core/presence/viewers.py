"""Counts the people who watch a stream, over all their sockets in both namespaces and over all processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import attrs
import structlog
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import UserIdentity
from dorami_core.hooks.sockets import Delivery, Rooms, SocketConnection
from dorami_core.presence.alone import OwnLedger
from dorami_core.presence.ledger import Change, LedgerState
from dorami_core.presence.people import Audience

log = structlog.get_logger()

NAMESPACE = "/streaming"
PEOPLE_NAMESPACE = "/"
MAX_STREAMS_PER_SOCKET = 32
PUSH_INTERVAL_S = 1.0
LEDGER_WAIT_S = 1.0
"""After this long the ledger counts as unreachable, and what it was asked as unknown."""

_Socket = tuple[str, str]  # namespace, connection id


class Ledger(Protocol):
    """`presence.ledger.RedisLedger`."""

    async def sync(self, changes: Sequence[Change]) -> LedgerState: ...


class Viewers(Protocol):
    """What the socket events need of presence."""

    def join(self, conn: SocketConnection, stream_key: str) -> None:
        """Twice does no harm. CONFLICT past 32 streams a socket."""
        ...

    def leave(self, conn: SocketConnection, stream_key: str) -> None:
        """Twice does no harm."""
        ...

    def has_joined(self, conn: SocketConnection, stream_key: str) -> bool: ...
    def joined(self, conn: SocketConnection) -> frozenset[str]: ...
    def count(self, stream_key: str) -> int:
        """People now: this process's own to the moment, the others' as of the last second."""
        ...


@attrs.frozen
class PresenceStatistics:
    """Of this process: streams that are watched, people over all of them, sockets that joined any; `elsewhere`: people
    whom only other processes have; `alone`: the ledger is unreachable and others are not counted; `syncs`, `pushes`,
    `lost`: calls to the ledger, numbers said, streams of which the ledger had lost us, since the start."""

    streams: int
    viewers: int
    sockets: int
    elsewhere: int
    alone: bool
    syncs: int
    pushes: int
    lost: int


class SharedViewers:
    """Presence. Sockets join and leave at once and in memory; `run` tells the ledger what has changed, once a second
    at most, hears the other processes' counts, and says in the rooms what it is this process's turn to say.

    `lease_s`: a process that is gone is counted no longer than this; leases are renewed every third of it.
    `on_count(stream_key, count)` hears, with each change, the highest count since it was called last.
    """

    def __init__(
        self,
        rooms: Rooms,
        clock: Clock,
        ledger: Ledger,
        *,
        lease_s: float,
        push_interval_s: float = PUSH_INTERVAL_S,
        on_count: Callable[[str, int], None] = lambda _, __: None,
    ) -> None:
        self.on_count = on_count
        self._rooms = rooms
        self._clock = clock
        self._ledger = ledger
        self._interval_s = push_interval_s
        self._renew_every_s = lease_s / 3
        self._alone: OwnLedger | None = None
        self._audiences: dict[str, Audience] = {}
        self._joined: dict[_Socket, set[str]] = {}
        self._elsewhere: Mapping[str, int] = {}
        self._changed: set[str] = set()
        self._wake = trio.Event()
        self._synced_at_s = self._told_at_s = self._renewed_at_s = -math.inf
        self._due_at_s = math.inf
        self._syncs = self._pushes = self._lost = 0

    # What sockets and pages ask

    def statistics(self) -> PresenceStatistics:
        return PresenceStatistics(
            streams=len(self._audiences),
            viewers=sum(len(audience.here) for audience in self._audiences.values()),
            sockets=len(self._joined),
            elsewhere=sum(self._elsewhere.values()),
            alone=self._alone is not None,
            syncs=self._syncs,
            pushes=self._pushes,
            lost=self._lost,
        )

    def count(self, stream_key: str) -> int:
        audience = self._audiences.get(stream_key)
        return (len(audience.here) if audience else 0) + self._elsewhere.get(stream_key, 0)

    def joined(self, conn: SocketConnection) -> frozenset[str]:
        return frozenset(self._joined.get((conn.namespace, conn.id), ()))

    def has_joined(self, conn: SocketConnection, stream_key: str) -> bool:
        return stream_key in self._joined.get((conn.namespace, conn.id), ())

    def join(self, conn: SocketConnection, stream_key: str) -> None:
        socket = (conn.namespace, conn.id)
        streams = self._joined.setdefault(socket, set())
        audience = self._audiences.get(stream_key)
        if stream_key not in streams:
            if len(streams) >= MAX_STREAMS_PER_SOCKET:
                raise DoramiError("CONFLICT", limit=MAX_STREAMS_PER_SOCKET)
            if audience is None:
                audience = self._audiences[stream_key] = Audience(stream_key)
            streams.add(stream_key)
            audience.add(conn.principal)
        assert audience is not None
        audience.highest = max(audience.highest, self.count(stream_key))
        # The newcomer needs the number, even where it is the same as before.
        audience.needs_number |= conn.namespace == NAMESPACE
        self._touch(stream_key)

    def leave(self, conn: SocketConnection, stream_key: str) -> None:
        socket = (conn.namespace, conn.id)
        streams = self._joined.get(socket, set())
        if stream_key not in streams:
            return
        streams.remove(stream_key)
        if not streams:
            del self._joined[socket]
        self._audiences[stream_key].remove(conn.principal.viewer_id)
        self._touch(stream_key)

    def _touch(self, stream_key: str) -> None:
        if not self._changed:
            self._wake.set()
        self._changed.add(stream_key)

    # The task

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Cancelled, it gives its leases back, so that others stop counting its people at once."""
        self._forget()
        task_status.started()
        try:
            while True:
                await self._wait_turn()
                await self._sync()
        finally:
            if trio.current_effective_deadline() == -math.inf:
                await self._give_back()

    def _next_at_s(self) -> float:
        change_at_s = self._told_at_s + self._interval_s if self._changed else math.inf
        return min(
            change_at_s,
            self._due_at_s,
            self._synced_at_s + self._interval_s,
            self._renewed_at_s + self._renew_every_s,
        )

    async def _wait_turn(self) -> None:
        """A change is told at once after a quiet second, else when the second is over."""
        await trio.lowlevel.checkpoint()
        while (pause_s := self._next_at_s() - self._clock.monotonic()) > 0:
            self._wake = trio.Event()
            async with trio.open_nursery() as nursery:

                async def ring(pause_s: float, scope: trio.CancelScope) -> None:
                    await self._clock.sleep(pause_s)
                    scope.cancel()

                nursery.start_soon(ring, pause_s, nursery.cancel_scope)
                await self._wake.wait()
                nursery.cancel_scope.cancel()

    async def _sync(self) -> None:
        self._due_at_s = math.inf
        self._synced_at_s = now_s = self._clock.monotonic()
        if now_s >= self._renewed_at_s + self._renew_every_s:
            self._renewed_at_s = now_s
            self._changed.update(self._audiences)
        if self._changed:
            self._told_at_s = now_s
        if self._alone is not None and await self._ask(()) is not None:
            log.info("presence.together")
            self._alone = None
            self._forget()
        if self._alone is None:
            changes = self._take_changes()
            state = await self._ask(changes)
            if state is not None:
                self._apply(changes, state)
                return
            self._alone = OwnLedger(self._clock, push_interval_s=self._interval_s)
            self._forget()
        changes = self._take_changes()
        self._apply(changes, self._alone.sync(changes))

    async def _ask(self, changes: Sequence[Change]) -> LedgerState | None:
        """None where the ledger cannot be reached."""
        self._syncs += 1
        problem: object = "no answer in time"
        with trio.move_on_after(LEDGER_WAIT_S):
            try:
                return await self._ledger.sync(changes)
            except DoramiError as error:
                problem = str(error)
            except Exception:
                # A ledger that refuses its script is as good as none: people go on watching.
                if self._alone is None:
                    log.exception("presence.ledger_failed")
                problem = "refused"
        if self._alone is None:
            log.warning("presence.alone", problem=problem)
        return None

    def _forget(self) -> None:
        for audience in self._audiences.values():
            audience.forget()
        self._changed.update(self._audiences)

    def _take_changes(self) -> list[Change]:
        keys, self._changed = self._changed, set()
        return [self._audiences[key].take_change() for key in keys if key in self._audiences]

    def _apply(self, changes: Sequence[Change], state: LedgerState) -> None:
        for change in changes:
            audience = self._audiences[change.stream_key]
            outcome = state.outcomes[change.stream_key]
            if outcome.lost:
                self._lost += 1
                audience.forget()
                audience.needs_number |= change.needs_number
                self._touch(change.stream_key)
                self._told_at_s = -math.inf  # not a second later
                continue
            self._name(change.stream_key, "user:joined", audience.names(outcome.present))
            self._name(change.stream_key, "user:left", audience.names(outcome.absent))
            audience.accept(change)
        self._elsewhere = {
            key: others
            for key, count in state.counts.items()
            if (others := count - (len(self._audiences[key].told) if key in self._audiences else 0)) > 0
        }
        self._report(changes, state.counts)
        for key in state.push:
            self._pushes += 1
            data = {"streamKey": key, "viewerCount": state.counts[key]}
            self._rooms.emit(NAMESPACE, key, "stream:viewer:update", data, delivery=Delivery.LATEST)
        if state.due_s is not None:
            self._due_at_s = self._clock.monotonic() + state.due_s

    def _report(self, changes: Sequence[Change], counts: Mapping[str, int]) -> None:
        for key in [change.stream_key for change in changes]:
            audience = self._audiences[key]
            self.on_count(key, max(audience.highest, counts.get(key, 0)))
            audience.highest = 0
            if audience.is_over:
                del self._audiences[key]

    def _name(self, stream_key: str, event: str, people: Sequence[UserIdentity]) -> None:
        for user in people:
            data = {"userId": str(user.id), "displayName": user.display_name}
            self._rooms.emit(PEOPLE_NAMESPACE, stream_key, event, data, delivery=Delivery.DROPPABLE)

    async def _give_back(self) -> None:
        changes = [Change(key, members=()) for key in self._audiences]
        if changes and self._alone is None:
            with trio.CancelScope(shield=True):
                await self._ask(changes)
