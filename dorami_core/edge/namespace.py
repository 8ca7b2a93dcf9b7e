"""Everything of one namespace in this process: its rooms, its people, and the bounds of what is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import attrs

from dorami_core.base.ids import ViewerId
from dorami_core.edge.message import Message
from dorami_core.edge.room import Member, Room, Tally
from dorami_core.edge.roomlog import EVERYONE, KEPT_BYTES, KEPT_EVENTS, KEPT_S, Log

SILENT_S = 10.0
"""An empty room with nothing to tell is kept for this long, which is more than it takes to enter it."""


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
    kept: int
    """Events in the logs."""
    kept_bytes: int
    gaps: int
    """Rooms whose members had to be cut since what they missed was no longer known."""


class Namespace:
    """Everything of one namespace in this process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rooms: dict[str, Room] = {}
        self.viewers: dict[ViewerId, dict[Member, None]] = {}
        self.number = 0
        """Of the last event that was heard, whichever its room."""
        self.kept: deque[tuple[Log, Message]] = deque()
        self.kept_bytes = 0

    def room_of(self, name: str) -> Room | None:
        """Where events of this room are kept: those of single people with those of everybody."""
        return self.rooms.get(EVERYONE if name.startswith("@") else name)

    def keep(self, log: Log, message: Message, now: float) -> None:
        log.add(message)
        self.kept.append((log, message))
        self.kept_bytes += message.size
        while self.kept and (
            len(self.kept) > KEPT_EVENTS or self.kept_bytes > KEPT_BYTES or self.kept[0][1].at < now - KEPT_S
        ):
            oldest, gone = self.kept.popleft()
            self.kept_bytes -= gone.size
            if oldest.messages and oldest.messages[0] is gone:
                oldest.forget_oldest()

    def forsaken(self, now: float) -> list[str]:
        """Rooms that nobody has been in for as long as anybody could come back. `now` is Trio's clock."""
        return [
            name
            for name, room in self.rooms.items()
            if name != EVERYONE
            and room.opening is None
            and room.empty_since is not None
            and now - room.empty_since > (KEPT_S if room.log.messages else SILENT_S)
        ]

    def forget(self) -> None:
        self.kept.clear()
        self.kept_bytes = 0
        self.number = 0


def count(spaces: Iterable[Namespace], tally: Tally, gaps: int) -> RoomStatistics:
    spaces = list(spaces)
    everyone = [space.rooms[EVERYONE] for space in spaces if EVERYONE in space.rooms]
    rooms = [room for space in spaces for room in space.rooms.values() if room.name != EVERYONE]
    occupied = [room for room in rooms if room.members]
    return RoomStatistics(
        rooms=len(occupied),
        members=sum(len(some) for room in occupied for some in room.members.values()),
        sockets=sum(len(some) for room in everyone for some in room.members.values()),
        viewers=sum(len(space.viewers) for space in spaces),
        messages=tally.messages,
        encodes=tally.encodes,
        deliveries=tally.deliveries,
        sends=tally.sends,
        flushes=tally.flushes,
        kept=sum(len(space.kept) for space in spaces),
        kept_bytes=sum(space.kept_bytes for space in spaces),
        gaps=gaps,
    )
