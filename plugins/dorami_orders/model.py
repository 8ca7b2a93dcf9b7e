"""What orders take from outside, their settings and their events."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from dorami_core.hooks import ErrorCode, Event, Money, invalid, positive
from dorami_orders.api import OrderFilter, OrderStatus, PaymentMethod, ShippingStatus
from dorami_orders.fees import check_rules, fee_of

MAX_NAME = 50
MAX_ADDRESS_FIELDS = 20
MAX_ADDRESS_TEXT = 200

CODES = (
    ErrorCode("ORDER_NOT_FOUND", 404, "주문을 찾을 수 없어요.", "This order does not exist."),
    ErrorCode(
        "INSUFFICIENT_POINTS",
        409,
        "쓸 수 있는 포인트가 부족해요. 주문은 아직 되지 않았어요.",
        "You do not have enough points; nothing was ordered.",
    ),
)


def _rules(_: Any, attribute: attrs.Attribute[Any], value: list[str]) -> None:
    check_rules(value)


def _country(_: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    if not (len(value) == 2 and value.isascii() and value.isupper()):
        raise ValueError("must be two capital letters, such as KR")


@attrs.frozen
class OrderSettings:
    """`unpaid_s`: how long an order waits for its money. `shipping_fee` and `free_shipping_from` are decimal strings in
    the shop's currency; an order whose goods cost at least the latter ships free ("": none does for that). `surcharges`
    are rules of `fees.py`; `country` is that of an address that names none."""

    unpaid_s: float = attrs.field(default=86_400, validator=positive)
    shipping_fee: str = "5.00"
    free_shipping_from: str = ""
    surcharges: list[str] = attrs.field(factory=list, validator=_rules)
    country: str = attrs.field(default="KR", validator=_country)
    shop_name: str = "도라미"
    bank_account: str = "국민은행 000000-00-000000 (예금주 도라미)"
    zelle_account: str = "pay@dorami.example (Dorami)"


def free_from(settings: OrderSettings, currency: str) -> Money | None:
    """ValueError."""
    return fee_of(settings.free_shipping_from, currency) if settings.free_shipping_from else None


def check_address(address: dict[str, Any]) -> dict[str, Any]:
    """The texts of an address without empty ones; VALIDATION_FAILED where there are none, too many, or too long."""
    kept = {}
    for name, text in address.items():
        if text is None or (isinstance(text, str) and not text.strip()):
            continue
        if not isinstance(text, str) or len(text) > MAX_ADDRESS_TEXT or len(name) > MAX_NAME:
            raise invalid("shippingAddress", f"must have texts of up to {MAX_ADDRESS_TEXT} characters")
        kept[name] = text.strip()
    if not 1 <= len(kept) <= MAX_ADDRESS_FIELDS:
        raise invalid("shippingAddress", "required field missing" if not kept else "has too many fields")
    return kept


def _in_range(low: int, high: int) -> Any:
    def check(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
        if not low <= value <= high:
            raise ValueError(f"must be {low} to {high}", attribute)

    return check


def _short(_: Any, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and len(value) > 100:
        raise ValueError("must have at most 100 characters", attribute)


@attrs.frozen(kw_only=True)
class OrderBody:
    """`POST /api/orders`."""

    depositor_name: str
    payment_method: PaymentMethod
    points_to_use: int = 0
    shipping_address: dict[str, str | None] | None = None


@attrs.frozen(kw_only=True)
class ShippingBody:
    status: ShippingStatus
    carrier: str | None = None
    tracking_number: str | None = None


@attrs.frozen(kw_only=True)
class OrderQuery:
    cursor: str | None = None
    limit: int = attrs.field(default=20, validator=_in_range(1, 100))


@attrs.frozen(kw_only=True)
class AdminOrderQuery(OrderQuery):
    status: OrderStatus | None = None
    shipping_status: ShippingStatus | None = None
    q: str | None = attrs.field(default=None, validator=_short)
    created_from: datetime | None = None
    created_to: datetime | None = None

    @property
    def which(self) -> OrderFilter:
        return OrderFilter(
            status=self.status,
            shipping_status=self.shipping_status,
            q=self.q,
            created_from=self.created_from,
            created_to=self.created_to,
        )


@attrs.frozen(kw_only=True)
class OrderedUnits:
    """What an event says of an item."""

    product_id: UUID
    stream_key: str | None
    quantity: int


@attrs.frozen(kw_only=True)
class OrderEvent(Event):
    order_id: str
    user_id: UUID
    total: Money

    @property
    def aggregate(self) -> str:
        return f"order:{self.order_id}"


@attrs.frozen(kw_only=True)
class OrderCreated(OrderEvent):
    pass


@attrs.frozen(kw_only=True)
class OrderPaid(OrderEvent):
    """`masked_name` may be shown to everybody."""

    masked_name: str
    items: list[OrderedUnits]


@attrs.frozen(kw_only=True)
class OrderCancelled(OrderEvent):
    """`was_paid`: the money has to go back."""

    was_paid: bool


@attrs.frozen(kw_only=True)
class OrderExpired(OrderEvent):
    pass


@attrs.frozen(kw_only=True)
class OrderShipped(OrderEvent):
    carrier: str | None
    tracking_number: str | None


ORDER_EVENTS: tuple[type[Event], ...] = (OrderCreated, OrderPaid, OrderCancelled, OrderExpired, OrderShipped)


@attrs.frozen(kw_only=True)
class DraftLine:
    """A line of a cart that is about to be ordered."""

    product_id: UUID
    stream_key: str | None
    quantity: int
    line_total: Money
    free_shipping: bool
    """Its broadcast grants it."""


@attrs.frozen(kw_only=True)
class OrderDraft:
    """An order before it is one."""

    user_id: UUID
    lines: list[DraftLine]
    subtotal: Money
    points_to_use: int
    payment_method: PaymentMethod
    shipping_address: dict[str, Any]
