"""One answer for all who ask the same in the same moment."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

import attrs
import trio

from dorami_core.base.errors import DoramiError

T = TypeVar("T")


@attrs.define(eq=False)
class _Turn(Generic[T]):
    """One answer; `results` is empty until it is there, and stays so where its maker was cancelled."""

    results: list[T] = attrs.field(factory=list)
    error: Exception | None = None
    has_maker: bool = False
    over: trio.Event = attrs.field(factory=trio.Event)


@attrs.define(eq=False, weakref_slot=True)
class _Question(Generic[T]):
    next: _Turn[T] = attrs.field(factory=_Turn)
    running: _Turn[T] | None = None
    begun_at: float = -math.inf


@attrs.frozen
class CoalescingStatistics:
    """Since the start: how often was asked, and how often the answer was made."""

    asked: int
    made: int


class Coalesced(Generic[T]):
    """`make(key)`, shared: one at a time for each key, and whoever asks while it runs waits for the next one, which
    they all share. So an answer never began before the question, and is no older than what the asker did before.
    Between the beginnings of two answers lie at least `pause_s`.
    """

    def __init__(self, make: Callable[[str], Awaitable[T]], *, pause_s: float = 0.0) -> None:
        self._make = make
        self._pause_s = pause_s
        self._by_key: WeakValueDictionary[str, _Question[T]] = WeakValueDictionary()
        self._asked = 0
        self._made = 0

    def statistics(self) -> CoalescingStatistics:
        return CoalescingStatistics(self._asked, self._made)

    async def get(self, key: str) -> T:
        """Raises what `make` raised: a DoramiError to all who share it, another error to one of them and UNAVAILABLE
        to the rest. Cancelled while it makes the answer, it leaves that to the next of those who share it."""
        self._asked += 1
        question = self._by_key.get(key)
        if question is None:
            question = self._by_key[key] = _Question()
        while True:
            turn = question.next
            if not turn.has_maker:
                return await self._take(key, question, turn)
            await turn.over.wait()
            if turn.error is not None:
                raise _again(turn.error) from turn.error
            if turn.results:
                return turn.results[0]

    async def _take(self, key: str, question: _Question[T], turn: _Turn[T]) -> T:
        """Makes the answer of this turn, once the one before is there and the pause is over."""
        turn.has_maker = True
        try:
            if question.running is not None:
                await question.running.over.wait()
            await trio.sleep(max(0.0, question.begun_at + self._pause_s - trio.current_time()))
            question.next, question.running, question.begun_at = _Turn(), turn, trio.current_time()
            self._made += 1
            try:
                turn.results.append(await self._make(key))
            except Exception as error:
                turn.error = error
                raise
            return turn.results[0]
        finally:
            if question.next is turn:
                question.next = _Turn()
            turn.over.set()


def _again(error: Exception) -> DoramiError:
    if isinstance(error, DoramiError):
        return DoramiError(error.code, retry_after_ms=error.retry_after_ms, **error.details)
    return DoramiError("UNAVAILABLE")
