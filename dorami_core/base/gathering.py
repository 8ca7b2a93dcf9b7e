"""Wishes about the same thing gather while one transaction is under way, and are decided together in the next one.

A hot row is bound by its lock and by commits, not by Python: many decisions in one transaction are the
way past that. No task is needed for it: the first who comes leads, decides for all who have come by then, and hands the
lead to the next one. Who comes alone waits for nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar
from uuid import UUID

import attrs
import trio

from dorami_core.base.errors import DoramiError

W = TypeVar("W")
A = TypeVar("A")

BATCH = 400
WAITING_BOUND = 5000
"""Wishes about one thing that wait for their turn; more are turned away."""


@attrs.define(eq=False)
class _Waiting(Generic[W, A]):
    key: object
    wish: W
    turn: trio.Event = attrs.Factory(trio.Event)
    leads: bool = False
    answer: A | None = None
    error: BaseException | None = None

    @property
    def is_answered(self) -> bool:
        return self.answer is not None or self.error is not None


@attrs.frozen
class GatheringStatistics:
    """`decided` wishes in `batches` transactions since the start; `waiting` now."""

    decided: int
    batches: int
    waiting: int


class Gathering(Generic[W, A]):
    """`decide` is given what hands out the wishes, in order of arrival, of all who have come until then: it asks after
    BEGIN, so that in a rush nobody is decided by himself. It answers each with an answer or an error of its own."""

    def __init__(self, decide: Callable[[Callable[[], Sequence[W]]], Awaitable[Sequence[A | DoramiError]]]) -> None:
        self._decide = decide
        self._lines: dict[UUID, list[_Waiting[W, A]]] = {}
        self._decided = self._batches = 0

    def statistics(self) -> GatheringStatistics:
        return GatheringStatistics(self._decided, self._batches, sum(map(len, self._lines.values())))

    async def ask(self, about: UUID, key: object, wish: W) -> A:
        """The answer to one wish. Two with the same key are never decided together (None: no key). UNAVAILABLE where
        too many wait. Cancelled before its turn a wish is as if never said; later it is decided all the same."""
        mine: _Waiting[W, A] = _Waiting(key, wish)
        line = self._lines.setdefault(about, [])
        if len(line) >= WAITING_BOUND:
            raise DoramiError("UNAVAILABLE", retry_after_ms=1000)
        line.append(mine)
        if len(line) == 1:
            # The head of a line is the one who leads, or will as soon as he runs.
            mine.leads = True
            mine.turn.set()
        try:
            await mine.turn.wait()
        except trio.Cancelled:
            self._withdraw(about, line, mine)
            raise
        if mine.leads:
            with trio.CancelScope(shield=True):
                await self._lead(about, line)
        if mine.error is not None:
            raise mine.error
        assert mine.answer is not None
        return mine.answer

    def _withdraw(self, about: UUID, line: list[_Waiting[W, A]], mine: _Waiting[W, A]) -> None:
        if mine in line:
            line.remove(mine)
        if mine.leads:
            self._hand_on(about, line)

    async def _lead(self, about: UUID, line: list[_Waiting[W, A]]) -> None:
        batch: list[_Waiting[W, A]] = []

        def take() -> list[W]:
            if not batch:
                self._move(line, batch)
            return [one.wish for one in batch]

        try:
            await self._answer(batch, take)
        finally:
            take()
            line.remove(batch[0])
            for one in batch[1:]:
                one.turn.set()
            self._hand_on(about, line)

    def _move(self, line: list[_Waiting[W, A]], batch: list[_Waiting[W, A]]) -> None:
        """The head of the line, who stays there until all are answered, and who can be decided with him."""
        keys: set[object] = set()
        for one in line:
            if len(batch) == BATCH:
                break
            if one.key is None or one.key not in keys:
                keys.add(one.key)
                batch.append(one)
        for one in batch[1:]:
            line.remove(one)

    async def _answer(self, batch: list[_Waiting[W, A]], take: Callable[[], list[W]]) -> None:
        try:
            answers = await self._decide(take)
        except Exception as error:
            take()
            self._count(batch)
            if len(batch) == 1 or (isinstance(error, DoramiError) and error.code == "UNAVAILABLE"):
                for one in batch:
                    one.error = error
                return
            # Somebody's wish broke the transaction of all: each gets one of its own, in the same order.
            for one in batch:
                await self._answer([one], partial(list, [one.wish]))
            return
        self._count(batch)
        for one, answer in zip(batch, answers, strict=True):
            if isinstance(answer, DoramiError):
                one.error = answer
            else:
                one.answer = answer

    def _count(self, batch: list[_Waiting[W, A]]) -> None:
        self._batches += 1
        self._decided += len(batch)

    def _hand_on(self, about: UUID, line: list[_Waiting[W, A]]) -> None:
        if line:
            line[0].leads = True
            line[0].turn.set()
        else:
            del self._lines[about]
