"""One room: its members, what they have not got yet, and the log from which who comes back is told what he missed."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import attrgetter

import trio

from dorami_core.base.ids import ViewerId
from dorami_core.base.sending import Send, Taken, send_to_all
from dorami_core.edge.gate import Gate
from dorami_core.edge.message import Message
from dorami_core.edge.outbox import Outbox
from dorami_core.edge.roomlog import Heard, Log
from dorami_core.edge.wire import Chunk, WireFormat

_YIELD_EVERY = 500
_BUSY_SHARE = 0.2
"""A room gathers once sending each message by itself would take more than this share of the processor,"""
_GATHERED_SHARE = 0.1
"""and then as long as sending takes no more than this, or `gather_max_s`."""
_BUSY_WINDOW_S = 0.5
_OFFER = attrgetter("offer")


class Member:
    """What a room needs of a socket: one client in one namespace. `joined` and `entered`, the number of the last event
    before it came, are for RoomIndex alone."""

    __slots__ = ("entered", "joined", "namespace", "outbox", "viewer", "wire")

    def __init__(self, namespace: str, viewer: ViewerId, wire: WireFormat, outbox: Outbox) -> None:
        self.namespace = namespace
        self.viewer = viewer
        self.wire = wire
        self.outbox = outbox
        self.joined: dict[str, Room] = {}
        self.entered = 0

    def go_in(self, room: Room) -> None:
        room.enter(self)
        self.joined[room.name] = room
        self._note_elsewhere()

    def go_out(self, room: Room) -> None:
        del self.joined[room.name]
        room.exit(self)
        self._note_elsewhere()

    def _note_elsewhere(self) -> None:
        is_elsewhere = len(self.joined) > 1
        for room in self.joined.values():
            if is_elsewhere:
                room.elsewhere.add(self)
            else:
                room.elsewhere.discard(self)

    def kick(self, reason: str) -> None:
        """Ends the connection from our side."""
        self.outbox.cut(reason)


class Tally:
    """What RoomIndex counts over all rooms."""

    __slots__ = ("deliveries", "encodes", "flushes", "messages", "sends")

    def __init__(self) -> None:
        self.deliveries = self.encodes = self.flushes = self.messages = self.sends = 0


class _Pass:
    """A round's way through the members of one wire format, in the order in which they came.

    It goes along the living dict and touches a member for its send alone, for whatever else is touched is out of the
    processor's caches; not even that where the room knows what all of them offer. Whoever comes or goes meanwhile calls
    `fix` first.
    """

    __slots__ = ("_changes", "_crowd", "_members", "_numbers", "_rest", "at", "size")

    def __init__(self, members: dict[Member, Outbox], offers: list[Send] | None) -> None:
        self.size = len(members)
        self.at = 0
        """So many have had their turn."""
        self._members = members
        self._changes = Outbox.changes
        self._rest: Iterator[Send] | None = None if offers is None else iter(offers)
        self._crowd: list[Member] | None = None
        self._numbers: dict[Member, int] | None = None

    @property
    def is_fixed(self) -> bool:
        return self._crowd is not None

    def is_along(self, members: dict[Member, Outbox]) -> bool:
        return self._members is members

    def fix(self) -> list[Member]:
        """All those whom it is for, also when some have left."""
        if self._crowd is None:
            self._crowd = list(self._members)
        return self._crowd

    def next_offers(self, count: int) -> Iterator[Send]:
        """Of those whose turn it is, each time from `at` on; not after `fix`."""
        if self._rest is None or self._changes != Outbox.changes:
            self._changes = Outbox.changes
            self._rest = map(_OFFER, islice(self._members.values(), self.at, None))
        return islice(self._rest, count)

    def outbox(self, number: int) -> Outbox:
        """Of this one of them all; not after `fix`."""
        return next(islice(self._members.values(), number, None))

    def has_served(self, member: Member) -> bool:
        if self._numbers is None:
            self._numbers = {one: number for number, one in enumerate(self.fix())}
        return self._numbers.get(member, self.size) < self.at


class Room:
    """Members by wire format, each with its outbox; they all are to get what is pending.

    But for those who have run ahead: an acknowledgement takes along what its rooms have pending for this socket, and
    the flusher later skips it.
    """

    __slots__ = (
        "_ahead",
        "_busy",
        "_busy_at",
        "_cost_s",
        "_flushed_at",
        "_offers",
        "_offers_as_of",
        "_passes",
        "_running",
        "_served_to",
        "_start",
        "early",
        "elsewhere",
        "empty_since",
        "gate",
        "is_shared",
        "left",
        "log",
        "members",
        "name",
        "namespace",
        "opening",
        "pending",
    )

    def __init__(self, name: str, namespace: str, log: Log) -> None:
        self.name = name
        self.namespace = namespace
        self.log = log
        self.members: dict[WireFormat, dict[Member, Outbox]] = {}
        self.elsewhere: set[Member] = set()
        """Members that are in other rooms of the namespace too (that of all sockets aside)."""
        self.pending: deque[Message] = deque()
        self.opening: trio.Event | None = None
        """While the log is being read; what is heard meanwhile waits in `early`."""
        self.early: list[Heard] = []
        self.gate = Gate()
        self.left: tuple[str, int] | None = None
        """Epoch and last number when the link went away."""
        self.empty_since: float | None = None
        self.is_shared = False
        """Another process has said something here in this epoch."""
        self._start = 0
        self._ahead: dict[Member, int] = {}
        """The number of the next message they are to get, of those for whom it is not the first pending one."""
        self._offers: dict[WireFormat, list[Send]] = {}
        """What all members offer, in their order, as of this many changes; kept where nothing changes for a round."""
        self._offers_as_of = -1
        self._passes: list[_Pass] = []
        """Of the round under way, which gives what is pending up to the number `_served_to`."""
        self._served_to = 0
        self._running = False
        self._cost_s = 0.0
        self._busy = 0.0
        self._busy_at = 0.0
        self._flushed_at = -math.inf

    @property
    def end(self) -> int:
        """The number that the next message will have."""
        return self._start + len(self.pending)

    def enter(self, member: Member) -> None:
        members = self.members.setdefault(member.wire, {})
        self._fix_passes(members)
        members[member] = member.outbox
        if self.pending:
            self._ahead[member] = self.end
        self.empty_since = None

    def exit(self, member: Member) -> None:
        members = self.members.get(member.wire)
        if members is not None:
            self._fix_passes(members)
            members.pop(member, None)
            if not members:
                del self.members[member.wire]
        self._ahead.pop(member, None)
        self.elsewhere.discard(member)
        if not self.members:
            self.empty_since = trio.current_time()

    def _fix_passes(self, members: dict[Member, Outbox]) -> None:
        """Somebody comes or goes."""
        self._offers.clear()
        for one in self._passes:
            if one.is_along(members):
                one.fix()

    def add(self, message: Message, spawn: Callable[[Room, str], None]) -> None:
        if not self.members:
            return
        self.pending.append(message)
        now = trio.current_time()
        self._busy = self._busy * math.exp((self._busy_at - now) / _BUSY_WINDOW_S) + self._cost_s
        self._busy_at = now
        if not self._running:
            self._running = True
            spawn(self, self.namespace)

    def pending_for(self, member: Member) -> list[Message]:
        """Takes what this member has not got yet."""
        position = self._position(member)
        if position == self.end:
            return []
        self._ahead[member] = self.end
        return [self.pending[i] for i in range(position - self._start, len(self.pending))]

    def _position(self, member: Member) -> int:
        """The number of the next message it is to get."""
        position = self._ahead.get(member)
        if position is None:
            is_served = any(one.has_served(member) for one in self._passes)
            return self._served_to if is_served else self._start
        return position

    @property
    def is_busy(self) -> bool:
        return self._busy / _BUSY_WINDOW_S >= _BUSY_SHARE

    def pause_s(self, gather_max_s: float) -> float:
        """How long to gather before the next flush, counted from the beginning of the last: nothing while the room is
        calm."""
        if not self.is_busy:
            return 0.0
        wait = min(gather_max_s, self._cost_s / _GATHERED_SHARE)
        return self._flushed_at + wait - trio.current_time()

    async def run(
        self, gather_max_s: float, tally: Tally, everyone: Room, send_all_pending: Callable[[Member], None]
    ) -> None:
        """Flushes until nothing is pending; one task at a time, none while the room is silent."""
        try:
            while self.pending:
                pause = self.pause_s(gather_max_s)
                if pause > 0:
                    await trio.sleep(pause)
                await self.gate.wait_quiet()
                await self._flush(tally, everyone, send_all_pending)
        finally:
            self._running = False

    async def _flush(self, tally: Tally, everyone: Room, send_all_pending: Callable[[Member], None]) -> None:
        end = self.end
        messages = list(self.pending)
        spent, turn = 0.0, 0
        tally.flushes += 1
        self._flushed_at = trio.current_time()
        self._served_to = end
        for wire, members in list(self.members.items()):
            known = sum(message.encodes for message in messages)
            chunks = [message.chunk(wire) for message in messages]
            tally.encodes += sum(message.encodes for message in messages) - known
            joined = b"".join([chunk.data for chunk in chunks])
            way = _Pass(members, self._known_offers(wire, members))
            self._passes.append(way)
            while way.at < way.size:
                count = min(_YIELD_EVERY, way.size - way.at)
                if turn + count > _YIELD_EVERY:
                    await trio.lowlevel.checkpoint()
                    turn = 0
                turn += count
                began = time.thread_time()
                sends = count
                if everyone is self or everyone.pending or self._ahead or self.elsewhere or way.is_fixed:
                    sends = self._serve_each(way, count, joined, chunks, everyone, send_all_pending)
                else:
                    for number, sent in _send(way.next_offers(count), joined):
                        way.outbox(way.at + number).keep(chunks, sent)
                way.at += count
                tally.sends += sends
                tally.deliveries += sends * len(chunks)
                spent += time.thread_time() - began
        for _ in range(end - self._start):
            self.pending.popleft()
        self._start = end
        self._passes = []
        self._ahead = {member: number for member, number in self._ahead.items() if number > end}
        self._cost_s = spent if not self._cost_s else 0.7 * self._cost_s + 0.3 * spent

    def _known_offers(self, wire: WireFormat, members: dict[Member, Outbox]) -> list[Send] | None:
        if self._offers_as_of != Outbox.changes:
            self._offers_as_of = Outbox.changes
            self._offers.clear()
            return None
        offers = self._offers.get(wire)
        if offers is None:
            offers = self._offers[wire] = [outbox.offer for outbox in members.values()]
        return offers

    def _serve_each(
        self,
        way: _Pass,
        count: int,
        joined: bytes,
        chunks: list[Chunk],
        everyone: Room,
        send_all_pending: Callable[[Member], None],
    ) -> int:
        """Where some have run ahead, have come or gone in the middle of the round, or are to hear other rooms too, in
        one order. How many were sent what the round gives, as it is."""
        batch = way.fix()[way.at : way.at + count]
        members = self.members.get(batch[0].wire, {})
        usual: list[Member] = []
        if everyone is not self and not everyone.pending:
            usual = [m for m in batch if m in members and m not in self._ahead and m not in self.elsewhere]
            for number, sent in _send([member.outbox.offer for member in usual], joined):
                usual[number].outbox.keep(chunks, sent)
        if len(usual) != len(batch):
            done = set(usual)
            for member in batch:
                if member in members and member not in done and self._position(member) < self._served_to:
                    send_all_pending(member)
        return len(usual)


def _send(offers: Iterable[Send], joined: bytes) -> list[tuple[int, Taken]]:
    """The numbers of those who did not take all, and what they took."""
    size = len(joined)
    taken = send_to_all(offers, joined)
    if taken.count(size) == len(taken):
        return []
    return [(number, sent) for number, sent in enumerate(taken) if sent != size]
