"""SQL over `recordings.parts`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from dorami_core.base.ids import StreamKey
from dorami_core.hooks.transactions import Queries, Row
from dorami_core.recordings.model import DeleteReason, Part, PartStatus

_NAMES = tuple(field.name for field in attrs.fields(Part))
_SELECT = """
    SELECT p.*, r.id AS replay_id, r.public
    FROM recordings.parts p JOIN recordings.replays r ON r.live_id = p.live_id AND r.session_at = p.session_at
"""


def _part(row: Row) -> Part:
    values: dict[str, Any] = {name: row[name] for name in _NAMES}
    marks = values["marks"]
    values["marks"] = [(at, unix) for at, unix in (json.loads(marks) if isinstance(marks, str) else marks)]
    return Part(**values)


async def begin(
    db: Queries,
    part_id: UUID,
    live_id: StreamKey,
    session_at: datetime,
    file: str,
    at: datetime,
    *,
    public: bool = True,
) -> int:
    """Answers the number of the part; with the first one of a session its replay begins, `public` or not."""
    number: int = await db.fetchval(
        "WITH replay AS (INSERT INTO recordings.replays (live_id, session_at, public) VALUES ($2, $3, $6)"
        " ON CONFLICT DO NOTHING)"
        " INSERT INTO recordings.parts (id, live_id, session_at, number, file, status, began_at)"
        " SELECT $1, $2, $3, coalesce(max(number), 0) + 1, $4, 'RECORDING', $5"
        " FROM recordings.parts WHERE live_id = $2 AND session_at = $3 RETURNING number",
        part_id,
        live_id,
        session_at,
        file,
        at,
        public,
    )
    return number


async def save(
    db: Queries,
    part_id: UUID,
    *,
    status: PartStatus,
    duration_ms: int,
    size: int,
    marks: Sequence[tuple[int, int]],
    ended_at: datetime | None,
) -> None:
    await db.execute(
        "UPDATE recordings.parts SET status = $2, duration_ms = $3, bytes = $4, marks = $5::jsonb, ended_at = $6,"
        " updated_at = core.now() WHERE id = $1",
        part_id,
        status,
        duration_ms,
        size,
        json.dumps(list(marks)),
        ended_at,
    )


async def find(db: Queries, part_id: UUID) -> Part | None:
    row = await db.fetchrow(f"{_SELECT} WHERE p.id = $1", part_id)
    return None if row is None else _part(row)


async def list_parts(
    db: Queries, live_id: str | None, limit: int, offset: int, *, only_announced: bool = False
) -> list[Part]:
    """Newest first; those that were announced to go alone, the next one first."""
    rows = await db.fetch(
        f"{_SELECT} WHERE ($1::text IS NULL OR p.live_id = $1) AND (NOT $4 OR p.delete_at IS NOT NULL)"
        " ORDER BY CASE WHEN $4 THEN p.delete_at END, p.began_at DESC, p.id LIMIT $2 OFFSET $3",
        live_id,
        limit,
        offset,
        only_announced,
    )
    return [_part(row) for row in rows]


async def parts_of_session(db: Queries, live_id: str, session_at: datetime) -> list[Part]:
    """In their order."""
    rows = await db.fetch(
        f"{_SELECT} WHERE p.live_id = $1 AND p.session_at = $2 ORDER BY p.number",
        live_id,
        session_at,
    )
    return [_part(row) for row in rows]


async def parts_between(db: Queries, live_id: str, since: datetime, until: datetime) -> list[Part]:
    """Those that were written at any moment between."""
    rows = await db.fetch(
        f"{_SELECT} WHERE p.live_id = $1 AND p.status <> 'FAILED'"
        " AND p.began_at < $3 AND (p.ended_at IS NULL OR p.ended_at > $2) ORDER BY p.began_at, p.number",
        live_id,
        since,
        until,
    )
    return [_part(row) for row in rows]


async def storage(db: Queries) -> Row:
    """`parts`, `bytes` (with those of clips), `announced`, `announced_bytes`, `first_at`."""
    return await db.fetchrow(
        """SELECT count(*) AS parts,
                  (coalesce(sum(bytes), 0) + (SELECT coalesce(sum(bytes), 0) FROM recordings.clips))::bigint AS bytes,
                  count(delete_at) AS announced, min(delete_at) AS first_at,
                  coalesce(sum(bytes) FILTER (WHERE delete_at IS NOT NULL), 0)::bigint AS announced_bytes
           FROM recordings.parts"""
    )


async def keep(db: Queries, part_id: UUID, kept: bool) -> Part | None:
    """One that is kept is not deleted by age or for space; a warning of that is taken back."""
    await db.execute(
        "UPDATE recordings.parts SET kept = $2, delete_at = CASE WHEN $2 THEN NULL ELSE delete_at END,"
        " delete_reason = CASE WHEN $2 THEN NULL ELSE delete_reason END WHERE id = $1",
        part_id,
        kept,
    )
    return await find(db, part_id)


async def delete(db: Queries, part_id: UUID) -> None:
    await db.execute("DELETE FROM recordings.parts WHERE id = $1", part_id)


async def abandoned(db: Queries, after_s: float) -> list[Part]:
    """Parts that are still RECORDING though nobody has written of them for so long."""
    rows = await db.fetch(
        f"{_SELECT} WHERE p.status = 'RECORDING' AND p.updated_at < core.now() - make_interval(secs => $1)",
        after_s,
    )
    return [_part(row) for row in rows]


async def warn_of_age(db: Queries, keep_s: float, warn_s: float) -> None:
    """Announces what will be too old within `warn_s`; the announcement stands for `warn_s` at least."""
    await db.execute(
        "UPDATE recordings.parts SET delete_reason = 'AGE',"
        " delete_at = greatest(ended_at + make_interval(secs => $1), core.now() + make_interval(secs => $2))"
        " WHERE delete_at IS NULL AND NOT kept AND ended_at IS NOT NULL"
        " AND ended_at + make_interval(secs => $1) <= core.now() + make_interval(secs => $2)",
        keep_s,
        warn_s,
    )


async def warn_of_space(db: Queries, budget_bytes: int, warn_s: float) -> None:
    """Announces the oldest, as many as it takes to come below the budget; takes back what is not needed any more."""
    await db.execute(
        """WITH lasting AS (
               SELECT id, kept, ended_at, delete_reason, sum(bytes + coalesce((
                   SELECT sum(c.bytes) FROM recordings.clips c WHERE c.part_id = p.id), 0)
               ) OVER (ORDER BY began_at DESC, id) AS up_to
               FROM recordings.parts p WHERE delete_reason IS DISTINCT FROM 'AGE'
           )
           UPDATE recordings.parts p SET
               delete_at = CASE WHEN l.up_to > $1 THEN core.now() + make_interval(secs => $2) END,
               delete_reason = CASE WHEN l.up_to > $1 THEN 'SPACE' END
           FROM lasting l WHERE l.id = p.id AND NOT l.kept AND l.ended_at IS NOT NULL
               AND (l.up_to > $1) <> (l.delete_reason IS NOT NULL)""",
        budget_bytes,
        warn_s,
    )


async def due(db: Queries, limit: int) -> list[tuple[Part, DeleteReason]]:
    """What was announced and whose time has come."""
    rows = await db.fetch(
        f"{_SELECT} WHERE p.delete_at <= core.now() AND NOT p.kept ORDER BY p.began_at LIMIT $1",
        limit,
    )
    return [(part, part.delete_reason) for part in map(_part, rows) if part.delete_reason is not None]
