"""Clocks that a test moves: the one for waiting, and PostgreSQL's, which decides over deadlines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import trio

from dorami_core.hooks.transactions import Queries

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

MOVABLE_CLOCK = """
    CREATE TABLE core.clock_shift (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        shift interval NOT NULL
    );
    CREATE OR REPLACE FUNCTION core.now() RETURNS timestamptz LANGUAGE sql VOLATILE AS
        'select clock_timestamp() + coalesce((select shift from core.clock_shift), interval ''0'')';
"""


class ManualClock:
    """A `dorami_core.hooks.Clock` that stands still until `advance`."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._passed = 0.0
        self._sleepers: list[tuple[float, trio.Event]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await trio.lowlevel.checkpoint()
            return
        sleeper = (self._passed + seconds, trio.Event())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1].wait()
        finally:
            self._sleepers.remove(sleeper)

    @property
    def sleeping(self) -> int:
        """How many tasks wait; after `trio.testing.wait_all_tasks_blocked` a test knows that its task is one."""
        return len(self._sleepers)

    def advance(self, seconds: float) -> None:
        """Moves on at once and wakes who is due; they run at the caller's next checkpoint."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._passed += seconds
        for due, event in self._sleepers:
            if due <= self._passed:
                event.set()


async def move_database_clock(db: Queries, seconds: float) -> None:
    """Moves `core.now()` of this database by `seconds`, for all its sessions at once; repeated moves add up.

    The database of a fixture has this clock from its beginning. Another one gets it here, and there a transaction
    that is already open may go on with the clock it knows.
    """
    if await db.fetchval("SELECT to_regclass('core.clock_shift') IS NULL"):
        await db.execute(MOVABLE_CLOCK)
    await db.execute(
        "INSERT INTO core.clock_shift (shift) VALUES ($1) "
        "ON CONFLICT (only_row) DO UPDATE SET shift = clock_shift.shift + excluded.shift",
        timedelta(seconds=seconds),
    )
