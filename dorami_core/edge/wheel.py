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


class TimerWheel:
    """Slots of `tick_s` seconds; what is entered runs up to one tick late, never early.

    An entry costs a place in a list. There is no removal: an object that is gone answers None.
    """

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._slots: dict[int, list[Timed]] = {}
        self._next = 0

    def enter(self, item: Timed, at: float) -> None:
        slot = max(math.ceil(at / self._tick_s), self._next)
        self._slots.setdefault(slot, []).append(item)

    async def run(self) -> None:
        self._next = math.ceil(trio.current_time() / self._tick_s)
        for early in [slot for slot in self._slots if slot < self._next]:
            self._slots.setdefault(self._next, []).extend(self._slots.pop(early))
        while True:
            await trio.sleep_until(self._next * self._tick_s)
            items = self._slots.pop(self._next, ())
            self._next += 1
            for count, item in enumerate(items, 1):
                now = trio.current_time()
                again = item.on_time(now)
                if again is not None:
                    self.enter(item, again)
                if not count % _YIELD_EVERY:
                    await trio.lowlevel.checkpoint()
