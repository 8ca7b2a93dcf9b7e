"""SQL of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from dorami_catalog.api import ProductVariant, ProductView, QueuePlace, StockChange, StockView
from dorami_core.hooks import Money, Queries, Row, Tx

LIST_MAX = 500

_VIEW = """SELECT p.*, catalog.final_price(p) AS final_minor, catalog.available(p) AS available_units,
       v.ids, v.colors, v.sizes, v.on_hand, v.free, v.waiting
FROM catalog.products p CROSS JOIN LATERAL (
    SELECT array_agg(id ORDER BY position) AS ids, array_agg(color ORDER BY position) AS colors,
           array_agg(size ORDER BY position) AS sizes, array_agg(on_hand ORDER BY position) AS on_hand,
           array_agg(on_hand - held - committed ORDER BY position) AS free,
           array_agg(waiting ORDER BY position) AS waiting
    FROM catalog.variants WHERE product_id = p.id AND removed_at IS NULL) v
"""


_SHOWN_IN = "p.stream_keys @> ARRAY[$1::text]"


@attrs.frozen(kw_only=True)
class VariantRow:
    """A variant with its counters."""

    id: UUID
    color: str | None
    size: str | None
    on_hand: int
    held: int
    committed: int


@attrs.frozen
class Cursor:
    """Where a page of products ended."""

    sort_order: int
    created_at: datetime
    id: UUID


def _view(row: Row) -> ProductView:
    shut = row["sold_out_by_hand"]
    rows = zip(row["ids"], row["colors"], row["sizes"], row["on_hand"], row["free"], row["waiting"], strict=True)
    variants = [
        ProductVariant(id=id_, color=color, size=size, quantity=on_hand, available=0 if shut else free, waiting=waiting)
        for id_, color, size, on_hand, free, waiting in rows
    ]
    return ProductView(
        id=row["id"],
        stream_key=row["stream_key"],
        stream_keys=list(row["stream_keys"]),
        name=row["name"],
        price=Money(row["price_minor"], row["currency"]),
        final_price=Money(row["final_minor"], row["currency"]),
        currency=row["currency"],
        discount_rate=row["discount_rate"],
        quantity=sum(row["on_hand"]),
        available=row["available_units"],
        variants=variants if row["has_variants"] else [],
        color_options=list(row["color_options"]),
        size_options=list(row["size_options"]),
        status="SOLD_OUT" if row["available_units"] == 0 else "AVAILABLE",
        sold_out_by_hand=shut,
        image_url=row["image_url"],
        sort_order=row["sort_order"],
        timer_enabled=row["timer_enabled"],
        hold_seconds=row["hold_seconds"],
        max_per_buyer=row["max_per_buyer"],
        waiting=sum(row["waiting"]),
        version=row["version"],
        created_at=row["created_at"],
    )


def _stock(row: Row) -> StockView:
    shut = row["sold_out_by_hand"] or row["deleted_at"] is not None
    return StockView(
        variant_id=row["variant_id"],
        product_id=row["id"],
        stream_key=row["stream_key"],
        name=row["name"],
        image_url=row["image_url"],
        unit_price=Money(row["final_minor"], row["currency"]),
        available=0 if shut else row["free"],
        sold_out_by_hand=row["sold_out_by_hand"],
        deleted=row["deleted_at"] is not None,
        waiting=row["waiting"],
        timer_enabled=row["timer_enabled"],
        hold_seconds=row["hold_seconds"],
    )


def change_of(row: Row) -> StockChange:
    """From the columns of `catalog.hold_units` or `catalog.change_units`."""
    return StockChange(
        product_id=row["product_id"],
        stream_key=row["stream_key"],
        version=row["version"],
        available_before=row["available_before"],
        available_after=row["available_after"],
    )


async def find(db: Queries, product_id: UUID) -> ProductView | None:
    row = await db.fetchrow(_VIEW + "WHERE p.id = $1 AND p.deleted_at IS NULL", product_id)
    return None if row is None else _view(row)


async def list_page(db: Queries, stream_key: str | None, after: Cursor | None, limit: int) -> list[ProductView]:
    """By sort order, then oldest first; `stream_key` None: of all broadcasts and of none."""
    rows = await db.fetch(
        _VIEW
        + f"""WHERE p.deleted_at IS NULL AND {"$1::text IS NULL" if stream_key is None else _SHOWN_IN}
               AND ($2::integer IS NULL OR (p.sort_order, p.created_at, p.id) > ($2, $3::timestamptz, $4::uuid))
             ORDER BY p.sort_order, p.created_at, p.id LIMIT $5""",
        stream_key,
        None if after is None else after.sort_order,
        None if after is None else after.created_at,
        None if after is None else after.id,
        limit,
    )
    return [_view(row) for row in rows]


async def broadcasts(db: Queries, product_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Of deleted products too."""
    rows = await db.fetch("SELECT id, stream_keys FROM catalog.products WHERE id = ANY($1::uuid[])", list(product_ids))
    return {row["id"]: list(row["stream_keys"]) for row in rows}


async def over_limit(tx: Tx, buyer_id: UUID, product_id: UUID, more: int) -> int | None:
    """See the SQL function."""
    left: int | None = await tx.fetchval("SELECT catalog.over_limit($1, $2, $3)", product_id, buyer_id, more)
    return left


async def insert(tx: Tx, product_id: UUID, values: Mapping[str, Any]) -> None:
    """`values` are columns of catalog.products; their names come from this package alone."""
    names = list(values)
    await tx.execute(
        f"INSERT INTO catalog.products (id, {', '.join(names)}) "
        f"VALUES ($1, {', '.join(f'${number}' for number in range(2, len(names) + 2))})",
        product_id,
        *(values[name] for name in names),
    )


async def update(tx: Tx, product_id: UUID, values: Mapping[str, Any]) -> int:
    """Sets columns and raises the version, which it returns."""
    sets = "".join(f", {name} = ${number}" for number, name in enumerate(values, start=2))
    version: int = await tx.fetchval(
        f"UPDATE catalog.products SET version = version + 1{sets} WHERE id = $1 RETURNING version",
        product_id,
        *values.values(),
    )
    return version


async def lock(tx: Tx, product_id: UUID) -> Row | None:
    """The row of a product that is not deleted, locked."""
    return await tx.fetchrow(
        "SELECT * FROM catalog.products WHERE id = $1 AND deleted_at IS NULL FOR UPDATE", product_id
    )


async def lock_variants(tx: Tx, variant_ids: Sequence[UUID]) -> dict[UUID, StockView]:
    """Products first, in the order of their ids; then a second statement, which sees what the wait let through."""
    await tx.execute(
        """SELECT FROM catalog.products WHERE id IN (SELECT product_id FROM catalog.variants WHERE id = ANY($1::uuid[]))
           ORDER BY id FOR UPDATE""",
        list(variant_ids),
    )
    rows = await tx.fetch(
        """SELECT p.*, catalog.final_price(p) AS final_minor, v.id AS variant_id,
                  v.on_hand - v.held - v.committed AS free, v.waiting
           FROM catalog.variants v JOIN catalog.products p ON p.id = v.product_id WHERE v.id = ANY($1::uuid[])""",
        list(variant_ids),
    )
    return {row["variant_id"]: _stock(row) for row in rows}


async def lock_option(
    tx: Tx, product_id: UUID, color: str | None, size: str | None
) -> tuple[str | None, StockView | None]:
    """A problem (NOT_FOUND, BAD_COLOR, BAD_SIZE, BAD_OPTION) or the variant."""
    if await lock(tx, product_id) is None:
        return "NOT_FOUND", None
    row = await tx.fetchrow(
        """SELECT p.*, catalog.final_price(p) AS final_minor, catalog.option_problem(p, $2, $3) AS problem,
                  v.id AS variant_id, v.on_hand - v.held - v.committed AS free, v.waiting
           FROM catalog.products p LEFT JOIN catalog.variants v ON v.product_id = p.id AND v.removed_at IS NULL
                AND v.color IS NOT DISTINCT FROM CASE WHEN p.has_variants THEN $2 END
                AND v.size IS NOT DISTINCT FROM CASE WHEN p.has_variants THEN $3 END
           WHERE p.id = $1""",
        product_id,
        color,
        size,
    )
    assert row is not None
    if row["problem"] is not None or row["variant_id"] is None:
        return row["problem"] or "BAD_OPTION", None
    return None, _stock(row)


async def lock_stream(tx: Tx, stream_key: str) -> None:
    await tx.execute(f"SELECT FROM catalog.products p WHERE {_SHOWN_IN} ORDER BY id FOR UPDATE", stream_key)


async def variants(tx: Tx, product_id: UUID) -> list[VariantRow]:
    rows = await tx.fetch(
        """SELECT id, color, size, on_hand, held, committed FROM catalog.variants
           WHERE product_id = $1 AND removed_at IS NULL ORDER BY position""",
        product_id,
    )
    return [VariantRow(**dict(row)) for row in rows]


async def put_variants(
    tx: Tx, product_id: UUID, kept: Sequence[tuple[UUID, str | None, str | None, int]], removed: Sequence[UUID]
) -> None:
    """Writes id, colour, size and on hand in this order; ids that exist are changed, others made."""
    if removed:
        await tx.execute(
            "UPDATE catalog.variants SET removed_at = core.now(), on_hand = 0 WHERE id = ANY($1::uuid[])", list(removed)
        )
    await tx.execute(
        """INSERT INTO catalog.variants (id, product_id, color, size, on_hand, position)
           SELECT id, $1, color, size, on_hand, position
           FROM unnest($2::uuid[], $3::text[], $4::text[], $5::integer[]) WITH ORDINALITY
                AS v (id, color, size, on_hand, position)
           ON CONFLICT (id) DO UPDATE SET on_hand = excluded.on_hand, position = excluded.position""",
        product_id,
        [row[0] for row in kept],
        [row[1] for row in kept],
        [row[2] for row in kept],
        [row[3] for row in kept],
    )


async def change_units(
    tx: Tx, units: Mapping[UUID, int], *, on_hand: int = 0, held: int = 0, committed: int = 0, visible: bool = True
) -> Sequence[Row]:
    """Adds `on_hand`, `held`, `committed` (-1, 0, 1) times the units of each variant: see the SQL function."""
    return await tx.fetch(
        "SELECT * FROM catalog.change_units($1, $2, $3, $4, $5, $6)",
        list(units),
        on_hand,
        held,
        committed,
        list(units.values()),
        visible,
    )


async def step_queue(tx: Tx, product_id: UUID, kind: str, places: Sequence[QueuePlace]) -> Row:
    """They leave their queues (LEAVE) or are served (PROMOTE), in this order: see the SQL function."""
    return await tx.fetchrow(
        "SELECT * FROM catalog.step_queue($1, $2, $3::uuid[], $4::integer[], $5::integer[], NULL, $6::text[])",
        product_id,
        kind,
        [place.variant_id for place in places],
        [place.quantity for place in places],
        [place.number for place in places],
        [place.rule for place in places],
    )


async def append(tx: Tx, product_id: UUID, kind: str) -> None:
    """An entry about a whole product: CLOSE, OPEN, DELETE."""
    await tx.execute("SELECT catalog.append($1, NULL, $2, 0, NULL, NULL, NULL, 0)", product_id, kind)


async def append_stock(tx: Tx, product_id: UUID, changes: Sequence[tuple[UUID, str, int]]) -> None:
    """Entries of variants whose units on hand were set: id, BEGIN or STOCK, difference."""
    await tx.execute(
        """SELECT catalog.append($1, variant, kind, change, NULL, NULL, NULL, 0)
           FROM (SELECT * FROM unnest($2::uuid[], $3::text[], $4::integer[]) WITH ORDINALITY
                 AS c (variant, kind, change, n) ORDER BY n) AS changes""",
        product_id,
        [change[0] for change in changes],
        [change[1] for change in changes],
        [change[2] for change in changes],
    )
