"""What other plugins may use of the catalogue: read models, and stock inside their own transactions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

import attrs

from dorami_core.hooks import Money, Tx

ProductStatus = Literal["AVAILABLE", "SOLD_OUT"]


@attrs.frozen(kw_only=True)
class ProductVariant:
    """One colour and size. `quantity` is on hand, `available` what can still be put into a cart."""

    id: UUID
    color: str | None
    size: str | None
    quantity: int
    available: int
    waiting: int = 0
    """How many people stand in its queue; while there is one, nobody else can take what is available."""


@attrs.frozen(kw_only=True)
class ProductView:
    """A product as everybody may see it; `to_json` of it is the product of the HTTP API and of `live:product:*`.

    `variants` is empty where the product keeps one stock for all; then a colour or a size is still to be chosen
    wherever `color_options` or `size_options` is not empty. `status` is SOLD_OUT when nothing is available or the
    seller said so (`sold_out_by_hand`).
    """

    id: UUID
    stream_key: str | None
    """The last of `stream_keys`: what a cart takes where nobody says."""
    stream_keys: list[str]
    """All broadcasts that show it, in the order in which it came to them."""
    name: str
    price: Money
    final_price: Money
    """After the discount: what a cart takes."""
    currency: str
    discount_rate: int
    """Percent, 0..100."""
    quantity: int
    available: int
    variants: list[ProductVariant]
    color_options: list[str]
    size_options: list[str]
    status: ProductStatus
    sold_out_by_hand: bool
    image_url: str | None
    sort_order: int
    timer_enabled: bool
    hold_seconds: int | None
    """None: `cart.hold_s`."""
    max_per_buyer: int | None = None
    """How many one buyer may hold, wait for and have bought, in orders that stand; None: no limit."""
    waiting: int = 0
    """How many people stand in the queues of its variants."""
    version: int
    """Grows with every change, stock included; the newer one wins."""
    created_at: datetime


@attrs.frozen(kw_only=True)
class StockView:
    """A variant whose product is locked until the transaction ends."""

    variant_id: UUID
    product_id: UUID
    stream_key: str | None
    name: str
    image_url: str | None
    unit_price: Money
    """After the discount."""
    available: int
    """0 while the product is sold out by hand or deleted."""
    sold_out_by_hand: bool
    deleted: bool
    waiting: int
    """How many people stand in its queue."""
    timer_enabled: bool
    hold_seconds: int | None


@attrs.frozen(kw_only=True)
class QueuePlace:
    """One place of a queue as the ledger names it: by number, without saying whose it is."""

    variant_id: UUID
    number: int
    quantity: int = 0
    """How many units it is served with."""
    rule: str | None = None
    """Why it is, where it is not the head."""


@attrs.frozen
class Units:
    """So many units of one variant."""

    variant_id: UUID
    quantity: int


@attrs.frozen(kw_only=True)
class StockChange:
    """What `catalog.hold_units` and `catalog.change_units` report of a product."""

    product_id: UUID
    stream_key: str | None
    version: int
    available_before: int
    """Of the whole product, as buyers see it."""
    available_after: int


@attrs.frozen(kw_only=True)
class Showing:
    """From when to when a product was the one shown; `until` None: it still is."""

    product_id: UUID
    since: datetime
    until: datetime | None


class CatalogApi(Protocol):
    """`host.api(CatalogApi)`.

    Methods with a `tx` lock products in the order of their ids, then variants; call them before you lock rows of your
    own (LOCKING.md). Every one that changes what is available raises the product's version and emits its event.
    """

    async def get(self, product_id: UUID) -> ProductView:
        """PRODUCT_NOT_FOUND where it does not exist or was deleted."""
        ...

    async def list_for_stream(self, stream_key: str) -> list[ProductView]:
        """By `sort_order`, then oldest first; at most 500."""
        ...

    async def pinned(self, stream_key: str) -> UUID | None:
        """The product that a broadcast shows now."""
        ...

    async def showings(self, stream_key: str, since: datetime, until: datetime) -> list[Showing]:
        """What was shown between, in its order; at most 1000."""
        ...

    async def list_store(self, limit: int = 100) -> list[ProductView]:
        """Everything on sale in or outside a broadcast, by `sort_order`, then newest first; at most 500."""
        ...

    async def stage(self, tx: Tx, quantity: int) -> UUID:
        """A product for a rehearsal: the transaction will be taken back."""
        ...

    async def lock_variant(self, tx: Tx, product_id: UUID, color: str | None, size: str | None) -> StockView:
        """PRODUCT_NOT_FOUND, or VALIDATION_FAILED for a missing or unknown option."""
        ...

    async def lock_variants(self, tx: Tx, variant_ids: Sequence[UUID]) -> dict[UUID, StockView]:
        """Locks the products of these variants; deleted ones are among the answers, unknown ones are not."""
        ...

    async def lock_product(self, tx: Tx, product_id: UUID) -> None:
        """PRODUCT_NOT_FOUND where it does not exist or was deleted."""
        ...

    async def lock_stream_products(self, tx: Tx, stream_key: str) -> None:
        """Locks every product of a broadcast."""
        ...

    async def hold(self, tx: Tx, units: Sequence[Units]) -> None:
        """Free units become held ones; INSUFFICIENT_STOCK where one is short or others wait for it, and nothing is
        held."""
        ...

    async def check_limit(self, tx: Tx, buyer_id: UUID, product_id: UUID, more: int) -> None:
        """BUYER_LIMIT, with how many more he may have as `details.left`, where so many more are too many. Locks a
        product with a limit."""
        ...

    async def broadcasts(self, product_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
        """All broadcasts that show each product."""
        ...

    async def leave_queue(self, tx: Tx, product_id: UUID, places: Sequence[QueuePlace]) -> None:
        """So many fewer wait, and have got nothing. The product is locked. (More of them: `catalog.enqueue` in SQL.)"""
        ...

    async def serve_queue(self, tx: Tx, product_id: UUID, places: Sequence[QueuePlace]) -> None:
        """So many fewer wait: free units are held for them now, in this order. The product is locked and its stock was
        looked at; a CHECK of the table refuses what is not there."""
        ...

    async def export_show(self, stream_key: str) -> dict[str, Any]:
        """The ledgers of a broadcast's products, deleted ones too, as JSON without any person: what
        `dorami verify-show` checks. STREAM_NOT_FOUND."""
        ...

    async def release(self, tx: Tx, units: Sequence[Units]) -> None:
        """Held units become free; fires `stock_released_in_tx`."""
        ...

    async def commit(self, tx: Tx, units: Sequence[Units]) -> None:
        """Held units become those of an order."""
        ...

    async def commit_free(self, tx: Tx, units: Sequence[Units]) -> None:
        """Free units become those of an order; INSUFFICIENT_STOCK where one is short or others wait for it."""
        ...

    async def uncommit(self, tx: Tx, units: Sequence[Units]) -> None:
        """An order's units become free; fires `stock_released_in_tx`."""
        ...

    async def ship(self, tx: Tx, units: Sequence[Units]) -> None:
        """An order's units leave the house: out of on hand."""
        ...

    def announce(self, tx: Tx, change: StockChange) -> None:
        """Emits the event of a change that was made in SQL: by `catalog.hold_units` or `catalog.enqueue`."""
        ...
