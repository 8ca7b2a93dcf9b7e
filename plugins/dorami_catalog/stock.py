"""Stock inside other plugins' transactions: the rules of LOCKING.md."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from dorami_catalog import store
from dorami_catalog.api import QueuePlace, StockChange, StockView, Units
from dorami_catalog.model import ProductSoldOut, ProductUpdated
from dorami_core.hooks import DoramiError, Host, Tx, invalid


def refuse_option(problem: str) -> DoramiError:
    """The error for an outcome of `catalog.hold_units` or of an option."""
    if problem == "NOT_FOUND":
        return DoramiError("PRODUCT_NOT_FOUND")
    return invalid("size" if problem == "BAD_SIZE" else "color", "choose one of the options")


def beyond_limit(product_id: UUID, left: int) -> DoramiError:
    """`left`: how many more this buyer may have."""
    return DoramiError("BUYER_LIMIT", productId=str(product_id), left=left)


def _nothing_left(stock: StockView) -> DoramiError:
    return DoramiError(
        "INSUFFICIENT_STOCK",
        productId=str(stock.product_id),
        variantId=str(stock.variant_id),
        available=0,
        waiting=stock.waiting,
    )


class Stock:
    """The part of `CatalogApi` that takes a transaction."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def lock_variant(self, tx: Tx, product_id: UUID, color: str | None, size: str | None) -> StockView:
        problem, stock = await store.lock_option(tx, product_id, color, size)
        if stock is None:
            raise refuse_option(problem or "NOT_FOUND")
        return stock

    async def lock_variants(self, tx: Tx, variant_ids: Sequence[UUID]) -> dict[UUID, StockView]:
        return await store.lock_variants(tx, variant_ids)

    async def lock_product(self, tx: Tx, product_id: UUID) -> None:
        if await store.lock(tx, product_id) is None:
            raise DoramiError("PRODUCT_NOT_FOUND")

    async def lock_stream_products(self, tx: Tx, stream_key: str) -> None:
        await store.lock_stream(tx, stream_key)

    async def hold(self, tx: Tx, units: Sequence[Units]) -> None:
        for stock in (await store.lock_variants(tx, [unit.variant_id for unit in units])).values():
            if stock.sold_out_by_hand or stock.deleted or stock.waiting > 0:
                raise _nothing_left(stock)
        await self._change(tx, units, held=1)

    async def check_limit(self, tx: Tx, buyer_id: UUID, product_id: UUID, more: int) -> None:
        left = await store.over_limit(tx, buyer_id, product_id, more)
        if left is not None:
            raise beyond_limit(product_id, left)

    async def broadcasts(self, product_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
        return await store.broadcasts(self._host.db, product_ids)

    async def leave_queue(self, tx: Tx, product_id: UUID, places: Sequence[QueuePlace]) -> None:
        await self._step(tx, product_id, "LEAVE", places)

    async def serve_queue(self, tx: Tx, product_id: UUID, places: Sequence[QueuePlace]) -> None:
        await self._step(tx, product_id, "PROMOTE", places)

    async def release(self, tx: Tx, units: Sequence[Units]) -> None:
        await self._change(tx, units, held=-1, frees=True)

    async def commit(self, tx: Tx, units: Sequence[Units]) -> None:
        # Nothing that anybody sees changes, so no version and no event.
        await self._change(tx, units, held=-1, committed=1, visible=False)

    async def commit_free(self, tx: Tx, units: Sequence[Units]) -> None:
        for stock in (await store.lock_variants(tx, [unit.variant_id for unit in units])).values():
            if stock.waiting > 0:
                raise _nothing_left(stock)
        await self._change(tx, units, committed=1)

    async def uncommit(self, tx: Tx, units: Sequence[Units]) -> None:
        await self._change(tx, units, committed=-1, frees=True)

    async def ship(self, tx: Tx, units: Sequence[Units]) -> None:
        await self._change(tx, units, on_hand=-1, committed=-1)

    def announce(self, tx: Tx, change: StockChange) -> None:
        sold_out = change.available_before > 0 and change.available_after == 0
        kind = ProductSoldOut if sold_out else ProductUpdated
        tx.emit(kind(product_id=change.product_id, stream_key=change.stream_key, version=change.version))

    async def _step(self, tx: Tx, product_id: UUID, kind: str, places: Sequence[QueuePlace]) -> None:
        if not places:
            return
        row = await store.step_queue(tx, product_id, kind, places)
        # Never "sold out": what is held for who waited was not on sale to anybody.
        if not row["deleted"]:
            tx.emit(ProductUpdated(product_id=product_id, stream_key=row["stream_key"], version=row["version"]))

    async def _change(
        self,
        tx: Tx,
        units: Sequence[Units],
        *,
        on_hand: int = 0,
        held: int = 0,
        committed: int = 0,
        visible: bool = True,
        frees: bool = False,
    ) -> None:
        by_variant: dict[UUID, int] = {}
        for unit in units:
            by_variant[unit.variant_id] = by_variant.get(unit.variant_id, 0) + unit.quantity
        if not by_variant:
            return
        rows = await store.change_units(
            tx, by_variant, on_hand=on_hand, held=held, committed=committed, visible=visible
        )
        for row in rows:
            if row["short_variant"] is not None:
                raise DoramiError(
                    "INSUFFICIENT_STOCK",
                    productId=str(row["product_id"]),
                    variantId=str(row["short_variant"]),
                    available=row["short_available"],
                )
        alive = [row for row in rows if not row["deleted"]]
        if visible:
            for row in alive:
                self.announce(tx, store.change_of(row))
        if frees:
            for row in alive:
                await self._host.hooks.in_tx(
                    "stock_released_in_tx", tx, product_id=row["product_id"], variant_ids=list(row["variant_ids"])
                )
