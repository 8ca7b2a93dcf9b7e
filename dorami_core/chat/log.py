"""The whole log of every broadcast, in PostgreSQL, written in batches."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs
import msgspec
import structlog
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.chat.model import ChatMessage
from dorami_core.hooks.transactions import Database, Row

log = structlog.get_logger()

WRITE_S = 1.0
BATCH = 200
WAITING_BOUND = 10_000
"""Rows that wait for a PostgreSQL that is away. Policy: the oldest are dropped, and counted."""
LAST_WRITE_S = 3.0

_INSERT = """
    INSERT INTO chat.messages (id, stream_key, user_id, display_name, role, message, at, seq, epoch)
    SELECT id, live_id, user_id, display_name, role, message, "timestamp", seq, epoch
    FROM json_to_recordset($1::text::json)
         AS m (id uuid, live_id text, user_id uuid, display_name text, role text, message text,
               "timestamp" timestamptz, seq bigint, epoch text)
    ON CONFLICT (id) DO NOTHING
"""


@attrs.frozen
class LogStatistics:
    """`waiting`: rows not written yet; the others count since the start."""

    waiting: int
    written: int
    dropped: int


@attrs.frozen
class LoggedMessage:
    """`deleted_at`, `deleted_by`: when and by whom it was taken back."""

    id: UUID
    live_id: str
    user_id: UUID
    display_name: str
    role: str
    message: str
    timestamp: datetime
    seq: int
    epoch: str
    deleted_at: datetime | None
    deleted_by: UUID | None


class MessageLog:
    """A message that was said is in the log within a second or 200 messages, and at an orderly stop; one of a process
    that was killed in between is in the history of Redis only."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._waiting: deque[ChatMessage] = deque()
        self._changed = trio.Event()
        self._enough = trio.Event()
        self._turn = trio.Lock()
        self._written = 0
        self._dropped = 0

    def statistics(self) -> LogStatistics:
        return LogStatistics(len(self._waiting), self._written, self._dropped)

    def add(self, message: ChatMessage) -> None:
        """Never waits."""
        if len(self._waiting) >= WAITING_BOUND:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(message)
        self._changed.set()
        if len(self._waiting) >= BATCH:
            self._enough.set()

    async def run(self) -> None:
        """Writes until cancelled, and what is left then within three seconds."""
        try:
            while True:
                await self._changed.wait()
                await self._wait_for_more()
                self._changed, self._enough = trio.Event(), trio.Event()
                try:
                    await self.write()
                except DoramiError as error:
                    if error.code != "UNAVAILABLE":
                        raise
                    log.warning("chat.log_waits", rows=len(self._waiting))
                    await self._clock.sleep(WRITE_S)
                if self._waiting:
                    self._changed.set()
        finally:
            with trio.move_on_after(LAST_WRITE_S, shield=True):
                try:
                    await self.write()
                except DoramiError:
                    log.warning("chat.log_lost", rows=len(self._waiting))

    async def _wait_for_more(self) -> None:
        async with trio.open_nursery() as nursery:

            async def end_after(wait: Any, *arguments: Any) -> None:
                await wait(*arguments)
                nursery.cancel_scope.cancel()

            nursery.start_soon(end_after, self._clock.sleep, WRITE_S)
            nursery.start_soon(end_after, self._enough.wait)

    async def write(self) -> None:
        """Writes all that waits now, in batches; what comes meanwhile gathers for the next time. Raises UNAVAILABLE,
        and the rows go on waiting."""
        async with self._turn:
            for left in range(len(self._waiting), 0, -BATCH):
                batch = [self._waiting.popleft() for _ in range(min(BATCH, left, len(self._waiting)))]
                try:
                    await self._db.execute(_INSERT, msgspec.json.encode(batch).decode())
                except (DoramiError, trio.Cancelled):
                    self._keep(batch)
                    raise
                except Exception:
                    # Rows that PostgreSQL will never take must not hold up all others.
                    self._dropped += len(batch)
                    log.exception("chat.log_refused", rows=len(batch))
                else:
                    self._written += len(batch)

    def _keep(self, batch: list[ChatMessage]) -> None:
        """Back to the head of the line, where there is room."""
        room = WAITING_BOUND - len(self._waiting)
        self._dropped += max(0, len(batch) - room)
        self._waiting.extendleft(reversed(batch[max(0, len(batch) - room) :]))

    async def page(self, stream_key: str, after: UUID | None, limit: int) -> list[LoggedMessage]:
        """Oldest first, what was deleted among them; from the message after `after`, none where that is not of this
        broadcast."""
        await self.write()
        rows = await self._db.fetch(
            """SELECT m.*, d.at AS deleted_at, d.by_user AS deleted_by
                 FROM chat.messages m LEFT JOIN chat.deletions d ON d.message_id = m.id
                WHERE m.stream_key = $1
                  AND ($2::uuid IS NULL OR (m.at, m.seq, m.id) >
                       (SELECT p.at, p.seq, p.id FROM chat.messages p WHERE p.id = $2 AND p.stream_key = $1))
                ORDER BY m.at, m.seq, m.id LIMIT $3""",
            stream_key,
            after,
            limit,
        )
        return [_logged(row) for row in rows]

    async def between(
        self, stream_key: str, since: datetime, until: datetime, after: UUID | None, limit: int
    ) -> list[LoggedMessage]:
        """What was said from `since` to `until` and not taken back, oldest first; from the message after `after`, none
        where that is not of this broadcast."""
        rows = await self._db.fetch(
            """SELECT m.*, NULL::timestamptz AS deleted_at, NULL::uuid AS deleted_by FROM chat.messages m
                WHERE m.stream_key = $1 AND m.at >= $2 AND m.at <= $3
                  AND ($4::uuid IS NULL OR (m.at, m.seq, m.id) >
                       (SELECT p.at, p.seq, p.id FROM chat.messages p WHERE p.id = $4 AND p.stream_key = $1))
                  AND NOT EXISTS (SELECT 1 FROM chat.deletions d WHERE d.message_id = m.id)
                ORDER BY m.at, m.seq, m.id LIMIT $5""",
            stream_key,
            since,
            until,
            after,
            limit,
        )
        return [_logged(row) for row in rows]

    async def before(self, stream_key: str, since: datetime, until: datetime, limit: int) -> list[LoggedMessage]:
        """The last of what was said from `since` to before `until` and not taken back, oldest first."""
        rows = await self._db.fetch(
            """SELECT m.*, NULL::timestamptz AS deleted_at, NULL::uuid AS deleted_by FROM chat.messages m
                WHERE m.stream_key = $1 AND m.at >= $2 AND m.at < $3
                  AND NOT EXISTS (SELECT 1 FROM chat.deletions d WHERE d.message_id = m.id)
                ORDER BY m.at DESC, m.seq DESC, m.id DESC LIMIT $4""",
            stream_key,
            since,
            until,
            limit,
        )
        return [_logged(row) for row in reversed(rows)]

    async def find(self, stream_key: str, message_id: UUID) -> LoggedMessage | None:
        await self.write()
        row = await self._db.fetchrow(
            """SELECT m.*, d.at AS deleted_at, d.by_user AS deleted_by
                 FROM chat.messages m LEFT JOIN chat.deletions d ON d.message_id = m.id
                WHERE m.stream_key = $1 AND m.id = $2""",
            stream_key,
            message_id,
        )
        return None if row is None else _logged(row)


def _logged(row: Row) -> LoggedMessage:
    return LoggedMessage(
        row["id"],
        row["stream_key"],
        row["user_id"],
        row["display_name"],
        row["role"],
        row["message"],
        row["at"],
        row["seq"],
        row["epoch"],
        row["deleted_at"],
        row["deleted_by"],
    )
