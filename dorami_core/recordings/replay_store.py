"""SQL over `recordings.replays`."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from dorami_core.hooks.transactions import Queries, Row

# Over, wholly written, and with something to see; `$1`: staff see what is not public too.
_WATCHABLE = """
    FROM recordings.replays r JOIN streams.streams s ON s.stream_key = r.live_id
      JOIN LATERAL (SELECT sum(p.duration_ms) FILTER (WHERE p.status = 'READY') AS duration_ms,
                           bool_or(p.status = 'RECORDING') AS is_written
                    FROM recordings.parts p WHERE p.live_id = r.live_id AND p.session_at = r.session_at) a ON true
    WHERE (r.public OR $1) AND a.duration_ms > 0 AND NOT a.is_written
      AND NOT (s.status IN ('LIVE', 'INTERRUPTED') AND s.started_at = r.session_at)
"""
_COLUMNS = "r.id, r.live_id, r.session_at, r.public, s.title, a.duration_ms::bigint AS duration_ms"


async def find(db: Queries, replay_id: UUID, *, staff: bool) -> Row | None:
    return await db.fetchrow(f"SELECT {_COLUMNS} {_WATCHABLE} AND r.id = $2", staff, replay_id)


async def newest_of(db: Queries, live_id: str, *, staff: bool) -> Row | None:
    return await db.fetchrow(
        f"SELECT {_COLUMNS} {_WATCHABLE} AND r.live_id = $2 ORDER BY r.session_at DESC LIMIT 1", staff, live_id
    )


async def page(db: Queries, live_id: str | None, after: UUID | None, limit: int, *, staff: bool) -> Sequence[Row]:
    """Newest first."""
    return await db.fetch(
        f"""SELECT {_COLUMNS} {_WATCHABLE} AND ($2::text IS NULL OR r.live_id = $2)
              AND ($3::uuid IS NULL OR (r.session_at, r.id) <
                   (SELECT o.session_at, o.id FROM recordings.replays o WHERE o.id = $3))
            ORDER BY r.session_at DESC, r.id DESC LIMIT $4""",
        staff,
        live_id,
        after,
        limit,
    )


async def publish(db: Queries, replay_id: UUID, public: bool) -> bool:
    """False where there is none. One that is still on air can be changed too."""
    found = await db.fetchval("UPDATE recordings.replays SET public = $2 WHERE id = $1 RETURNING id", replay_id, public)
    return found is not None
