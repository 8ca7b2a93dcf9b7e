"""Events that wait for a client's acknowledgement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import trio

from dorami_core.base.errors import DoramiError

MAX_QUESTIONS = 64


class Question:
    __slots__ = ("answer", "is_lost", "is_over")

    def __init__(self) -> None:
        self.is_over = trio.Event()
        self.is_lost = False
        self.answer: Any = None

    async def wait(self, event: str, timeout_s: float) -> Any:
        """TimeoutError, or ConnectionError where the client left."""
        with trio.move_on_after(timeout_s):
            await self.is_over.wait()
        if self.is_lost:
            raise ConnectionError("the client has left")
        if not self.is_over.is_set():
            raise TimeoutError(f"no answer to {event} within {timeout_s} s")
        return self.answer


class Questions:
    """Those of one client, numbered from 0."""

    __slots__ = ("_asked", "_open")

    def __init__(self) -> None:
        self._asked = 0
        self._open: dict[int, Question] = {}

    @contextmanager
    def ask(self) -> Iterator[tuple[int, Question]]:
        """A new question; UNAVAILABLE while 64 are open."""
        if len(self._open) >= MAX_QUESTIONS:
            raise DoramiError("UNAVAILABLE", problem="too many questions to one client")
        number, question = self._asked, Question()
        self._asked += 1
        self._open[number] = question
        try:
            yield number, question
        finally:
            del self._open[number]

    def answer(self, number: int, arguments: Sequence[Any]) -> None:
        question = self._open.get(number)
        if question is not None:
            question.answer = arguments[0] if arguments else None
            question.is_over.set()

    def lose(self) -> None:
        for question in self._open.values():
            question.is_lost = True
            question.is_over.set()
