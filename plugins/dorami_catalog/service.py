"""The rules of products: what may be made, changed and deleted."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dorami_catalog import ledger, pins, store
from dorami_catalog.api import ProductView, Showing
from dorami_catalog.model import (
    UNSET,
    NewProduct,
    ProductAdded,
    ProductDeleted,
    ProductMoved,
    ProductPatch,
    ProductSoldOut,
    ProductUpdated,
    VariantInput,
)
from dorami_catalog.stock import Stock
from dorami_core.hooks import DoramiError, Money, Paged, Row, Tx, invalid, is_stream_key, new_uuid

_PLAIN = ("discount_rate", "image_url", "sort_order", "timer_enabled", "hold_seconds", "max_per_buyer")


class Catalog(Stock):
    """All of `CatalogApi`, and what the seller does."""

    async def get(self, product_id: UUID) -> ProductView:
        product = await store.find(self._host.db, product_id)
        if product is None:
            raise DoramiError("PRODUCT_NOT_FOUND")
        return product

    async def list_for_stream(self, stream_key: str) -> list[ProductView]:
        if not is_stream_key(stream_key):
            return []
        return await store.list_page(self._host.db, stream_key, None, store.LIST_MAX)

    async def pinned(self, stream_key: str) -> UUID | None:
        return (await pins.find(self._host.db, stream_key)).product_id if is_stream_key(stream_key) else None

    async def showings(self, stream_key: str, since: datetime, until: datetime) -> list[Showing]:
        return await pins.showings(self._host.db, stream_key, since, until) if is_stream_key(stream_key) else []

    async def list_store(self, limit: int = 100) -> list[ProductView]:
        return await store.list_page(self._host.db, None, None, min(limit, store.LIST_MAX))

    async def page(self, stream_key: str | None, cursor: str | None, limit: int) -> Paged:
        """ProductViews of a broadcast, or of the whole shop."""
        after = None if cursor is None else _parse_cursor(cursor)
        found = await store.list_page(self._host.db, stream_key, after, limit + 1)
        shown = found[:limit]
        return Paged(shown, _format_cursor(shown[-1]) if len(found) > limit else None)

    async def create(self, new: NewProduct, product_id: UUID | None = None) -> ProductView:
        """STREAM_NOT_FOUND, VALIDATION_FAILED. An id of one's own makes the demo idempotent."""
        await self._check_streams(_streams_of(new) or [])
        async with self._host.db.transaction() as tx:
            made = await self._insert(tx, new, product_id or new_uuid())
        return await self.get(made)

    async def create_many(self, news: Sequence[NewProduct]) -> list[ProductView]:
        """All or none."""
        await self._check_streams({key for new in news for key in _streams_of(new) or []})
        async with self._host.db.transaction() as tx:
            made = [await self._insert(tx, new, new_uuid()) for new in news]
        return [await self.get(product_id) for product_id in made]

    async def stage(self, tx: Tx, quantity: int) -> UUID:
        return await self._insert(tx, NewProduct(name="rehearsal", price="0", quantity=quantity), new_uuid())

    async def change(self, product_id: UUID, patch: ProductPatch) -> ProductView:
        """PRODUCT_NOT_FOUND, VALIDATION_FAILED, CONFLICT where on hand would be below what is held and committed."""
        return (await self.change_many([product_id], patch))[0]

    async def change_many(self, product_ids: Sequence[UUID], patch: ProductPatch) -> list[ProductView]:
        """The same change of all, or of none."""
        await self._check_streams(_streams_of(patch) or [])
        async with self._host.db.transaction() as tx:
            for product_id in sorted(set(product_ids)):
                await self._alter(tx, product_id, patch)
        return [await self.get(product_id) for product_id in product_ids]

    async def _insert(self, tx: Tx, new: NewProduct, product_id: UUID) -> UUID:
        if (new.quantity is None) == (new.variants is None):
            raise invalid("quantity", "give quantity or variants, one of them")
        colors, sizes = _options(new.variants, new.color_options, new.size_options)
        values = {name: getattr(new, name) for name in _PLAIN}
        keys: list[str] = _streams_of(new) or []
        values |= {
            "stream_key": keys[-1] if keys else None,
            "stream_keys": keys,
            "name": new.name.strip(),
            "price_minor": self._price(new.price),
            "currency": self._host.currency,
            "color_options": colors,
            "size_options": sizes,
            "has_variants": new.variants is not None,
        }
        wanted = new.variants or [VariantInput(quantity=new.quantity or 0)]
        await store.insert(tx, product_id, values)
        rows = [(new_uuid(), variant.color, variant.size, variant.quantity) for variant in wanted]
        await store.put_variants(tx, product_id, rows, [])
        await store.append_stock(tx, product_id, [(row[0], "BEGIN", row[3]) for row in rows])
        for key in (*keys,) if keys else (None,):
            tx.emit(ProductAdded(product_id=product_id, stream_key=key, version=1))
        return product_id

    async def _alter(self, tx: Tx, product_id: UUID, patch: ProductPatch) -> None:
        row = await store.lock(tx, product_id)
        if row is None:
            raise DoramiError("PRODUCT_NOT_FOUND", productId=str(product_id))
        values = self._changed_values(row, patch)
        before = await self._free(tx, product_id, bool(row["sold_out_by_hand"]))
        await self._change_stock(tx, row, patch)
        version = await store.update(tx, product_id, values)
        if values.get("sold_out_by_hand", row["sold_out_by_hand"]) != row["sold_out_by_hand"]:
            await store.append(tx, product_id, "CLOSE" if values["sold_out_by_hand"] else "OPEN")
        shut = bool(values.get("sold_out_by_hand", row["sold_out_by_hand"]))
        after = await self._free(tx, product_id, shut)
        self._announce_change(tx, row, values, version, sum(before.values()), sum(after.values()))
        freed = [variant for variant, free in after.items() if free > before.get(variant, 0)]
        if freed:
            await self._host.hooks.in_tx("stock_released_in_tx", tx, product_id=product_id, variant_ids=freed)

    async def delete(self, product_id: UUID) -> None:
        """Soft: carts give back what they hold, orders keep theirs. PRODUCT_NOT_FOUND."""
        async with self._host.db.transaction() as tx:
            row = await store.lock(tx, product_id)
            if row is None:
                raise DoramiError("PRODUCT_NOT_FOUND")
            version = await store.update(tx, product_id, {"deleted_at": await tx.fetchval("SELECT core.now()")})
            await store.append(tx, product_id, "DELETE")
            await self._host.hooks.in_tx("product_deleted_in_tx", tx, product_id=product_id)
            tx.emit(ProductDeleted(product_id=product_id, stream_key=row["stream_key"], version=version))

    async def export_show(self, stream_key: str) -> dict[str, Any]:
        await self._check_streams([stream_key])
        return await ledger.export(self._host.db, stream_key)

    def _changed_values(self, row: Row, patch: ProductPatch) -> dict[str, Any]:
        values = {name: getattr(patch, name) for name in _PLAIN if getattr(patch, name) is not UNSET}
        keys = _streams_of(patch)
        if keys is not None:
            values |= {"stream_key": keys[-1] if keys else None, "stream_keys": keys}
        if patch.name is not UNSET:
            values["name"] = patch.name.strip()
        if patch.price is not UNSET:
            values["price_minor"] = self._price(patch.price)
        if patch.status is not UNSET:
            values["sold_out_by_hand"] = patch.status == "SOLD_OUT"
        if patch.quantity is not UNSET and (patch.variants is not UNSET or row["has_variants"]):
            raise invalid("quantity", "is the sum of the variants")
        if any(sent is not UNSET for sent in (patch.variants, patch.color_options, patch.size_options)):
            has_variants = patch.variants is not UNSET or row["has_variants"]
            if has_variants and patch.variants is UNSET:
                raise invalid("variants", "options of a product with variants change with its variants")
            values["color_options"], values["size_options"] = _options(
                None if patch.variants is UNSET else patch.variants,
                _kept(patch.color_options, None if has_variants else list(row["color_options"])),
                _kept(patch.size_options, None if has_variants else list(row["size_options"])),
            )
            values["has_variants"] = has_variants
        return values

    async def _change_stock(self, tx: Tx, row: Row, patch: ProductPatch) -> None:
        if patch.quantity is UNSET and patch.variants is UNSET:
            return
        present = {(variant.color, variant.size): variant for variant in await store.variants(tx, row["id"])}
        wanted = [VariantInput(quantity=patch.quantity)] if patch.variants is UNSET else patch.variants
        kept, changes = [], []
        for variant in wanted:
            known = present.pop((variant.color, variant.size), None)
            if known is not None and variant.quantity < known.held + known.committed:
                raise DoramiError("CONFLICT", variantId=str(known.id), committed=known.held + known.committed)
            kept.append((known.id if known else new_uuid(), variant.color, variant.size, variant.quantity))
            if known is None or variant.quantity != known.on_hand:
                change = variant.quantity - (known.on_hand if known else 0)
                changes.append((kept[-1][0], "STOCK" if known else "BEGIN", change))
        for gone in present.values():
            if gone.held or gone.committed:
                raise DoramiError("CONFLICT", variantId=str(gone.id), committed=gone.held + gone.committed)
        removed = [gone.id for gone in present.values()]
        changes += [(gone.id, "STOCK", -gone.on_hand) for gone in present.values() if gone.on_hand]
        await store.put_variants(tx, row["id"], kept, removed)
        await store.append_stock(tx, row["id"], changes)
        if removed:
            await self._host.hooks.in_tx("variants_removed_in_tx", tx, product_id=row["id"], variant_ids=removed)

    def _announce_change(self, tx: Tx, row: Row, values: dict[str, Any], version: int, before: int, after: int) -> None:
        present = values.get("stream_keys", row["stream_keys"])
        facts: dict[str, Any] = {"product_id": row["id"], "version": version}
        for key in [key for key in row["stream_keys"] if key not in present]:
            tx.emit(ProductMoved(stream_key=key, **facts))
        added = [key for key in present if key not in row["stream_keys"]]
        for key in added:
            tx.emit(ProductAdded(stream_key=key, **facts))
        kind = ProductSoldOut if before > 0 and after == 0 else ProductUpdated
        if kind is ProductSoldOut or not added or len(added) < len(present):
            tx.emit(kind(stream_key=values.get("stream_key", row["stream_key"]), **facts))

    async def _free(self, tx: Tx, product_id: UUID, shut: bool) -> dict[UUID, int]:
        rows = await store.variants(tx, product_id)
        return {row.id: 0 if shut else row.on_hand - row.held - row.committed for row in rows}

    async def _check_streams(self, stream_keys: Collection[str]) -> None:
        for stream_key in stream_keys:
            if not is_stream_key(stream_key) or await self._host.streams.find(stream_key) is None:
                raise DoramiError("STREAM_NOT_FOUND", streamKey=stream_key)

    def _price(self, text: str) -> int:
        try:
            return Money.parse(text, self._host.currency).minor
        except ValueError:
            raise invalid("price", f"must be an amount of {self._host.currency}, such as 12.50") from None


def _streams_of(body: NewProduct | ProductPatch) -> list[str] | None:
    """The broadcasts that were named, one or many of them; None where nothing was said. VALIDATION_FAILED."""
    one, many = body.stream_key, body.stream_keys
    if many is UNSET or many is None:
        if one is UNSET:
            return None
        return [] if one is None else [one]
    if one is not UNSET and one is not None:
        raise invalid("streamKeys", "give streamKey or streamKeys, one of them")
    return list(many)


def _kept(value: Any, present: list[str] | None) -> list[str] | None:
    return present if value is UNSET else value


def _options(
    variants: Sequence[VariantInput] | None, colors: list[str] | None, sizes: list[str] | None
) -> tuple[list[str], list[str]]:
    """What can be chosen; with variants, what they name, in the order given."""
    if variants is None:
        return colors or [], sizes or []
    named_colors = list(dict.fromkeys(variant.color for variant in variants if variant.color is not None))
    named_sizes = list(dict.fromkeys(variant.size for variant in variants if variant.size is not None))
    for field, given, named in (("colorOptions", colors, named_colors), ("sizeOptions", sizes, named_sizes)):
        if given is not None and not set(named) <= set(given):
            raise invalid(field, "must name every option of the variants")
    return colors or named_colors, sizes or named_sizes


def _format_cursor(product: ProductView) -> str:
    text = f"{product.sort_order}|{product.created_at.isoformat()}|{product.id}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def _parse_cursor(text: str) -> store.Cursor:
    try:
        order, created, product_id = base64.urlsafe_b64decode(text).decode().split("|")
        after = store.Cursor(int(order), datetime.fromisoformat(created), UUID(product_id))
    except (ValueError, binascii.Error):
        raise invalid("cursor", "is not one of ours") from None
    if after.created_at.tzinfo is None or abs(after.sort_order) > 1_000_000:
        raise invalid("cursor", "is not one of ours")
    return after
