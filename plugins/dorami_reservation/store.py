"""SQL of the waitlist."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from dorami_core.hooks import Queries, Row, Tx, UserIdentity
from dorami_reservation.api import Ahead, JoinQueue, ReservationStatus, ReservationView, WaitingPlace

_VIEW = """SELECT p.*, core.now() AS server_time, CASE WHEN p.status = 'WAITING' THEN
    (SELECT count(*) FROM reservation.places o
     WHERE o.variant_id = p.variant_id AND o.status = 'WAITING' AND o.number <= p.number) END AS position
FROM reservation.places p
"""
_PLACE = "id, user_id, product_id, variant_id, number, quantity, accept_partial, color, size"


@attrs.frozen
class Cursor:
    """Where a page of reservations ended."""

    created_at: datetime
    id: UUID


def view_of(row: Row) -> ReservationView:
    """Without those ahead: they are the cart's to tell."""
    return ReservationView(
        id=row["id"],
        user_id=row["user_id"],
        product_id=row["product_id"],
        variant_id=row["variant_id"],
        stream_key=row["stream_key"],
        product_name=row["product_name"],
        image_url=row["image_url"],
        color=row["color"],
        size=row["size"],
        quantity=row["quantity"],
        accept_partial=row["accept_partial"],
        reservation_number=row["number"],
        status=row["status"],
        position=row["position"],
        ahead=[],
        promoted_quantity=row["promoted_quantity"],
        item_id=row["item_id"],
        promoted_at=row["promoted_at"],
        expires_at=row["expires_at"],
        created_at=row["created_at"],
        server_time=row["server_time"],
    )


def place_of(row: Row) -> WaitingPlace:
    return WaitingPlace(**{field.name: row[field.name] for field in attrs.fields(WaitingPlace)})


async def join(tx: Tx, product_id: UUID, asked: Sequence[tuple[UUID, UserIdentity, JoinQueue]]) -> Sequence[Row]:
    """See the SQL function; a row for each wish for this product, in order."""
    wishes = [wish for _, _, wish in asked]
    return await tx.fetch(
        """SELECT * FROM reservation.join_queue($1, $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::integer[],
                                               $7::boolean[]) ORDER BY n""",
        product_id,
        [place_id for place_id, _, _ in asked],
        [user.id for _, user, _ in asked],
        [wish.color for wish in wishes],
        [wish.size for wish in wishes],
        [wish.quantity for wish in wishes],
        [wish.accept_partial for wish in wishes],
    )


def joined(row: Row, place_id: UUID, user: UserIdentity, wish: JoinQueue, ahead: list[Ahead]) -> ReservationView:
    """The place that a row of `join` tells of."""
    return ReservationView(
        id=place_id,
        user_id=user.id,
        product_id=wish.product_id,
        variant_id=row["variant_id"],
        stream_key=row["stream_key"],
        product_name=row["product_name"],
        image_url=row["image_url"],
        color=wish.color,
        size=wish.size,
        quantity=wish.quantity,
        accept_partial=wish.accept_partial,
        reservation_number=row["number"],
        status="WAITING",
        position=row["position"],
        ahead=ahead,
        promoted_quantity=None,
        item_id=None,
        promoted_at=None,
        expires_at=None,
        created_at=row["created_at"],
        server_time=row["created_at"],
    )


async def find(db: Queries, reservation_id: UUID, user_id: UUID | None = None) -> ReservationView | None:
    row = await db.fetchrow(_VIEW + "WHERE p.id = $1 AND ($2::uuid IS NULL OR p.user_id = $2)", reservation_id, user_id)
    return None if row is None else view_of(row)


async def list_page(
    db: Queries, user_id: UUID, active: bool, after: Cursor | None, limit: int
) -> list[ReservationView]:
    rows = await db.fetch(
        _VIEW
        + """WHERE p.user_id = $1 AND (NOT $2 OR p.status IN ('WAITING', 'PROMOTED'))
               AND ($3::timestamptz IS NULL OR (p.created_at, p.id) < ($3, $4::uuid))
             ORDER BY p.created_at DESC, p.id DESC LIMIT $5""",
        user_id,
        active,
        None if after is None else after.created_at,
        None if after is None else after.id,
        limit,
    )
    return [view_of(row) for row in rows]


async def in_line(db: Queries, variant_id: UUID) -> list[ReservationView]:
    """All who wait, the head first."""
    rows = await db.fetch(
        """SELECT p.*, core.now() AS server_time, row_number() OVER (ORDER BY number) AS position
           FROM reservation.places p WHERE variant_id = $1 AND status = 'WAITING' ORDER BY number""",
        variant_id,
    )
    return [view_of(row) for row in rows]


async def with_waiters(tx: Tx, variant_ids: Sequence[UUID]) -> list[UUID]:
    rows = await tx.fetch(
        "SELECT DISTINCT variant_id FROM reservation.places WHERE variant_id = ANY($1::uuid[]) AND status = 'WAITING'",
        list(variant_ids),
    )
    return [row["variant_id"] for row in rows]


async def waiting(tx: Tx, variant_id: UUID, limit: int) -> list[WaitingPlace]:
    """Of a locked product."""
    rows = await tx.fetch(
        f"""SELECT {_PLACE} FROM reservation.places
            WHERE variant_id = $1 AND status = 'WAITING' ORDER BY number LIMIT $2""",
        variant_id,
        limit,
    )
    return [place_of(row) for row in rows]


async def waiting_one(tx: Tx, variant_id: UUID, reservation_id: UUID) -> WaitingPlace | None:
    row = await tx.fetchrow(
        f"SELECT {_PLACE} FROM reservation.places WHERE id = $2 AND variant_id = $1 AND status = 'WAITING'",
        variant_id,
        reservation_id,
    )
    return None if row is None else place_of(row)


async def promote(tx: Tx, given: Sequence[tuple[UUID, int, UUID, datetime | None, str | None]]) -> None:
    """Each: the place, how many units it was given, the line they are in, until when, and the rule."""
    await tx.execute(
        """UPDATE reservation.places p SET status = 'PROMOTED', promoted_quantity = g.quantity, item_id = g.item_id,
                  expires_at = g.expires_at, rule = g.rule, promoted_at = core.now()
           FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::timestamptz[], $5::text[])
                AS g (id, quantity, item_id, expires_at, rule)
           WHERE p.id = g.id""",
        *map(list, zip(*given, strict=True)),
    )


async def end(
    tx: Tx, reservation_ids: Sequence[UUID], before: ReservationStatus, after: ReservationStatus, order_id: str | None
) -> Sequence[Any]:
    """Ends those that are still in the state `before`; their rows."""
    return await tx.fetch(
        """UPDATE reservation.places SET status = $3, ended_at = core.now(), order_id = $4
           WHERE id = ANY($1::uuid[]) AND status = $2 RETURNING *""",
        list(reservation_ids),
        before,
        after,
        order_id,
    )


async def end_waiting(tx: Tx, product_id: UUID, variant_ids: Sequence[UUID] | None) -> Sequence[Any]:
    """Cancels all who wait for a product, or for some of its variants."""
    return await tx.fetch(
        """UPDATE reservation.places SET status = 'CANCELLED', ended_at = core.now()
           WHERE product_id = $1 AND status = 'WAITING' AND ($2::uuid[] IS NULL OR variant_id = ANY($2))
           RETURNING *""",
        product_id,
        None if variant_ids is None else list(variant_ids),
    )


async def count_expired(tx: Tx, user_id: UUID, days: float) -> int:
    count: int = await tx.fetchval(
        """SELECT count(*) FROM reservation.places
           WHERE user_id = $1 AND status = 'EXPIRED' AND ended_at > core.now() - make_interval(secs => $2 * 86400)""",
        user_id,
        days,
    )
    return count
