"""The last events of rooms: in this process, and the way to the log that all processes share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

from dorami_core.edge.message import Draft, Message
from dorami_core.edge.wire import Place

EVERYONE = "*"
"""The room of a whole namespace; `@viewer` is that of one person. Both are heard by every process."""
CONTROL = "!"
"""The namespace of what processes say to each other; nobody joins it and nothing of it is kept."""
KEPT_EVENTS, KEPT_BYTES, KEPT_S = 10_000, 16 * 1024 * 1024, 120.0
"""Of one namespace (contract.md, Sockets and video)."""


@attrs.frozen
class Heard:
    """An event with the place that all processes agree on; `number` 0: a volatile one, which has none."""

    namespace: str
    room: str
    number: int
    seq: int
    epoch: str
    at: float
    """Unix time, s."""
    payload: bytes
    is_own: bool
    """Said by this process."""
    is_known: bool
    """Members have been told already, when it seemed that the link was down."""

    def message(self) -> Message:
        place = None
        if self.number:
            place = Place(self.room, self.epoch, self.seq, f"{self.epoch}.{self.number}")
        return Message(self.namespace, self.room, self.payload, place, self.number, self.at)


@attrs.frozen
class Window:
    """What the shared log holds of one room: `since` is the number of the last event that it does not hold."""

    epoch: str
    number: int
    seq: int
    since: int
    events: Sequence[Heard]


class Link(Protocol):
    """The way to the other processes. While `is_up` is false everything stays in this one."""

    @property
    def is_up(self) -> bool: ...
    def say(self, said: Draft) -> bool:
        """False where nobody else can be told: then it is to be heard here alone. Never blocks; what was taken and
        cannot be told after all comes back through `RoomIndex.hear_alone`."""
        ...

    async def open(self, namespace: str, room: str) -> Window:
        """Hears the room from now on, and what was said in it before; UNAVAILABLE."""
        ...

    async def close(self, namespace: str, room: str) -> None: ...
    async def catch_up(self) -> None:
        """Returns once everything said until now was heard; UNAVAILABLE."""
        ...


class Log:
    """The last events of a room, all of one epoch, and all of them with a number above `since`."""

    __slots__ = ("epoch", "messages", "seq", "since")

    def __init__(self, epoch: str, since: int, seq: int) -> None:
        self.restart(epoch, since, seq)

    def restart(self, epoch: str, since: int, seq: int) -> None:
        """Forgets; what was said before cannot be told again."""
        self.epoch = epoch
        self.since = since
        self.seq = seq
        self.messages: deque[Message] = deque()

    @property
    def last(self) -> int:
        """The number of the last event that was heard."""
        return self.messages[-1].number if self.messages else self.since

    def add(self, message: Message) -> None:
        assert message.place is not None
        if not message.room.startswith("@"):
            self.seq = message.place.seq
        self.messages.append(message)

    def forget_oldest(self) -> None:
        self.since = self.messages.popleft().number

    def after_number(self, epoch: str, number: int) -> list[Message] | None:
        """What came after this place in the namespace; None where that is no longer known."""
        if epoch != self.epoch or number < self.since:
            return None
        return self._tail(lambda message: message.number > number)

    def after_seq(self, epoch: str, seq: int) -> list[Message] | None:
        """What came after this place in the room; None where that is no longer known."""
        if epoch != self.epoch or not 0 <= seq <= self.seq:
            return None
        found = self._tail(lambda message: message.place is not None and message.place.seq > seq)
        return found if len(found) == self.seq - seq else None

    def _tail(self, is_wanted: Callable[[Message], bool]) -> list[Message]:
        found = []
        for message in reversed(self.messages):
            if not is_wanted(message):
                break
            found.append(message)
        found.reverse()
        return found
