"""SQL over `streams.viewer_minutes`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs

from dorami_core.hooks.host import ViewerMinute
from dorami_core.hooks.transactions import Queries

READ_LIMIT = 24 * 60


@attrs.frozen
class MinuteSamples:
    """What was counted within one minute: the highest of the samples, their sum and number."""

    minute: datetime
    highest: int
    total: int
    samples: int

    def plus(self, more: MinuteSamples) -> MinuteSamples:
        return MinuteSamples(
            self.minute, max(self.highest, more.highest), self.total + more.total, self.samples + more.samples
        )


async def add(db: Queries, stream_key: str, session_no: int, minutes: Sequence[MinuteSamples]) -> None:
    """Adds to what the minutes have already."""
    if not minutes:
        return
    await db.execute(
        "INSERT INTO streams.viewer_minutes AS known (stream_key, session_no, minute, highest, total, samples)"
        " SELECT $1, $2, * FROM unnest($3::timestamptz[], $4::integer[], $5::bigint[], $6::integer[])"
        " ON CONFLICT (stream_key, session_no, minute) DO UPDATE SET"
        " highest = GREATEST(known.highest, excluded.highest), total = known.total + excluded.total,"
        " samples = known.samples + excluded.samples",
        stream_key,
        session_no,
        [one.minute for one in minutes],
        [one.highest for one in minutes],
        [one.total for one in minutes],
        [one.samples for one in minutes],
    )


async def list_session(db: Queries, stream_key: str, session_no: int) -> list[ViewerMinute]:
    """Oldest first; of more than a day the last 24 hours."""
    rows = await db.fetch(
        "SELECT minute, highest, total::float8 / samples AS average FROM streams.viewer_minutes"
        " WHERE stream_key = $1 AND session_no = $2 ORDER BY minute DESC LIMIT $3",
        stream_key,
        session_no,
        READ_LIMIT,
    )
    return [ViewerMinute(row["minute"], row["highest"], round(row["average"], 1)) for row in reversed(rows)]
