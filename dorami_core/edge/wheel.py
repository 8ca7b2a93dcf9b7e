"""One task that watches the times of all connections."""

from __future__ import annotations

import math
from typing import Protocol

import trio

_YIELD_EVERY = 200


class Timed(Protocol):
    def on_time(self, now: float) -> float | None:
        """Does what is due and says when to come back; None: never again. Times are Trio's clock."""
        ...


class Ticket:
    """A place in the wheel. Cancelled, it costs its place until its time, and nothing else."""

    __slots__ = ("item",)

    def __init__(self, item: Timed) -> None:
        self.item: Timed | None = item

    def cancel(self) -> None:
        self.item = None


class TimerWheel:
    """Slots of `tick_s` seconds; what is entered runs up to one tick late, never early."""

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._slots: dict[int, list[Ticket]] = {}
        self._next = 0

    def enter(self, item: Timed, at: float) -> Ticket:
        ticket = Ticket(item)
        self._put(ticket, at)
        return ticket

    def _put(self, ticket: Ticket, at: float) -> None:
        slot = max(math.ceil(at / self._tick_s), self._next)
        self._slots.setdefault(slot, []).append(ticket)

    async def run(self) -> None:
        self._next = math.ceil(trio.current_time() / self._tick_s)
        for early in [slot for slot in self._slots if slot < self._next]:
            self._slots.setdefault(self._next, []).extend(self._slots.pop(early))
        while True:
            await trio.sleep_until(self._next * self._tick_s)
            tickets = self._slots.pop(self._next, ())
            self._next += 1
            for count, ticket in enumerate(tickets, 1):
                if ticket.item is not None:
                    again = ticket.item.on_time(trio.current_time())
                    if again is not None:
                        self._put(ticket, again)
                if not count % _YIELD_EVERY:
                    await trio.lowlevel.checkpoint()
