"""One answer for all who ask the same in the same moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

import attrs
import trio

from dorami_core.base.errors import DoramiError

T = TypeVar("T")


@attrs.define(eq=False)
class _Turn(Generic[T]):
    """One answer; `results` is empty until it is there."""

    results: list[T] = attrs.field(factory=list)
    error: Exception | None = None


@attrs.define(eq=False, weakref_slot=True)
class _Question(Generic[T]):
    next: _Turn[T] = attrs.field(factory=_Turn)
    lock: trio.Lock = attrs.field(factory=trio.Lock)


@attrs.frozen
class CoalescingStatistics:
    """Since the start: how often was asked, and how often the answer was made."""

    asked: int
    made: int


class Coalesced(Generic[T]):
    """`make(key)`, shared: one at a time for each key, and whoever asks while it runs waits for the next one, which
    they all share. So an answer never began before the question, and is no older than what the asker did before.
    """

    def __init__(self, make: Callable[[str], Awaitable[T]]) -> None:
        self._make = make
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
        turn = question.next
        async with question.lock:
            if not turn.results and turn.error is None:
                if question.next is turn:
                    question.next = _Turn()
                self._made += 1
                try:
                    turn.results.append(await self._make(key))
                except Exception as error:
                    turn.error = error
                    raise
        if turn.error is not None:
            raise _again(turn.error) from turn.error
        return turn.results[0]


def _again(error: Exception) -> DoramiError:
    if isinstance(error, DoramiError):
        return DoramiError(error.code, retry_after_ms=error.retry_after_ms, **error.details)
    return DoramiError("UNAVAILABLE")
