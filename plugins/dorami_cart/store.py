"""SQL of the cart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from dorami_catalog.api import StockView

from dorami_cart.api import AskToWait, CartItemView, Holder, PromotedLine
from dorami_core.hooks import Money, Queries, Row, Tx

_COLUMNS = """id AS item_id, user_id, product_id, variant_id, stream_key, product_name, image_url, color, size,
quantity, unit_price_minor, currency, status, timer_enabled, expires_at, created_at, reservation_id,
core.now() AS server_time"""
ALIVE = "status = 'ACTIVE' AND (expires_at IS NULL OR expires_at > core.now())"


def view_of(row: Row) -> CartItemView:
    price = Money(row["unit_price_minor"], row["currency"])
    return CartItemView(
        id=row["item_id"],
        product_id=row["product_id"],
        variant_id=row["variant_id"],
        stream_key=row["stream_key"],
        product_name=row["product_name"],
        image_url=row["image_url"],
        color=row["color"],
        size=row["size"],
        quantity=row["quantity"],
        unit_price=price,
        line_total=price * row["quantity"],
        currency=row["currency"],
        status=row["status"],
        timer_enabled=row["timer_enabled"],
        expires_at=row["expires_at"],
        created_at=row["created_at"],
        reservation_id=row["reservation_id"],
        server_time=row["server_time"],
    )


async def add_many(tx: Tx, asked: Sequence[AskToWait], hold_s: float, named: Sequence[str]) -> Sequence[Row]:
    """See the SQL function; one row for each wish, `n` from 1."""
    wishes = [one.wish for one in asked]
    return await tx.fetch(
        """SELECT * FROM cart.add_items($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::integer[], $6,
                                        $7::text[], $8::text[], $9::text[]) ORDER BY n""",
        [one.user.id for one in asked],
        [wish.product_id for wish in wishes],
        [wish.color for wish in wishes],
        [wish.size for wish in wishes],
        [wish.quantity for wish in wishes],
        hold_s,
        [wish.client_id for wish in wishes],
        list(named),
        [wish.stream_key for wish in wishes],
    )


async def remember(tx: Tx, granted: Sequence[tuple[AskToWait, str, dict[str, Any]]]) -> bool:
    """Writes named wishes down with what each stands for and its answer. False where one of the names is known by now:
    what was granted for it must not be kept then."""
    status = await tx.execute(
        """INSERT INTO cart.adds (user_id, client_id, wish, answer)
           -- As text: an array of JSON has every quote in it escaped, which takes longer than all the rest.
           SELECT g.user_id, g.client_id, g.wish, g.answer::json
           FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS g (user_id, client_id, wish, answer)
           ORDER BY g.user_id, g.client_id ON CONFLICT DO NOTHING""",
        [one.user.id for one, _, _ in granted],
        [one.wish.client_id for one, _, _ in granted],
        [wish for _, wish, _ in granted],
        [msgspec.json.encode(answer).decode() for _, _, answer in granted],
    )
    return int(status.rpartition(" ")[2]) == len(granted)


async def is_any_known(tx: Tx, asked: Sequence[AskToWait]) -> bool:
    """Whether one of these named wishes has been written down."""
    known: bool = await tx.fetchval(
        """SELECT EXISTS (SELECT FROM unnest($1::uuid[], $2::text[]) AS w (u, c)
           WHERE (SELECT true FROM cart.adds a WHERE a.user_id = w.u AND a.client_id = w.c))""",
        [one.user.id for one in asked],
        [one.wish.client_id for one in asked],
    )
    return known


async def put_promoted(tx: Tx, stock: StockView, lines: Sequence[PromotedLine]) -> list[CartItemView]:
    rows = await tx.fetch(
        f"""WITH clock AS MATERIALIZED (SELECT core.now() AS now)
            INSERT INTO cart.items (user_id, product_id, variant_id, stream_key, product_name, image_url, color, size,
                                    quantity, unit_price_minor, currency, timer_enabled, expires_at, reservation_id,
                                    created_at)
            SELECT line.user_id, $1, $2, $3, $4, $5, line.color, line.size, line.quantity, $6, $7, true,
                   now + make_interval(secs => line.hold_s), line.reservation_id, now
            FROM unnest($8::uuid[], $9::text[], $10::text[], $11::integer[], $12::float8[], $13::uuid[])
                 AS line (user_id, color, size, quantity, hold_s, reservation_id) CROSS JOIN clock
            RETURNING {_COLUMNS}""",
        stock.product_id,
        stock.variant_id,
        stock.stream_key,
        stock.name,
        stock.image_url,
        stock.unit_price.minor,
        stock.unit_price.currency,
        [line.user_id for line in lines],
        [line.color for line in lines],
        [line.size for line in lines],
        [line.quantity for line in lines],
        [line.hold_s for line in lines],
        [line.reservation_id for line in lines],
    )
    return [view_of(row) for row in rows]


async def extend(tx: Tx, product_id: UUID, seconds: float, most_s: float) -> list[tuple[UUID, CartItemView]]:
    """Whose each line is, and the line as it is now; soonest first."""
    rows = await tx.fetch(
        f"""UPDATE cart.items i SET extended_s = i.extended_s + least($2, $3 - i.extended_s),
                   expires_at = i.expires_at + make_interval(secs => least($2, $3 - i.extended_s))
            WHERE product_id = $1 AND timer_enabled AND reservation_id IS NULL AND extended_s < $3 AND {ALIVE}
            RETURNING {_COLUMNS}""",
        product_id,
        float(seconds),
        most_s,
    )
    return sorted(((row["user_id"], view_of(row)) for row in rows), key=lambda one: (one[1].expires_at, one[1].id))


async def holders(db: Queries, variant_ids: Sequence[UUID]) -> list[Holder]:
    rows = await db.fetch(
        """SELECT h.* FROM unnest($1::uuid[]) AS wanted (variant) CROSS JOIN LATERAL (
               SELECT variant_id, quantity, expires_at FROM cart.items
               WHERE variant_id = wanted.variant AND status = 'ACTIVE'
               ORDER BY expires_at NULLS LAST LIMIT 10) h""",
        list(variant_ids),
    )
    return [Holder(**dict(row)) for row in rows]


async def forget_answers(db: Queries) -> None:
    await db.execute("DELETE FROM cart.adds WHERE created_at < core.now() - interval '24 hours'")


async def alive(db: Queries, user_id: UUID) -> list[CartItemView]:
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM cart.items WHERE user_id = $1 AND {ALIVE} ORDER BY created_at, id", user_id
    )
    return [view_of(row) for row in rows]


async def find(db: Queries, item_id: UUID, user_id: UUID, *, lock: bool = False) -> tuple[CartItemView, bool] | None:
    """The line, and whether its time is over. Lock its product first."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS}, NOT ({ALIVE}) AS dead FROM cart.items WHERE id = $1 AND user_id = $2"
        + (" FOR UPDATE" if lock else ""),
        item_id,
        user_id,
    )
    return None if row is None else (view_of(row), row["dead"])


async def active_variants(db: Queries, user_id: UUID) -> list[UUID]:
    rows = await db.fetch(
        "SELECT DISTINCT variant_id FROM cart.items WHERE user_id = $1 AND status = 'ACTIVE'", user_id
    )
    return [row["variant_id"] for row in rows]


async def variants_of(db: Queries, item_ids: Sequence[UUID]) -> list[UUID]:
    rows = await db.fetch(
        "SELECT DISTINCT variant_id FROM cart.items WHERE id = ANY($1::uuid[]) AND status = 'ACTIVE'", list(item_ids)
    )
    return [row["variant_id"] for row in rows]


async def without_timer(db: Queries, stream_key: str) -> list[UUID]:
    rows = await db.fetch(
        """SELECT id FROM cart.items
           WHERE stream_key = $1 AND status = 'ACTIVE' AND NOT timer_enabled AND expires_at <= core.now()""",
        stream_key,
    )
    return [row["id"] for row in rows]


async def lock_lines(tx: Tx, user_id: UUID, product_ids: Sequence[UUID]) -> list[tuple[CartItemView, bool]]:
    """A cart's active lines of these (locked) products, oldest first, each with whether its time is over."""
    rows = await tx.fetch(
        f"""SELECT {_COLUMNS}, NOT ({ALIVE}) AS dead FROM cart.items
            WHERE user_id = $1 AND status = 'ACTIVE' AND product_id = ANY($2::uuid[])
            ORDER BY created_at, id FOR UPDATE""",
        user_id,
        list(product_ids),
    )
    return [(view_of(row), row["dead"]) for row in rows]


async def untold(db: Queries, user_id: UUID) -> list[CartItemView]:
    """What expired within the last hour and the user has not heard of."""
    rows = await db.fetch(
        f"""SELECT {_COLUMNS} FROM cart.items WHERE user_id = $1 AND status = 'EXPIRED' AND NOT told
              AND expires_at > core.now() - interval '1 hour' ORDER BY created_at, id""",
        user_id,
    )
    return [view_of(row) for row in rows]


async def mark_told(db: Queries, user_id: UUID) -> None:
    """Passes over a row that is being changed: it needs no lock of a product this way."""
    await db.execute(
        """UPDATE cart.items SET told = true WHERE id IN (
               SELECT id FROM cart.items WHERE user_id = $1 AND NOT told
                 AND (status = 'EXPIRED' OR status = 'ACTIVE' AND expires_at <= core.now())
               FOR UPDATE SKIP LOCKED)""",
        user_id,
    )


async def set_quantity(tx: Tx, item_id: UUID, quantity: int) -> None:
    await tx.execute("UPDATE cart.items SET quantity = $2 WHERE id = $1", item_id, quantity)


async def release(tx: Tx, item_id: UUID) -> None:
    await tx.execute("UPDATE cart.items SET status = 'RELEASED' WHERE id = $1", item_id)


async def release_product(tx: Tx, product_id: UUID) -> Sequence[Row]:
    return await tx.fetch(
        f"UPDATE cart.items SET status = 'RELEASED' WHERE product_id = $1 AND status = 'ACTIVE' RETURNING {_COLUMNS}",
        product_id,
    )


async def expire(tx: Tx, item_ids: Sequence[UUID]) -> Sequence[Row]:
    """Those that are still active and whose time is over, now that their products are locked."""
    return await tx.fetch(
        f"""UPDATE cart.items SET status = 'EXPIRED'
            WHERE id = ANY($1::uuid[]) AND status = 'ACTIVE' AND expires_at <= core.now() RETURNING {_COLUMNS}""",
        list(item_ids),
    )


async def complete(tx: Tx, item_ids: Sequence[UUID], order_id: str) -> int:
    """How many lines were completed."""
    status = await tx.execute(
        "UPDATE cart.items SET status = 'COMPLETED', order_id = $2 WHERE id = ANY($1::uuid[]) AND status = 'ACTIVE'",
        list(item_ids),
        order_id,
    )
    return int(status.rpartition(" ")[2])


async def end_stream(tx: Tx, stream_key: str) -> datetime:
    """From now on items without a timer have 24 h; returns when these are over. Lock the broadcast's products first."""
    over: datetime = await tx.fetchval(
        """INSERT INTO cart.ended_streams (stream_key, ended_at) VALUES ($1, core.now())
           ON CONFLICT (stream_key) DO UPDATE SET ended_at = excluded.ended_at
           RETURNING ended_at + interval '24 hours'""",
        stream_key,
    )
    await tx.execute(
        """UPDATE cart.items SET expires_at = $2
           WHERE stream_key = $1 AND status = 'ACTIVE' AND NOT timer_enabled AND expires_at IS NULL""",
        stream_key,
        over,
    )
    return over


async def restart_stream(db: Queries, stream_key: str, started_at: datetime) -> None:
    await db.execute("DELETE FROM cart.ended_streams WHERE stream_key = $1 AND ended_at <= $2", stream_key, started_at)
