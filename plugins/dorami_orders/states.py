"""Every change of state that an order may make, in one table; anything else is CONFLICT."""

from __future__ import annotations

from enum import Enum

import attrs

from dorami_core.hooks import DoramiError
from dorami_orders.api import OrderStatus, ShippingStatus


class Stock(Enum):
    """What a change does to the stock of an order's items."""

    KEEP = "keep"
    FREE = "free"
    TAKE_AGAIN = "take_again"
    SHIP = "ship"


class Step(Enum):
    """What somebody wants of an order."""

    CONFIRM = "confirm"
    EXPIRE = "expire"
    CANCEL_BY_BUYER = "cancel_by_buyer"
    CANCEL_BY_SHOP = "cancel_by_shop"


@attrs.frozen
class Change:
    to: OrderStatus
    stock: Stock
    repeated: bool = False
    """It was done before: the same answer, no event."""
    refund: bool = False


CHANGES: dict[tuple[Step, OrderStatus], Change] = {
    (Step.CONFIRM, "PENDING_PAYMENT"): Change("PAID", Stock.KEEP),
    (Step.CONFIRM, "PAID"): Change("PAID", Stock.KEEP, repeated=True),
    (Step.CONFIRM, "EXPIRED"): Change("PAID", Stock.TAKE_AGAIN),
    (Step.EXPIRE, "PENDING_PAYMENT"): Change("EXPIRED", Stock.FREE),
    (Step.CANCEL_BY_BUYER, "PENDING_PAYMENT"): Change("CANCELLED", Stock.FREE),
    (Step.CANCEL_BY_BUYER, "CANCELLED"): Change("CANCELLED", Stock.KEEP, repeated=True),
    (Step.CANCEL_BY_SHOP, "PENDING_PAYMENT"): Change("CANCELLED", Stock.FREE),
    (Step.CANCEL_BY_SHOP, "PAID"): Change("CANCELLED", Stock.FREE, refund=True),
    (Step.CANCEL_BY_SHOP, "CANCELLED"): Change("CANCELLED", Stock.KEEP, repeated=True),
}

SHIPPING: dict[tuple[ShippingStatus, ShippingStatus], Stock] = {
    ("NONE", "PREPARING"): Stock.KEEP,
    ("NONE", "SHIPPED"): Stock.SHIP,
    ("PREPARING", "NONE"): Stock.KEEP,
    ("PREPARING", "PREPARING"): Stock.KEEP,
    ("PREPARING", "SHIPPED"): Stock.SHIP,
    ("SHIPPED", "SHIPPED"): Stock.KEEP,
    ("SHIPPED", "DELIVERED"): Stock.KEEP,
    ("DELIVERED", "DELIVERED"): Stock.KEEP,
}
"""From, to, of a PAID order. The same step again changes carrier and number only."""

SENT: frozenset[ShippingStatus] = frozenset({"SHIPPED", "DELIVERED"})


def change_for(step: Step, status: OrderStatus, shipping: ShippingStatus) -> Change:
    """CONFLICT with `details.status` where the table has no such row, or the parcel is on its way."""
    change = CHANGES.get((step, status))
    if change is None or (change.stock is Stock.FREE and shipping in SENT):
        raise DoramiError("CONFLICT", status=status, shippingStatus=shipping)
    return change


def shipping_for(status: OrderStatus, present: ShippingStatus, wanted: ShippingStatus) -> Stock:
    """CONFLICT where the order is not paid, or the step is not in the table."""
    stock = SHIPPING.get((present, wanted)) if status == "PAID" else None
    if stock is None:
        raise DoramiError("CONFLICT", status=status, shippingStatus=present)
    return stock
