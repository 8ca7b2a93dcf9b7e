"""Durable timers: rows that this process wakes up for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs
import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.hooks.host import DeadlineHandler
from dorami_core.hooks.transactions import Database, Tx

log = structlog.get_logger()

BATCH = 200
POLL_S = 0.5
"""At least so often it looks for timers that were set meanwhile. One that is set for less than this ahead is late by up
to it."""
GATHER_S = 0.05
"""Timers that are due close after one another are fired together."""
RETRY_MAX_S = 30.0

# Asked for by a subquery the time is one value, and the index is read up to it. The last row is the first timer of all.
LOOK = """
SELECT * FROM (
    SELECT kind, key, NULL::float8 AS left_s FROM core.deadlines
    WHERE due_at <= (SELECT core.now()) AND kind = ANY($1) ORDER BY due_at LIMIT $2) AS due
UNION ALL
SELECT NULL, NULL, extract(epoch FROM min(due_at) - core.now())::float8 FROM core.deadlines WHERE kind = ANY($1)
"""


@attrs.frozen
class DeadlineStatistics:
    fired: int
    failed: int


class DeadlineStore:
    """Sets and clears timers inside the transaction that needs them; implements `hooks.Deadlines`."""

    async def set(self, tx: Tx, kind: str, key: str, due_at: datetime) -> None:
        await tx.execute(
            """INSERT INTO core.deadlines (kind, key, due_at) VALUES ($1, $2, $3)
               ON CONFLICT (kind, key) DO UPDATE SET due_at = excluded.due_at, attempts = 0""",
            kind,
            key,
            due_at,
        )

    async def set_many(self, tx: Tx, kind: str, timers: Sequence[tuple[str, datetime]]) -> None:
        await tx.execute(
            """INSERT INTO core.deadlines (kind, key, due_at) SELECT $1, * FROM unnest($2::text[], $3::timestamptz[])
               ON CONFLICT (kind, key) DO UPDATE SET due_at = excluded.due_at, attempts = 0""",
            kind,
            [key for key, _ in timers],
            [due_at for _, due_at in timers],
        )

    async def clear(self, tx: Tx, kind: str, key: str) -> None:
        await tx.execute("DELETE FROM core.deadlines WHERE kind = $1 AND key = $2", kind, key)


class DeadlineRunner:
    """Fires what is due, in batches of one kind and one transaction each.

    A due row is read without a lock: the handler locks its own rows first, in its own order, and the timer is removed
    last, so that two processes may try the same one and only the handler's re-check counts.
    """

    def __init__(self, db: Database, handlers: Mapping[str, DeadlineHandler]) -> None:
        self._db = db
        self._handlers = dict(handlers)
        self._fired = self._failed = 0

    def statistics(self) -> DeadlineStatistics:
        return DeadlineStatistics(self._fired, self._failed)

    async def run(self) -> None:
        """Runs for ever. A lost database is waited for."""
        while True:
            pause_s = POLL_S
            try:
                fired, pause_s = await self._fire_some()
                if fired == BATCH:
                    continue
            except DoramiError as error:
                if error.code != "UNAVAILABLE":
                    raise
                log.warning("deadlines.database_gone")
            await trio.sleep(pause_s)

    async def fire_due(self) -> bool:
        """One round; True where a timer was due."""
        fired, _ = await self._fire_some()
        return fired > 0

    async def _fire_some(self) -> tuple[int, float]:
        """How many were due, at most BATCH; and how long to wait for more."""
        *rows, first = await self._db.fetch(LOOK, list(self._handlers), BATCH)
        due: dict[str, list[str]] = {}
        for row in rows:
            due.setdefault(row["kind"], []).append(row["key"])
        for kind, keys in due.items():
            await self._fire(kind, keys)
        left_s: float | None = first["left_s"]
        return len(rows), POLL_S if left_s is None else min(POLL_S, max(GATHER_S, left_s))

    async def _fire(self, kind: str, keys: list[str]) -> None:
        try:
            async with self._db.transaction() as tx:
                await self._handlers[kind](tx, keys)
                await tx.execute(
                    "DELETE FROM core.deadlines WHERE kind = $1 AND key = ANY($2) AND due_at <= core.now()", kind, keys
                )
            self._fired += len(keys)
        except DoramiError as error:
            if error.code == "UNAVAILABLE":
                raise
            await self._failed_on(kind, keys)
        except Exception:
            await self._failed_on(kind, keys)

    async def _failed_on(self, kind: str, keys: list[str]) -> None:
        """One bad key must not hold up the others: try each by itself, and put off the one that fails."""
        if len(keys) > 1:
            for key in keys:
                await self._fire(kind, [key])
            return
        self._failed += 1
        log.exception("deadline.failed", kind=kind, key=keys[0])
        await self._db.execute(
            """UPDATE core.deadlines SET attempts = attempts + 1,
                      due_at = core.now() + make_interval(secs => least(0.2 * 2 ^ least(attempts, 20), $3::float8))
               WHERE kind = $1 AND key = $2""",
            kind,
            keys[0],
            RETRY_MAX_S,
        )
