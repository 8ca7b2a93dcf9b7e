"""An answer that many ask for within the same second."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

from dorami_core.base.clock import Clock

T = TypeVar("T")
KEYS_KEPT = 1000


class Briefly(Generic[T]):
    """Remembers what `ask(key)` answered for `for_s` seconds; those who ask while it is being asked wait for the same
    answer. An error is not remembered, and whoever waited asks himself."""

    def __init__(self, ask: Callable[[str], Awaitable[T]], clock: Clock, for_s: float) -> None:
        self._ask = ask
        self._clock = clock
        self._for_s = for_s
        self._known: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._asking: dict[str, trio.Event] = {}
        self._generation = 0

    async def get(self, key: str) -> T:
        while True:
            known = self._known.get(key)
            if known is not None and self._clock.monotonic() - known[0] < self._for_s:
                return known[1]
            asking = self._asking.get(key)
            if asking is None:
                return await self._find(key)
            await asking.wait()

    def clear(self) -> None:
        """Forgets all; what is being asked just now will not be remembered."""
        self._known.clear()
        self._generation += 1

    async def _find(self, key: str) -> T:
        done = self._asking[key] = trio.Event()
        generation, at = self._generation, self._clock.monotonic()
        try:
            answer = await self._ask(key)
        finally:
            del self._asking[key]
            done.set()
        if generation == self._generation:
            self._known[key] = (at, answer)
            self._known.move_to_end(key)
            if len(self._known) > KEYS_KEPT:
                self._known.popitem(last=False)
        return answer
