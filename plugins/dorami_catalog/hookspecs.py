"""Hooks that the catalogue fires."""

from __future__ import annotations

from uuid import UUID

from dorami_catalog.model import (
    ProductAdded,
    ProductDeleted,
    ProductMoved,
    ProductPinned,
    ProductSoldOut,
    ProductUpdated,
)
from dorami_core.hooks import EventMeta, Tx, hookspec


class CatalogHooks:
    """Implement the ones you need; `requires = ("dorami_catalog",)`."""

    @hookspec
    async def stock_released_in_tx(self, tx: Tx, product_id: UUID, variant_ids: list[UUID]) -> None:
        """Units of these variants became free, or sold by hand again; the product is locked. Not sent for a deleted
        product. More may have become free than is free now: look with `CatalogApi.lock_variants`."""

    @hookspec
    async def variants_removed_in_tx(self, tx: Tx, product_id: UUID, variant_ids: list[UUID]) -> None:
        """These variants are no longer offered; nobody holds units of them. The product is locked."""

    @hookspec
    async def product_deleted_in_tx(self, tx: Tx, product_id: UUID) -> None:
        """The product is locked and marked deleted: give back what you hold of it. Orders keep theirs."""

    @hookspec
    async def on_product_added(self, event: ProductAdded, meta: EventMeta) -> None:
        """A product was made, or came to this broadcast from another."""

    @hookspec
    async def on_product_updated(self, event: ProductUpdated, meta: EventMeta) -> None:
        """Anything of a product changed, its stock included. Not sent when it sold out: that is an event of its own."""

    @hookspec
    async def on_product_sold_out(self, event: ProductSoldOut, meta: EventMeta) -> None:
        """The last available unit is gone, or the seller said so."""

    @hookspec
    async def on_product_moved(self, event: ProductMoved, meta: EventMeta) -> None:
        """A product left this broadcast but still exists."""

    @hookspec
    async def on_product_pinned(self, event: ProductPinned, meta: EventMeta) -> None:
        """Another product is the one shown now, or none is."""

    @hookspec
    async def on_product_deleted(self, event: ProductDeleted, meta: EventMeta) -> None:
        """A product was deleted."""
