"""SQL over `streams.streams`. A change of status names the statuses it may come from, so a stale one finds no row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs

from dorami_core.base.ids import StreamKey
from dorami_core.hooks.transactions import Queries, Row, Tx
from dorami_core.streams.model import StreamRow
from dorami_core.streams.states import sources

_NAMES = tuple(field.name for field in attrs.fields(StreamRow))
_COLUMNS = ", ".join(_NAMES)


def _row(record: Row | None) -> StreamRow | None:
    return None if record is None else StreamRow(**{name: record[name] for name in _NAMES})


def _rows(records: Sequence[Row]) -> list[StreamRow]:
    return [row for record in records if (row := _row(record)) is not None]


async def insert(
    tx: Tx,
    stream_key: StreamKey,
    *,
    title: str,
    secret: str,
    scheduled_at: datetime | None,
    free_shipping_enabled: bool,
    created_at: datetime,
) -> StreamRow | None:
    """None where the key is taken."""
    return _row(
        await tx.fetchrow(
            "INSERT INTO streams.streams (stream_key, title, secret, scheduled_at, free_shipping_enabled, created_at)"
            f" VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING {_COLUMNS}",
            stream_key,
            title,
            secret,
            scheduled_at,
            free_shipping_enabled,
            created_at,
        )
    )


async def find(db: Queries, stream_key: str) -> StreamRow | None:
    return _row(await db.fetchrow(f"SELECT {_COLUMNS} FROM streams.streams WHERE stream_key = $1", stream_key))


async def lock(tx: Tx, stream_key: str) -> StreamRow | None:
    return _row(
        await tx.fetchrow(f"SELECT {_COLUMNS} FROM streams.streams WHERE stream_key = $1 FOR UPDATE", stream_key)
    )


async def list_on_air(db: Queries, limit: int, offset: int = 0) -> list[StreamRow]:
    """LIVE and INTERRUPTED, newest first."""
    return await _list(db, "status IN ('LIVE', 'INTERRUPTED')", "started_at DESC, stream_key", limit, offset)


async def list_upcoming(db: Queries, limit: int, offset: int = 0) -> list[StreamRow]:
    """PENDING, the next one first, those without a time last."""
    return await _list(db, "status = 'PENDING'", "scheduled_at ASC NULLS LAST, created_at, stream_key", limit, offset)


async def list_newest(db: Queries, limit: int, offset: int = 0) -> list[StreamRow]:
    return await _list(db, "true", "created_at DESC, stream_key", limit, offset)


async def list_closed(db: Queries, stream_keys: Sequence[StreamKey]) -> list[StreamKey]:
    """Those of the named ones that were ended for good."""
    rows = await db.fetch(
        "SELECT stream_key FROM streams.streams WHERE closed AND stream_key = ANY($1)", list(stream_keys)
    )
    return [StreamKey(row["stream_key"]) for row in rows]


async def _list(db: Queries, where: str, order: str, limit: int, offset: int) -> list[StreamRow]:
    return _rows(
        await db.fetch(
            f"SELECT {_COLUMNS} FROM streams.streams WHERE {where} ORDER BY {order} LIMIT $1 OFFSET $2", limit, offset
        )
    )


async def edit(tx: Tx, stream_key: str, changes: dict[str, Any]) -> StreamRow | None:
    """Sets title, scheduled_at or free_shipping_enabled, as named."""
    columns = [name for name in ("title", "scheduled_at", "free_shipping_enabled") if name in changes]
    assignments = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
    return _row(
        await tx.fetchrow(
            f"UPDATE streams.streams SET {assignments} WHERE stream_key = $1 RETURNING {_COLUMNS}",
            stream_key,
            *(changes[name] for name in columns),
        )
    )


async def set_secret(db: Queries, stream_key: str, secret: str) -> StreamRow | None:
    return _row(
        await db.fetchrow(
            f"UPDATE streams.streams SET secret = $2 WHERE stream_key = $1 RETURNING {_COLUMNS}", stream_key, secret
        )
    )


async def start_session(tx: Tx, stream_key: str, *, at: datetime, viewers: int) -> StreamRow | None:
    """PENDING or OFFLINE to LIVE: a new session, times and peak anew. None for a closed one."""
    return _row(
        await tx.fetchrow(
            "UPDATE streams.streams SET status = 'LIVE', session_no = session_no + 1, started_at = $2,"
            " ended_at = NULL, grace_ends_at = NULL, peak_viewers = $3"
            " WHERE stream_key = $1 AND status IN ('PENDING', 'OFFLINE') AND NOT closed"
            f" RETURNING {_COLUMNS}",
            stream_key,
            at,
            viewers,
        )
    )


async def interrupt(tx: Tx, stream_key: str, *, grace_ends_at: datetime) -> StreamRow | None:
    """LIVE to INTERRUPTED; one that is INTERRUPTED already gets the new end of its grace time."""
    return _row(
        await tx.fetchrow(
            "UPDATE streams.streams SET status = 'INTERRUPTED', grace_ends_at = $2"
            f" WHERE stream_key = $1 AND status IN ('LIVE', 'INTERRUPTED') RETURNING {_COLUMNS}",
            stream_key,
            grace_ends_at,
        )
    )


async def resume(tx: Tx, stream_key: str) -> StreamRow | None:
    return _row(
        await tx.fetchrow(
            "UPDATE streams.streams SET status = 'LIVE', grace_ends_at = NULL"
            f" WHERE stream_key = $1 AND status = 'INTERRUPTED' RETURNING {_COLUMNS}",
            stream_key,
        )
    )


async def end_session(tx: Tx, stream_key: str, *, at: datetime, viewers: int, close: bool = False) -> StreamRow | None:
    """To OFFLINE; `close` refuses every later publisher and works from PENDING too."""
    return _row(
        await tx.fetchrow(
            "UPDATE streams.streams SET status = 'OFFLINE', ended_at = $2, grace_ends_at = NULL,"
            " peak_viewers = GREATEST(peak_viewers, $3), closed = closed OR $4"
            f" WHERE stream_key = $1 AND status = ANY($5) RETURNING {_COLUMNS}",
            stream_key,
            at,
            viewers,
            close,
            sources("closed" if close else "finished"),
        )
    )


async def close_ended(tx: Tx, stream_key: str) -> StreamRow | None:
    """Refuses every later publisher of one that is OFFLINE."""
    return _row(
        await tx.fetchrow(
            "UPDATE streams.streams SET closed = true"
            f" WHERE stream_key = $1 AND status = 'OFFLINE' RETURNING {_COLUMNS}",
            stream_key,
        )
    )


async def raise_peak(db: Queries, stream_key: str, viewers: int) -> StreamRow | None:
    return _row(
        await db.fetchrow(
            "UPDATE streams.streams SET peak_viewers = GREATEST(peak_viewers, $2)"
            f" WHERE stream_key = $1 AND status IN ('LIVE', 'INTERRUPTED') RETURNING {_COLUMNS}",
            stream_key,
            viewers,
        )
    )
