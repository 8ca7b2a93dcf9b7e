"""Every asynchronous test of this folder ends within a minute (of its own clock), so that a lost event fails."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

_HERE = Path(__file__).parent
LIMIT_S = 60


def _within_limit(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def limited(*args: object, **kwargs: object) -> None:
        with trio.fail_after(LIMIT_S):
            await test(*args, **kwargs)

    return limited


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        is_ours = isinstance(item, pytest.Function) and item.path.parent == _HERE
        if is_ours and item.get_closest_marker("soak") is None and inspect.iscoroutinefunction(item.obj):
            item.obj = _within_limit(item.obj)
