"""SQL over `recordings.clips`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import attrs

from dorami_core.base.ids import new_uuid
from dorami_core.hooks.transactions import Queries, Row
from dorami_core.recordings.model import Clip

WAITING_BOUND = 200
"""Clips that wait, of all broadcasts together. Policy: further ones are not made."""
PROBLEM_CHARS = 500

_NAMES = tuple(field.name for field in attrs.fields(Clip))
_COLUMNS = ", ".join(_NAMES)


def _clip(row: Row) -> Clip:
    return Clip(**{name: row[name] for name in _NAMES})


async def request(
    db: Queries, live_id: str, subject: UUID, since: datetime, until: datetime, *, min_s: float, max_s: float
) -> None:
    """None where it would be shorter than `min_s`, or where WAITING_BOUND wait already."""
    await db.execute(
        """INSERT INTO recordings.clips (id, live_id, subject, since, until, try_at)
           SELECT $1, $2, $3, $4, least($5::timestamptz, $4::timestamptz + make_interval(secs => $7)), core.now()
           WHERE $5::timestamptz >= $4::timestamptz + make_interval(secs => $6)
             AND (SELECT count(*) FROM recordings.clips WHERE status = 'WAITING') < $8""",
        new_uuid(),
        live_id,
        subject,
        since,
        until,
        min_s,
        max_s,
        WAITING_BOUND,
    )


async def next_waiting(db: Queries) -> tuple[Clip, datetime] | None:
    """The one whose turn it is, and the database's clock."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS}, core.now() AS now FROM recordings.clips"
        " WHERE status = 'WAITING' AND try_at <= core.now() ORDER BY try_at, id LIMIT 1"
    )
    return None if row is None else (_clip(row), row["now"])


async def wait(db: Queries, clip_id: UUID, wait_s: float) -> None:
    """Not yet; that is no failure."""
    await db.execute(
        "UPDATE recordings.clips SET try_at = core.now() + make_interval(secs => $2) WHERE id = $1", clip_id, wait_s
    )


async def failed(db: Queries, clip_id: UUID, problem: str, again_in_s: float | None) -> None:
    """Another attempt after that time, or none any more."""
    await db.execute(
        """UPDATE recordings.clips SET attempts = attempts + 1, problem = $2,
                  status = CASE WHEN $3::float8 IS NULL THEN 'FAILED' ELSE 'WAITING' END,
                  try_at = core.now() + make_interval(secs => coalesce($3::float8, 0))
           WHERE id = $1""",
        clip_id,
        problem[:PROBLEM_CHARS],
        again_in_s,
    )


async def ready(
    db: Queries, clip_id: UUID, *, part_id: UUID, file: str, from_ms: int, duration_ms: int, size: int
) -> bool:
    """False where its part is gone by now."""
    found = await db.fetchval(
        """UPDATE recordings.clips SET status = 'READY', part_id = $2, file = $3, from_ms = $4, duration_ms = $5,
                  bytes = $6, ready_at = core.now(), problem = NULL
           WHERE id = $1 AND EXISTS (SELECT 1 FROM recordings.parts WHERE id = $2) RETURNING id""",
        clip_id,
        part_id,
        file,
        from_ms,
        duration_ms,
        size,
    )
    return found is not None


async def files_of_part(db: Queries, part_id: UUID) -> list[str]:
    rows = await db.fetch("SELECT file FROM recordings.clips WHERE part_id = $1 AND file IS NOT NULL", part_id)
    return [row["file"] for row in rows]


async def find_public(db: Queries, clip_id: UUID, *, staff: bool) -> Clip | None:
    """A READY one whose replay is public, or any for staff."""
    row = await db.fetchrow(
        f"""SELECT {_columns("c")} FROM recordings.clips c JOIN recordings.parts p ON p.id = c.part_id
              JOIN recordings.replays r ON r.live_id = p.live_id AND r.session_at = p.session_at
            WHERE c.id = $1 AND c.status = 'READY' AND (r.public OR $2)""",
        clip_id,
        staff,
    )
    return None if row is None else _clip(row)


async def of_subjects(db: Queries, subjects: Sequence[UUID], limit: int, *, staff: bool) -> list[Clip]:
    """READY ones, newest first."""
    rows = await db.fetch(
        f"""SELECT {_columns("c")} FROM recordings.clips c JOIN recordings.parts p ON p.id = c.part_id
              JOIN recordings.replays r ON r.live_id = p.live_id AND r.session_at = p.session_at
            WHERE c.subject = ANY($1) AND c.status = 'READY' AND (r.public OR $3)
            ORDER BY c.since DESC, c.id LIMIT $2""",
        list(subjects),
        limit,
        staff,
    )
    return [_clip(row) for row in rows]


def _columns(table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in _NAMES)
