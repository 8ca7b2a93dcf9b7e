"""For what happens in another process or server, of which one can only ask again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")
PAUSE_S = 0.005


async def becomes(check: Callable[[], T], *, within_s: float = 60.0) -> T:
    """The first true answer; `trio.TooSlowError` where none comes."""
    with trio.fail_after(within_s):
        while not (answer := check()):  # noqa: ASYNC110 - nobody here can set an event
            await trio.sleep(PAUSE_S)
    return answer
