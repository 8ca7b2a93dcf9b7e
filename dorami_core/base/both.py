"""Two questions at once, where neither needs the other's answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio

A = TypeVar("A")
B = TypeVar("B")


async def both(first: Callable[[], Awaitable[A]], second: Callable[[], Awaitable[B]]) -> tuple[A, B]:
    """Both answers. The first error ends the other question and is raised as it is, in no group."""
    answers: list[Any] = [None, None]
    errors: list[Exception] = []

    async def ask(call: Callable[[], Awaitable[Any]], number: int) -> None:
        try:
            answers[number] = await call()
        except Exception as error:
            errors.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, second, 1)
        await ask(first, 0)
    if errors:
        raise errors[0]
    return answers[0], answers[1]
