"""Keeps a long-lived task alive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio

log = structlog.get_logger()

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0


class Backoff:
    """Pauses between failures: each twice the one before, up to `longest_s`; from the first again after a run of more
    than `steady_s`."""

    def __init__(
        self, first_s: float = FIRST_PAUSE_S, longest_s: float = LONGEST_PAUSE_S, steady_s: float = STEADY_S
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._steady_s = steady_s
        self._next_s = first_s

    def pause_s(self, ran_s: float = 0.0) -> float:
        """How long to wait after a run of `ran_s` seconds that failed."""
        if ran_s > self._steady_s:
            self.reset()
        pause_s = self._next_s
        self._next_s = min(pause_s * 2, self._longest_s)
        return pause_s

    def reset(self) -> None:
        """It went well."""
        self._next_s = self._first_s


async def supervise(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Runs `run`; when it fails, logs why and runs it again after a pause that doubles up to 30 s.

    A run of a minute resets the pause. Returns when `run` returns; cancellation passes.
    """
    backoff = Backoff()
    while True:
        started = trio.current_time()
        try:
            await run()
        except Exception:
            pause_s = backoff.pause_s(trio.current_time() - started)
            log.exception("task.failed", task=name, again_in_s=pause_s)
        else:
            return
        await trio.sleep(pause_s)
