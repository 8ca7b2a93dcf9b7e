"""Hooks that orders fire."""

from __future__ import annotations

from dorami_core.hooks import EventMeta, Money, Tx, hookspec
from dorami_orders.api import OrderView
from dorami_orders.model import OrderCancelled, OrderCreated, OrderDraft, OrderExpired, OrderPaid, OrderShipped

__all__ = [
    "OrderCancelled",
    "OrderCreated",
    "OrderDraft",
    "OrderExpired",
    "OrderHooks",
    "OrderPaid",
    "OrderShipped",
]


class OrderHooks:
    """Implement the ones you need; `requires = ("dorami_orders",)`."""

    @hookspec
    async def validate_order(self, tx: Tx, draft: OrderDraft) -> None:
        """The cart is locked and alive; raise DoramiError to refuse the order."""

    @hookspec
    async def choose_shipping_fee(self, tx: Tx, draft: OrderDraft) -> Money | None:
        """The fee of this order; nobody answers: `orders.shipping_fee`, or none from `orders.free_shipping_from`, and
        `orders.surcharges`. Not asked where every item's broadcast grants free shipping."""

    @hookspec
    async def choose_points(self, tx: Tx, draft: OrderDraft) -> int | None:
        """How many of `draft.points_to_use` are taken from the buyer now, at most the subtotal; raise
        INSUFFICIENT_POINTS. Asked only where points are to be used; nobody answers: INSUFFICIENT_POINTS."""

    @hookspec
    async def order_created_in_tx(self, tx: Tx, order: OrderView) -> None:
        """The order and its items are written."""

    @hookspec
    async def order_paid_in_tx(self, tx: Tx, order: OrderView) -> None:
        """Its payment was confirmed, or there was nothing to pay. Not sent when it is confirmed again."""

    @hookspec
    async def order_ended_in_tx(self, tx: Tx, order: OrderView) -> None:
        """It was cancelled or expired, and its stock is free: give back what it used."""

    @hookspec
    async def on_order_created(self, event: OrderCreated, meta: EventMeta) -> None:
        """Somebody ordered."""

    @hookspec
    async def on_order_paid(self, event: OrderPaid, meta: EventMeta) -> None:
        """An order was paid."""

    @hookspec
    async def on_order_cancelled(self, event: OrderCancelled, meta: EventMeta) -> None:
        """Buyer or shop cancelled an order."""

    @hookspec
    async def on_order_expired(self, event: OrderExpired, meta: EventMeta) -> None:
        """No money came in time."""

    @hookspec
    async def on_order_shipped(self, event: OrderShipped, meta: EventMeta) -> None:
        """The parcel is on its way."""
