"""Keeps a long-lived task alive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio

log = structlog.get_logger()

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0


async def supervise(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Runs `run`; when it fails, logs why and runs it again after a pause that doubles up to 30 s.

    A run of a minute resets the pause. Returns when `run` returns; cancellation passes.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        started = trio.current_time()
        try:
            await run()
        except Exception:
            log.exception("task.failed", task=name, again_in_s=pause_s)
        else:
            return
        if trio.current_time() - started > STEADY_S:
            pause_s = FIRST_PAUSE_S
        await trio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
