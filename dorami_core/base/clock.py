"""Time as a dependency, so that tests can move it.

PostgreSQL's clock decides over deadlines (`core.now()` in SQL); this one is for waiting and for showing times.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

import trio


class Clock(Protocol):
    def now(self) -> datetime:
        """Wall time, UTC, aware."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(max(0.0, seconds))


@lru_cache(maxsize=1024)
def iso(moment: datetime) -> str:
    """ISO-8601 UTC with milliseconds, as the API writes times. Remembered: what is decided together has one time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
