"""Rooms: who hears what. Encoded once per wire format; what has gathered goes out in one send per socket."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import attrs
import trio

from dorami_core.base.ids import ViewerId
from dorami_core.edge.outbox import Outbox
from dorami_core.edge.wire import Chunk, WireFormat
from dorami_core.hooks.sockets import Delivery

_YIELD_EVERY = 200
_BUSY_SHARE = 0.2
"""A room gathers once sending each message by itself would take more than this share of the processor."""
_BUSY_WINDOW_S = 0.5


class Member:
    """What a room needs of a socket: one client in one namespace. `joined` is for RoomIndex alone."""

    __slots__ = ("joined", "namespace", "outbox", "viewer", "wire")

    def __init__(self, namespace: str, viewer: ViewerId, wire: WireFormat, outbox: Outbox) -> None:
        self.namespace = namespace
        self.viewer = viewer
        self.wire = wire
        self.outbox = outbox
        self.joined: dict[str, Room] = {}


@attrs.frozen
class RoomStatistics:
    rooms: int
    members: int
    """Sum over all rooms but those of whole namespaces."""
    sockets: int
    viewers: int
    messages: int
    encodes: int
    deliveries: int
    sends: int
    """`deliveries / sends` says how much gathering saved."""
    flushes: int


class _Tally:
    __slots__ = ("deliveries", "encodes", "flushes", "messages", "sends")

    def __init__(self) -> None:
        self.deliveries = self.encodes = self.flushes = self.messages = self.sends = 0


@attrs.frozen
class _Pending:
    """A message of a room that has not reached all members."""

    serial: int
    """Ascending over all rooms."""
    encoded: dict[WireFormat, Chunk]


class Room:
    """Members by wire format, each with the number of the next message it is to get.

    That number lets one socket run ahead of the others: an acknowledgement takes along what its rooms have pending for
    this socket, and the flusher later skips it.
    """

    __slots__ = ("_busy", "_busy_at", "_cost_s", "_flushed_at", "_running", "_start", "members", "name", "pending")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[WireFormat, dict[Member, int]] = {}
        self.pending: deque[_Pending] = deque()
        self._start = 0
        self._running = False
        self._cost_s = 0.0
        self._busy = 0.0
        self._busy_at = 0.0
        self._flushed_at = -math.inf

    @property
    def end(self) -> int:
        """The number that the next message will have."""
        return self._start + len(self.pending)

    def add(self, message: _Pending, spawn: Callable[[Room], None]) -> None:
        self.pending.append(message)
        now = trio.current_time()
        self._busy = self._busy * math.exp((self._busy_at - now) / _BUSY_WINDOW_S) + self._cost_s
        self._busy_at = now
        if not self._running:
            self._running = True
            spawn(self)

    def pending_for(self, member: Member) -> list[_Pending]:
        """Takes what this member has not got yet."""
        positions = self.members[member.wire]
        position = positions[member]
        if position == self.end:
            return []
        positions[member] = self.end
        offset = max(0, position - self._start)
        return [self.pending[i] for i in range(offset, len(self.pending))]

    def pause_s(self, gather_max_s: float) -> float:
        """How long to gather before the next flush, counted from the beginning of the last: nothing while the room is
        calm."""
        if self._busy / _BUSY_WINDOW_S < _BUSY_SHARE:
            return 0.0
        wait = min(gather_max_s, self._cost_s / _BUSY_SHARE)
        return self._flushed_at + wait - trio.current_time()

    async def run(self, gather_max_s: float, tally: _Tally) -> None:
        """Flushes until nothing is pending; one task at a time, none while the room is silent."""
        try:
            while self.pending:
                pause = self.pause_s(gather_max_s)
                if pause > 0:
                    await trio.sleep(pause)
                await self._flush(tally)
        finally:
            self._running = False

    async def _flush(self, tally: _Tally) -> None:
        start, end = self._start, self.end
        spent = 0.0
        tally.flushes += 1
        self._flushed_at = trio.current_time()
        for wire, positions in list(self.members.items()):
            chunks = [message.encoded[wire] for message in self.pending if wire in message.encoded]
            if not chunks:
                continue
            joined = b"".join([chunk.data for chunk in chunks])
            members = list(positions)
            for first in range(0, len(members), _YIELD_EVERY):
                began = time.thread_time()
                self._send(members[first : first + _YIELD_EVERY], positions, (start, end), joined, chunks, tally)
                spent += time.thread_time() - began
                await trio.lowlevel.checkpoint()
        for _ in range(end - start):
            self.pending.popleft()
        self._start = end
        self._cost_s = spent if not self._cost_s else 0.7 * self._cost_s + 0.3 * spent

    def _send(
        self,
        members: list[Member],
        positions: dict[Member, int],
        span: tuple[int, int],
        joined: bytes,
        chunks: list[Chunk],
        tally: _Tally,
    ) -> None:
        start, end = span
        for member in members:
            position = positions.get(member)
            if position == start and len(chunks) == end - start:
                positions[member] = end
                member.outbox.send(joined, chunks)
                tally.deliveries += len(chunks)
                tally.sends += 1
            elif position is not None and position < end:
                # joined in the middle of the round; messages from before its format had members are not in `chunks`
                positions[member] = end
                mine = [
                    message.encoded[member.wire]
                    for number, message in enumerate(self.pending, start)
                    if position <= number < end and member.wire in message.encoded
                ]
                if mine:
                    member.outbox.send(b"".join([chunk.data for chunk in mine]), mine)
                    tally.deliveries += len(mine)
                    tally.sends += 1


class RoomIndex:
    """The edge's `hooks.Rooms`, and where its sockets enter and leave.

    Order: a socket gets the messages of a room in their order, and what is said to it alone (acknowledgements,
    `emit_to_viewer`) after everything said before in any of its rooms. Two rooms may overtake each other.
    Before `bind` and after `unbind` there are no members, so nothing is sent.
    """

    def __init__(self, gather_max_s: float) -> None:
        self._gather_max_s = gather_max_s
        self._rooms: dict[tuple[str, str], Room] = {}
        self._everyone: dict[str, Room] = {}
        self._viewers: dict[tuple[str, ViewerId], dict[Member, None]] = {}
        self._nursery: trio.Nursery | None = None
        self._serial = 0
        self._tally = _Tally()

    def bind(self, nursery: trio.Nursery) -> None:
        """Flushers run in this nursery from now on."""
        self._nursery = nursery

    def unbind(self) -> None:
        """The edge is going down: messages to rooms are no longer sent."""
        self._nursery = None

    # what the rest of the program says

    def emit(self, namespace: str, room: str, event: str, data: Any, *, delivery: Delivery = Delivery.REQUIRED) -> None:
        """To every socket of the room; encoded once. TypeError where `data` is not JSON-able."""
        found = self._rooms.get((namespace, room))
        if found is not None:
            self._emit(found, namespace, event, data, delivery)

    def emit_to_all(self, namespace: str, event: str, data: Any) -> None:
        found = self._everyone.get(namespace)
        if found is not None:
            self._emit(found, namespace, event, data, Delivery.REQUIRED)

    def emit_to_viewer(self, namespace: str, viewer: ViewerId, event: str, data: Any) -> None:
        members = self._viewers.get((namespace, viewer))
        if not members:
            return
        self._tally.messages += 1
        encoded = self._encode({member.wire for member in members}, namespace, event, data, Delivery.REQUIRED, None)
        for member in members:
            self.direct(member, encoded[member.wire])

    def cut_viewer(self, viewer: ViewerId, reason: str) -> None:
        for _, members in [item for item in self._viewers.items() if item[0][1] == viewer]:
            for member in list(members):
                member.outbox.cut(reason)

    def statistics(self) -> RoomStatistics:
        tally = self._tally
        return RoomStatistics(
            rooms=len(self._rooms),
            members=sum(len(some) for room in self._rooms.values() for some in room.members.values()),
            sockets=sum(len(some) for room in self._everyone.values() for some in room.members.values()),
            viewers=len(self._viewers),
            messages=tally.messages,
            encodes=tally.encodes,
            deliveries=tally.deliveries,
            sends=tally.sends,
            flushes=tally.flushes,
        )

    # what sockets do

    def enter(self, member: Member) -> None:
        """The socket is connected: it hears `emit_to_all` and `emit_to_viewer`."""
        everyone = self._everyone.setdefault(member.namespace, Room(""))
        everyone.members.setdefault(member.wire, {})[member] = everyone.end
        self._viewers.setdefault((member.namespace, member.viewer), {})[member] = None

    def exit(self, member: Member) -> None:
        """The socket is gone from all rooms; the names stay readable in `member.joined`."""
        for room in member.joined.values():
            self._remove(room, member)
            self._drop_if_empty(member.namespace, room)
        everyone = self._everyone.get(member.namespace)
        if everyone is not None:
            self._remove(everyone, member)
            if not everyone.members:
                del self._everyone[member.namespace]
        viewers = self._viewers.get((member.namespace, member.viewer), {})
        viewers.pop(member, None)
        if not viewers:
            self._viewers.pop((member.namespace, member.viewer), None)

    def join(self, member: Member, name: str) -> None:
        """Hears what is said from now on."""
        if name not in member.joined:
            room = self._rooms.setdefault((member.namespace, name), Room(name))
            room.members.setdefault(member.wire, {})[member] = room.end
            member.joined[name] = room

    def leave(self, member: Member, name: str) -> None:
        """Hears what was said until now."""
        if name in member.joined:
            self._send_pending(member, ())
            room = member.joined.pop(name)
            self._remove(room, member)
            self._drop_if_empty(member.namespace, room)

    def direct(self, member: Member, chunk: Chunk) -> None:
        """To this socket alone, after what its rooms have pending for it, in the same send."""
        self._tally.deliveries += 1
        self._send_pending(member, (chunk,))

    def _send_pending(self, member: Member, after: tuple[Chunk, ...]) -> None:
        found: list[_Pending] = []
        everyone = self._everyone.get(member.namespace)
        for room in (everyone, *member.joined.values()):
            if room is not None and room.pending and member in room.members.get(member.wire, ()):
                found += room.pending_for(member)
        found.sort(key=lambda message: message.serial)
        chunks = [message.encoded[member.wire] for message in found if member.wire in message.encoded]
        self._tally.deliveries += len(chunks)
        chunks += after
        if chunks:
            self._tally.sends += 1
            member.outbox.send(b"".join([chunk.data for chunk in chunks]), chunks)

    def _emit(self, room: Room, namespace: str, event: str, data: Any, delivery: Delivery) -> None:
        if self._nursery is None or not room.members:
            return
        self._tally.messages += 1
        self._serial += 1
        key = (namespace, room.name, event) if delivery is Delivery.LATEST else None
        encoded = self._encode(room.members, namespace, event, data, delivery, key)
        room.add(_Pending(self._serial, encoded), self._spawn)

    def _encode(
        self,
        wires: Iterable[WireFormat],
        namespace: str,
        event: str,
        data: Any,
        delivery: Delivery,
        key: tuple[str, str, str] | None,
    ) -> dict[WireFormat, Chunk]:
        encoded = {wire: Chunk(wire.event(namespace, event, data), delivery, key) for wire in wires}
        self._tally.encodes += len(encoded)
        return encoded

    def _spawn(self, room: Room) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(room.run, self._gather_max_s, self._tally)

    def _remove(self, room: Room, member: Member) -> None:
        members = room.members.get(member.wire)
        if members is not None:
            members.pop(member, None)
            if not members:
                del room.members[member.wire]

    def _drop_if_empty(self, namespace: str, room: Room) -> None:
        if not room.members and self._rooms.get((namespace, room.name)) is room:
            del self._rooms[namespace, room.name]
