"""Writes one change of status with its event, in one transaction."""

from __future__ import annotations

from datetime import datetime, timedelta

from dorami_core.base.clock import Clock
from dorami_core.base.ids import StreamKey
from dorami_core.events.streams import StreamEnded, StreamInterrupted, StreamResumed, StreamStarted
from dorami_core.hooks.host import HookCaller
from dorami_core.hooks.transactions import Database, Tx
from dorami_core.streams import store
from dorami_core.streams.model import StreamRow
from dorami_core.streams.states import Cause, EndReason, after

REASONS: dict[Cause, EndReason] = {"finished": "seller", "closed": "seller", "grace_over": "publisher_lost"}


class Transitions:
    """Each method answers the new row, or None where the database knows a status from which it does not go."""

    def __init__(self, db: Database, hooks: HookCaller, clock: Clock, *, grace_s: float) -> None:
        self.db = db
        self.grace_s = grace_s
        self._hooks = hooks
        self._clock = clock

    async def apply(self, row: StreamRow, cause: Cause, *, viewers: int) -> StreamRow | None:
        """`viewers`: those at this moment for a session that begins, else the peak of the one that runs."""
        target = after(row.status, cause)
        if target is None:
            return None
        async with self.db.transaction() as tx:
            if target == "OFFLINE":
                return await self._end(tx, row.stream_key, cause, viewers)
            if target == "INTERRUPTED":
                return await self._interrupt(tx, row.stream_key)
            if row.status == "INTERRUPTED":
                return await self._resume(tx, row.stream_key)
            return await self._start(tx, row.stream_key, viewers)

    async def close(self, stream_key: StreamKey, *, viewers: int) -> StreamRow | None:
        """OFFLINE for good, from whatever status; None for an unknown key."""
        async with self.db.transaction() as tx:
            row = await store.lock(tx, stream_key)
            if row is None or (row.closed and row.status == "OFFLINE"):
                return row
            if row.status == "OFFLINE":
                return await store.close_ended(tx, stream_key)
            return await self._end(tx, stream_key, "closed", viewers)

    async def prolong(self, row: StreamRow) -> StreamRow | None:
        """A new grace time for one that is INTERRUPTED: this process has just come up."""
        async with self.db.transaction() as tx:
            return await store.interrupt(tx, row.stream_key, grace_ends_at=self._grace_ends_at())

    def _grace_ends_at(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self.grace_s)

    async def _start(self, tx: Tx, stream_key: StreamKey, viewers: int) -> StreamRow | None:
        now = self._clock.now()
        row = await store.start_session(tx, stream_key, at=now, viewers=viewers)
        if row is not None:
            tx.emit(StreamStarted(stream_key=stream_key, title=row.title, started_at=now))
        return row

    async def _interrupt(self, tx: Tx, stream_key: StreamKey) -> StreamRow | None:
        ends_at = self._grace_ends_at()
        row = await store.interrupt(tx, stream_key, grace_ends_at=ends_at)
        if row is not None:
            tx.emit(StreamInterrupted(stream_key=stream_key, title=row.title, grace_ends_at=ends_at))
        return row

    async def _resume(self, tx: Tx, stream_key: StreamKey) -> StreamRow | None:
        row = await store.resume(tx, stream_key)
        if row is not None:
            tx.emit(StreamResumed(stream_key=stream_key, title=row.title))
        return row

    async def _end(self, tx: Tx, stream_key: StreamKey, cause: Cause, viewers: int) -> StreamRow | None:
        now = self._clock.now()
        row = await store.end_session(tx, stream_key, at=now, viewers=viewers, close=cause == "closed")
        if row is not None:
            tx.emit(
                StreamEnded(
                    stream_key=stream_key,
                    title=row.title,
                    reason=REASONS[cause],
                    ended_at=now,
                    peak_viewers=row.peak_viewers,
                )
            )
            await self._hooks.in_tx("stream_ended_in_tx", tx, stream=row.view)
        return row
