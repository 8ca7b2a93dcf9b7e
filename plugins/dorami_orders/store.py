"""SQL of orders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs
from dorami_cart.api import CartItemView

from dorami_core.hooks import Money, Queries, Row, Tx
from dorami_orders.api import OrderFilter, OrderItemView, OrderStatus, OrderView

_VIEW = """SELECT o.*, core.now() AS server_time, i.*,
       EXISTS (SELECT FROM orders.refund_tasks r WHERE r.order_id = o.id AND r.done_at IS NULL) AS refund_due
FROM orders.orders o CROSS JOIN LATERAL (
    SELECT array_agg(product_id ORDER BY position) AS product_ids,
           array_agg(variant_id ORDER BY position) AS variant_ids,
           array_agg(stream_key ORDER BY position) AS stream_keys, array_agg(name ORDER BY position) AS names,
           array_agg(image_url ORDER BY position) AS image_urls, array_agg(color ORDER BY position) AS colors,
           array_agg(size ORDER BY position) AS sizes, array_agg(quantity ORDER BY position) AS quantities,
           array_agg(unit_price_minor ORDER BY position) AS prices
    FROM orders.items WHERE order_id = o.id) i
"""


_ITEM_COLUMNS = (
    "product_ids",
    "variant_ids",
    "stream_keys",
    "names",
    "image_urls",
    "colors",
    "sizes",
    "quantities",
    "prices",
)


@attrs.frozen
class Cursor:
    """Where a page of orders ended."""

    created_at: datetime
    id: str


def _items(row: Row) -> list[OrderItemView]:
    items = []
    for product, variant, stream, name, image, color, size, quantity, minor in zip(
        *(row[column] for column in _ITEM_COLUMNS), strict=True
    ):
        price = Money(minor, row["currency"])
        items.append(
            OrderItemView(
                product_id=product,
                variant_id=variant,
                stream_key=stream,
                name=name,
                image_url=image,
                color=color,
                size=size,
                quantity=quantity,
                unit_price=price,
                line_total=price * quantity,
            )
        )
    return items


def _view(row: Row, accounts: Mapping[str, str]) -> OrderView:
    currency = row["currency"]
    return OrderView(
        id=row["id"],
        user_id=row["user_id"],
        status=row["status"],
        shipping_status=row["shipping_status"],
        depositor_name=row["depositor_name"],
        payment_method=row["payment_method"],
        subtotal=Money(row["subtotal_minor"], currency),
        shipping_fee=Money(row["shipping_fee_minor"], currency),
        points_used=row["points_used"],
        total=Money(row["total_minor"], currency),
        currency=currency,
        items=_items(row),
        shipping_address=row["shipping_address"],
        carrier=row["carrier"],
        tracking_number=row["tracking_number"],
        refund_due=row["refund_due"],
        created_at=row["created_at"],
        paid_at=row["paid_at"],
        cancelled_at=row["cancelled_at"],
        expires_at=row["expires_at"] if row["status"] == "PENDING_PAYMENT" else None,
        server_time=row["server_time"],
        pay_to=accounts[row["payment_method"]],
    )


def _containing(text: str | None) -> str | None:
    """A pattern for ILIKE in which what was typed stands for itself."""
    if text is None or not text.strip():
        return None
    return "%" + re.sub(r"([%_\\\\])", r"\\\1", text.strip()) + "%"


class OrderStore:
    """Reads and writes orders; `accounts` are the texts to pay to, by method."""

    def __init__(self, accounts: Mapping[str, str]) -> None:
        self._accounts = dict(accounts)

    async def find(self, db: Queries, order_id: str) -> OrderView | None:
        row = await db.fetchrow(_VIEW + "WHERE o.id = $1", order_id)
        return None if row is None else _view(row, self._accounts)

    async def find_by_key(self, db: Queries, user_id: UUID, key: str) -> OrderView | None:
        row = await db.fetchrow(_VIEW + "WHERE o.user_id = $1 AND o.request_key = $2", user_id, key)
        return None if row is None else _view(row, self._accounts)

    async def find_many(self, db: Queries, order_ids: Sequence[str]) -> list[OrderView]:
        rows = await db.fetch(_VIEW + "WHERE o.id = ANY($1::text[]) ORDER BY o.id", list(order_ids))
        return [_view(row, self._accounts) for row in rows]

    async def list_page(
        self, db: Queries, user_id: UUID | None, which: OrderFilter, after: Cursor | None, limit: int
    ) -> list[OrderView]:
        """Newest first; `user_id` None: of everybody."""
        rows = await db.fetch(
            _VIEW
            + """WHERE ($1::uuid IS NULL OR o.user_id = $1) AND ($2::text IS NULL OR o.status = $2)
                   AND ($3::timestamptz IS NULL OR (o.created_at, o.id) < ($3, $4::text))
                   AND ($6::text IS NULL OR o.shipping_status = $6)
                   AND ($7::text IS NULL OR o.id ILIKE $7 OR o.depositor_name ILIKE $7
                        OR EXISTS (SELECT FROM orders.items s WHERE s.order_id = o.id AND s.name ILIKE $7))
                   AND ($8::timestamptz IS NULL OR o.created_at >= $8)
                   AND ($9::timestamptz IS NULL OR o.created_at < $9)
                 ORDER BY o.created_at DESC, o.id DESC LIMIT $5""",
            user_id,
            which.status,
            None if after is None else after.created_at,
            None if after is None else after.id,
            limit,
            which.shipping_status,
            _containing(which.q),
            which.created_from,
            which.created_to,
        )
        return [_view(row, self._accounts) for row in rows]

    async def insert(self, tx: Tx, values: Mapping[str, Any], unpaid_s: float, lines: Sequence[CartItemView]) -> None:
        """`values` are columns of orders.orders; their names come from this package alone."""
        names = list(values)
        await tx.execute(
            "WITH clock AS MATERIALIZED (SELECT core.now() AS now) "
            f"INSERT INTO orders.orders ({', '.join(names)}, created_at, expires_at) "
            f"SELECT {', '.join(f'${number}' for number in range(2, len(names) + 2))}, "
            "now, now + make_interval(secs => $1) FROM clock",
            unpaid_s,
            *values.values(),
        )
        await tx.execute(
            """INSERT INTO orders.items (order_id, position, product_id, variant_id, stream_key, name, image_url, color,
                                         size, quantity, unit_price_minor, user_id)
               SELECT $1, position, product_id, variant_id, stream_key, name, image_url, color, size, quantity, price,
                      $11
               FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                           $9::integer[], $10::bigint[]) WITH ORDINALITY
                    AS i (product_id, variant_id, stream_key, name, image_url, color, size, quantity, price,
                          position)""",
            values["id"],
            [line.product_id for line in lines],
            [line.variant_id for line in lines],
            [line.stream_key for line in lines],
            [line.product_name for line in lines],
            [line.image_url for line in lines],
            [line.color for line in lines],
            [line.size for line in lines],
            [line.quantity for line in lines],
            [line.unit_price.minor for line in lines],
            values["user_id"],
        )


async def next_id(tx: Tx, timezone: str) -> str:
    """The next number of today in the shop's time zone. Its row stays locked until the end, so take it last."""
    row = await tx.fetchrow(
        """INSERT INTO orders.day_counters AS c (day, last) VALUES ((core.now() AT TIME ZONE $1)::date, 1)
           ON CONFLICT (day) DO UPDATE SET last = c.last + 1 RETURNING to_char(day, 'YYYYMMDD') AS day, last""",
        timezone,
    )
    assert row is not None
    return f"ORD-{row['day']}-{row['last']:05d}"


async def lock(tx: Tx, order_ids: Sequence[str]) -> None:
    """After the products of their items (LOCKING.md of the catalogue)."""
    await tx.execute("SELECT FROM orders.orders WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE", list(order_ids))


async def set_status(tx: Tx, order_id: str, status: OrderStatus) -> None:
    await tx.execute(
        """UPDATE orders.orders SET status = $2,
                  paid_at = CASE $2 WHEN 'PAID' THEN core.now() ELSE paid_at END,
                  cancelled_at = CASE $2 WHEN 'CANCELLED' THEN core.now() ELSE cancelled_at END
           WHERE id = $1""",
        order_id,
        status,
    )


async def set_shipping(tx: Tx, order_id: str, status: str, carrier: str | None, tracking_number: str | None) -> None:
    """A carrier or number that is not given stays."""
    await tx.execute(
        """UPDATE orders.orders SET shipping_status = $2, carrier = coalesce($3, carrier),
                  tracking_number = coalesce($4, tracking_number),
                  shipped_at = CASE WHEN $2 = 'SHIPPED' THEN coalesce(shipped_at, core.now()) ELSE shipped_at END
           WHERE id = $1""",
        order_id,
        status,
        carrier,
        tracking_number,
    )


async def is_due(tx: Tx, order_id: str) -> bool:
    due: bool = await tx.fetchval("SELECT expires_at <= core.now() FROM orders.orders WHERE id = $1", order_id)
    return due


async def masked_name(tx: Tx, order_id: str) -> str:
    name: str = await tx.fetchval("SELECT masked_name FROM orders.orders WHERE id = $1", order_id)
    return name


async def add_refund_task(db: Queries, order_id: str, reason: str) -> None:
    await db.execute(
        "INSERT INTO orders.refund_tasks (order_id, reason) VALUES ($1, $2) ON CONFLICT DO NOTHING", order_id, reason
    )


async def drop_refund_task(tx: Tx, order_id: str) -> None:
    """The late money was used after all."""
    await tx.execute("DELETE FROM orders.refund_tasks WHERE order_id = $1 AND done_at IS NULL", order_id)
