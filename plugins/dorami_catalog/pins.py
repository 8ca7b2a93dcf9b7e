"""The product shown now: pinned by the seller, and remembered with its times for replays and clips."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import attrs

from dorami_catalog import store
from dorami_catalog.api import Showing
from dorami_catalog.model import ProductPinned
from dorami_core.hooks import DoramiError, Host, Queries, Row, StreamView, Tx

SHOWINGS_MAX = 1000
"""Of one replay."""


@attrs.frozen(kw_only=True)
class PinView:
    """`media_time_ms`: since the broadcast began; None where it is not on air."""

    stream_key: str
    product_id: UUID | None
    pinned_at: datetime | None
    media_time_ms: int | None


async def find(db: Queries, stream_key: str) -> PinView:
    row = await db.fetchrow(
        """SELECT s.* FROM catalog.showings s JOIN catalog.products p ON p.id = s.product_id
           WHERE s.stream_key = $1 AND s.hidden_at IS NULL AND p.deleted_at IS NULL
             AND p.stream_keys @> ARRAY[$1::text]""",
        stream_key,
    )
    return _view(stream_key, row)


async def showings(db: Queries, stream_key: str, since: datetime, until: datetime) -> list[Showing]:
    """Those between, in their order; of products that are still there."""
    rows = await db.fetch(
        """SELECT s.product_id, s.shown_at, s.hidden_at
           FROM catalog.showings s JOIN catalog.products p ON p.id = s.product_id
           WHERE s.stream_key = $1 AND s.shown_at < $3 AND coalesce(s.hidden_at, $3) > $2 AND p.deleted_at IS NULL
           ORDER BY s.shown_at, s.id LIMIT $4""",
        stream_key,
        since,
        until,
        SHOWINGS_MAX,
    )
    return [Showing(product_id=row["product_id"], since=row["shown_at"], until=row["hidden_at"]) for row in rows]


class Pins:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def pin(self, stream_key: str, product_id: UUID | None) -> PinView:
        """Shows this product, or none. The same one again changes nothing. STREAM_NOT_FOUND; PRODUCT_NOT_FOUND where it
        is not one of the broadcast's."""
        stream = await self._host.streams.find(stream_key)
        if stream is None:
            raise DoramiError("STREAM_NOT_FOUND")
        async with self._host.db.transaction() as tx:
            if product_id is not None:
                product = await store.lock(tx, product_id)
                if product is None or stream_key not in product["stream_keys"]:
                    raise DoramiError("PRODUCT_NOT_FOUND")
            # Two taps at once on two products: one waits here, and hides what the other one showed.
            await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('pin:' || $1, 0))", stream_key)
            present = await find(tx, stream_key)
            if present.product_id == product_id:
                return present
            began = stream.started_at if stream.status in ("LIVE", "INTERRUPTED") else None
            await self._hide(tx, stream_key, began)
            row = None if product_id is None else await _show(tx, stream_key, product_id, began)
            tx.emit(ProductPinned(stream_key=stream_key, product_id=product_id))
        return _view(stream_key, row)

    async def end(self, tx: Tx, stream: StreamView) -> None:
        """A broadcast that is over shows nothing."""
        await self._hide(tx, stream.stream_key, stream.started_at)

    async def _hide(self, tx: Tx, stream_key: str, began: datetime | None) -> None:
        """Of what was shown on air there will be a clip."""
        row = await tx.fetchrow(
            """UPDATE catalog.showings SET hidden_at = greatest(core.now(), shown_at),
                      media_until_ms = CASE WHEN media_from_ms IS NOT NULL
                                            THEN extract(epoch FROM core.now() - $2::timestamptz) * 1000 END
               WHERE stream_key = $1 AND hidden_at IS NULL RETURNING product_id, shown_at, hidden_at""",
            stream_key,
            began,
        )
        if row is not None and began is not None:
            since = max(row["shown_at"], began)
            if since < row["hidden_at"]:
                await self._host.recordings.request_clip(tx, stream_key, row["product_id"], since, row["hidden_at"])


async def _show(tx: Tx, stream_key: str, product_id: UUID, began: datetime | None) -> Row:
    return await tx.fetchrow(
        """INSERT INTO catalog.showings (stream_key, product_id, shown_at, media_from_ms)
           VALUES ($1, $2, core.now(), extract(epoch FROM core.now() - $3::timestamptz) * 1000) RETURNING *""",
        stream_key,
        product_id,
        began,
    )


def _view(stream_key: str, row: Row | None) -> PinView:
    return PinView(
        stream_key=stream_key,
        product_id=row["product_id"] if row else None,
        pinned_at=row["shown_at"] if row else None,
        media_time_ms=row["media_from_ms"] if row else None,
    )
