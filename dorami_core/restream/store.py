"""SQL over `restream.targets` and `restream.runs`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import attrs

from dorami_core.base.ids import StreamKey
from dorami_core.hooks.transactions import Queries, Row
from dorami_core.restream.model import Run, Target, Wish

_TARGET = tuple(field.name for field in attrs.fields(Target))
_RUN = tuple(field.name for field in attrs.fields(Run))
_TARGET_COLUMNS = ", ".join(_TARGET)
ABANDONED_AFTER = "interval '15 s'"
"""A run that nobody has written to for so long died with its process."""
_OPEN = f"ended_at IS NULL AND updated_at > core.now() - {ABANDONED_AFTER}"
# What an abandoned run was doing is no longer so.
_RUN_COLUMNS = ", ".join(
    f"CASE WHEN ended_at IS NULL AND NOT ({_OPEN}) THEN 'STOPPED' ELSE status END AS status"
    if name == "status"
    else name
    for name in _RUN
)


def _target(row: Row | None) -> Target | None:
    return None if row is None else Target(**{name: row[name] for name in _TARGET})


def _run(row: Row) -> Run:
    return Run(**{name: row[name] for name in _RUN})


async def list_targets(db: Queries, limit: int) -> list[Target]:
    """In the order in which they were made."""
    rows = await db.fetch(f"SELECT {_TARGET_COLUMNS} FROM restream.targets ORDER BY created_at, id LIMIT $1", limit)
    return [target for row in rows if (target := _target(row)) is not None]


async def find_target(db: Queries, target_id: UUID) -> Target | None:
    return _target(await db.fetchrow(f"SELECT {_TARGET_COLUMNS} FROM restream.targets WHERE id = $1", target_id))


async def insert_target(db: Queries, values: dict[str, Any]) -> Target:
    names = ", ".join(values)
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    row = await db.fetchrow(
        f"INSERT INTO restream.targets ({names}) VALUES ({places}) RETURNING {_TARGET_COLUMNS}", *values.values()
    )
    target = _target(row)
    assert target is not None
    return target


async def edit_target(db: Queries, target_id: UUID, changes: dict[str, Any], *, reconnect: bool) -> Target | None:
    """`reconnect`: a connection that runs is made anew. The names in `changes` are columns."""
    assignments = "".join(f", {name} = ${number}" for number, name in enumerate(changes, 3))
    return _target(
        await db.fetchrow(
            f"UPDATE restream.targets SET revision = revision + $2{assignments} WHERE id = $1"
            f" RETURNING {_TARGET_COLUMNS}",
            target_id,
            int(reconnect),
            *changes.values(),
        )
    )


async def delete_target(db: Queries, target_id: UUID) -> bool:
    return await db.fetchval("DELETE FROM restream.targets WHERE id = $1 RETURNING true", target_id) is True


async def ask(db: Queries, target_id: UUID, wish: Wish, live_id: StreamKey, session_at: datetime) -> Target | None:
    return _target(
        await db.fetchrow(
            "UPDATE restream.targets SET asked = $2, asked_live_id = $3, asked_session_at = $4,"
            f" asked_count = asked_count + 1 WHERE id = $1 RETURNING {_TARGET_COLUMNS}",
            target_id,
            wish,
            live_id,
            session_at,
        )
    )


async def latest_runs(db: Queries) -> dict[UUID, Run]:
    """The newest run of each target, without its lines: this is asked for once a second."""
    columns = _RUN_COLUMNS.removesuffix("lines") + "'{}'::text[] AS lines"
    rows = await db.fetch(
        f"SELECT DISTINCT ON (target_id) {columns} FROM restream.runs ORDER BY target_id, started_at DESC, id"
    )
    return {row["target_id"]: _run(row) for row in rows}


async def open_run(db: Queries, target_id: UUID) -> Run | None:
    """The run that is going on, in whatever process."""
    row = await db.fetchrow(
        f"SELECT {_RUN_COLUMNS} FROM restream.runs WHERE target_id = $1 AND {_OPEN} ORDER BY started_at DESC LIMIT 1",
        target_id,
    )
    return None if row is None else _run(row)


async def list_runs(db: Queries, target_id: UUID | None, limit: int, offset: int) -> Sequence[Run]:
    """Newest first."""
    rows = await db.fetch(
        f"SELECT {_RUN_COLUMNS} FROM restream.runs WHERE $1::uuid IS NULL OR target_id = $1"
        " ORDER BY started_at DESC, id LIMIT $2 OFFSET $3",
        target_id,
        limit,
        offset,
    )
    return [_run(row) for row in rows]


async def begin_run(db: Queries, run_id: UUID, target_id: UUID, live_id: StreamKey) -> bool:
    """False where the target is gone, or another process sends it already."""
    began = await db.fetchval(
        "INSERT INTO restream.runs (id, target_id, live_id, status)"
        f" SELECT $1, id, $3, 'CONNECTING' FROM restream.targets WHERE id = $2 AND NOT EXISTS"
        f" (SELECT FROM restream.runs WHERE target_id = $2 AND {_OPEN}) RETURNING true",
        run_id,
        target_id,
        live_id,
    )
    return began is True


async def save_run(db: Queries, run_id: UUID, values: dict[str, Any], *, ended: bool) -> None:
    """Writes these columns; `ended`: for the last time."""
    assignments = "".join(f", {name} = ${number}" for number, name in enumerate(values, 3))
    await db.execute(
        "UPDATE restream.runs SET updated_at = core.now(), ended_at = CASE WHEN $2 THEN core.now() END"
        f"{assignments} WHERE id = $1",
        run_id,
        ended,
        *values.values(),
    )


async def purge(db: Queries, older_than: timedelta) -> None:
    """Removes the log of what ended so long ago."""
    await db.execute("DELETE FROM restream.runs WHERE ended_at < core.now() - $1::interval", older_than)


async def close_abandoned(db: Queries, live_id: StreamKey) -> None:
    """Ends what a former process has left open of this broadcast; its owner is here."""
    await db.execute(
        "UPDATE restream.runs SET ended_at = updated_at, status = 'STOPPED' WHERE live_id = $1 AND ended_at IS NULL",
        live_id,
    )
