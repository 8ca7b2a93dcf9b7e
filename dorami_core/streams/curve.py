"""How many watch, second by second, kept with the broadcast as one row a minute."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import attrs
import structlog
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import StreamKey
from dorami_core.hooks.transactions import Database
from dorami_core.streams import store, viewer_minutes
from dorami_core.streams.viewer_minutes import MinuteSamples

log = structlog.get_logger()

SAMPLE_S = 1.0
WRITE_EVERY_S = 10.0
"""What a process that is killed loses at most."""
PENDING_BOUND = 24 * 60
"""Minutes kept while the database is gone; the oldest are given up first."""
LAST_WRITE_S = 2.0


@attrs.define
class _Pending:
    """Samples that are not written yet, by minute."""

    minutes: dict[datetime, MinuteSamples] = attrs.field(factory=dict)

    def add(self, at: datetime, count: int) -> None:
        minute = at.replace(second=0, microsecond=0)
        self.merge(MinuteSamples(minute, count, count, 1))

    def merge(self, more: MinuteSamples) -> None:
        known = self.minutes.get(more.minute)
        self.minutes[more.minute] = more if known is None else known.plus(more)
        while len(self.minutes) > PENDING_BOUND:
            del self.minutes[min(self.minutes)]

    def take(self) -> list[MinuteSamples]:
        taken, self.minutes = list(self.minutes.values()), {}
        return taken


class ViewerCurve:
    """A companion of each broadcast (`streams.session.Companion`). `report` hears every sample."""

    def __init__(
        self, db: Database, clock: Clock, viewer_count: Callable[[str], int], report: Callable[[str, int], None]
    ) -> None:
        self._db = db
        self._clock = clock
        self._viewer_count = viewer_count
        self._report = report

    async def run(self, stream_key: StreamKey) -> None:
        """Samples until it is cancelled, and then writes what is left. Raises UNAVAILABLE where the broadcast cannot
        be read at the beginning; later on a database that is gone only delays the rows."""
        row = await store.find(self._db, stream_key)
        if row is None:
            return
        pending = _Pending()
        next_at_s = write_at_s = self._clock.monotonic()
        write_at_s += WRITE_EVERY_S
        try:
            while True:
                count = self._viewer_count(stream_key)
                pending.add(self._clock.now(), count)
                self._report(stream_key, count)
                if self._clock.monotonic() >= write_at_s:
                    write_at_s = self._clock.monotonic() + WRITE_EVERY_S
                    await self._write(stream_key, row.session_no, pending)
                # Seconds that were missed are not made up for.
                next_at_s = max(next_at_s + SAMPLE_S, self._clock.monotonic())
                await self._clock.sleep(next_at_s - self._clock.monotonic())
        finally:
            with trio.move_on_after(LAST_WRITE_S, shield=True):
                await self._write(stream_key, row.session_no, pending)

    async def _write(self, stream_key: StreamKey, session_no: int, pending: _Pending) -> None:
        """In one statement, so that it is written once or not at all."""
        taken = pending.take()
        try:
            await viewer_minutes.add(self._db, stream_key, session_no, taken)
        except DoramiError as error:
            log.warning("broadcast.curve_not_written", stream_key=stream_key, problem=str(error))
            for samples in taken:
                pending.merge(samples)
