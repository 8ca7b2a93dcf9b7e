"""One room: its members, what they have not got yet, and the log from which who comes back is told what he missed."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

import trio

from dorami_core.base.ids import ViewerId
from dorami_core.base.sending import Send, send_to_all
from dorami_core.edge.message import Message
from dorami_core.edge.outbox import Outbox
from dorami_core.edge.roomlog import Heard, Log
from dorami_core.edge.wire import WireFormat

_YIELD_EVERY = 500
_BUSY_SHARE = 0.2
"""A room gathers once sending each message by itself would take more than this share of the processor,"""
_GATHERED_SHARE = 0.1
"""and then as long as sending takes no more than this, or `gather_max_s`."""
_BUSY_WINDOW_S = 0.5


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

    def kick(self, reason: str) -> None:
        """Ends the connection from our side."""
        self.outbox.cut(reason)


class Tally:
    """What RoomIndex counts over all rooms."""

    __slots__ = ("deliveries", "encodes", "flushes", "messages", "sends")

    def __init__(self) -> None:
        self.deliveries = self.encodes = self.flushes = self.messages = self.sends = 0


class Room:
    """Members by wire format, each with the number of the next pending message it is to get.

    That number lets one socket run ahead of the others: an acknowledgement takes along what its rooms have pending for
    this socket, and the flusher later skips it.
    """

    __slots__ = (
        "_busy",
        "_busy_at",
        "_cost_s",
        "_flushed_at",
        "_running",
        "_start",
        "early",
        "empty_since",
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
        self.members: dict[WireFormat, dict[Member, int]] = {}
        self.pending: deque[Message] = deque()
        self.opening: trio.Event | None = None
        """While the log is being read; what is heard meanwhile waits in `early`."""
        self.early: list[Heard] = []
        self.left: tuple[str, int] | None = None
        """Epoch and last number when the link went away."""
        self.empty_since: float | None = None
        self.is_shared = False
        """Another process has said something here in this epoch."""
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

    def enter(self, member: Member) -> None:
        self.members.setdefault(member.wire, {})[member] = self.end
        self.empty_since = None

    def exit(self, member: Member) -> None:
        members = self.members.get(member.wire)
        if members is not None:
            members.pop(member, None)
            if not members:
                del self.members[member.wire]
        if not self.members:
            self.empty_since = trio.current_time()

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
                await self._flush(tally, everyone, send_all_pending)
        finally:
            self._running = False

    async def _flush(self, tally: Tally, everyone: Room, send_all_pending: Callable[[Member], None]) -> None:
        start, end = self._start, self.end
        messages = list(self.pending)
        spent, turn = 0.0, 0
        tally.flushes += 1
        self._flushed_at = trio.current_time()
        for wire, positions in list(self.members.items()):
            known = sum(message.encodes for message in messages)
            chunks = [message.chunk(wire) for message in messages]
            tally.encodes += sum(message.encodes for message in messages) - known
            joined = b"".join([chunk.data for chunk in chunks])
            size = len(joined)
            members = list(positions)
            # who is in this many rooms has nothing else to hear in between
            alone = 0 if everyone is self else -1 if everyone.pending else 1
            for first in range(0, len(members), _YIELD_EVERY):
                batch = members[first : first + _YIELD_EVERY]
                if turn + len(batch) > _YIELD_EVERY:
                    await trio.lowlevel.checkpoint()
                    turn = 0
                turn += len(batch)
                began = time.thread_time()
                ready: list[Outbox] = []
                ways: list[Send] = []
                sends = 0
                for member in batch:
                    position = positions.get(member)
                    if position == start and len(member.joined) == alone:
                        positions[member] = end
                        sends += 1
                        outbox = member.outbox
                        if outbox.ready is None:
                            outbox.send(joined, chunks)
                        else:
                            ready.append(outbox)
                            ways.append(outbox.ready)
                    elif position is not None and position < end:
                        # joined in the middle of the round, or is to hear other rooms too, in one order
                        send_all_pending(member)
                taken = send_to_all(ways, joined)
                if taken.count(size) != len(taken):
                    for outbox, sent in zip(ready, taken, strict=True):
                        if sent != size:
                            outbox.keep(chunks, sent)
                tally.sends += sends
                tally.deliveries += sends * len(chunks)
                spent += time.thread_time() - began
        for _ in range(end - start):
            self.pending.popleft()
        self._start = end
        self._cost_s = spent if not self._cost_s else 0.7 * self._cost_s + 0.3 * spent
