"""What other plugins may use of orders."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

import attrs

from dorami_core.hooks import Money, Paged, UserId, UserIdentity

OrderStatus = Literal["PENDING_PAYMENT", "PAID", "CANCELLED", "EXPIRED"]
ShippingStatus = Literal["NONE", "PREPARING", "SHIPPED", "DELIVERED"]
PaymentMethod = Literal["BANK_TRANSFER", "ZELLE"]


@attrs.frozen(kw_only=True)
class OrderItemView:
    """What was bought, as it was when it was bought."""

    product_id: UUID
    variant_id: UUID
    stream_key: str | None
    name: str
    image_url: str | None
    color: str | None
    size: str | None
    quantity: int
    unit_price: Money
    line_total: Money


@attrs.frozen(kw_only=True)
class OrderView:
    """An order; `to_json` of it is the order of the HTTP API."""

    id: str
    user_id: UUID
    status: OrderStatus
    shipping_status: ShippingStatus
    depositor_name: str
    payment_method: PaymentMethod
    subtotal: Money
    shipping_fee: Money
    points_used: int
    """Minor units."""
    total: Money
    currency: str
    items: list[OrderItemView]
    shipping_address: dict[str, Any]
    carrier: str | None
    tracking_number: str | None
    refund_due: bool
    """Money came in that the shop has to send back."""
    created_at: datetime
    paid_at: datetime | None
    cancelled_at: datetime | None
    expires_at: datetime | None
    """When an unpaid order ends; None once it is no longer waiting for money."""
    server_time: datetime
    pay_to: str
    """The account for its payment method, as one text."""


@attrs.frozen(kw_only=True)
class PayAccount:
    method: PaymentMethod
    account: str


@attrs.frozen(kw_only=True)
class Surcharge:
    """What shipping to these regions of a country costs more."""

    country: str
    """Two letters."""
    regions: list[str]
    """Of KR `jeju`, `islands`, of the US states as two letters; else postal codes of five digits, or ranges of them."""
    amount: Money


@attrs.frozen(kw_only=True)
class ShopInfo:
    """What a buyer must know before paying."""

    name: str
    currency: str
    accounts: list[PayAccount]
    shipping_fee: Money
    free_shipping_from: Money | None
    """Goods of at least this much ship free; None: they do not for that."""
    surcharges: list[Surcharge] = attrs.Factory(list)
    """The first that fits an address is added to the fee, also where goods ship free for their amount."""
    country: str = "KR"
    """Of an address that names none."""
    unpaid_seconds: float
    """How long an order waits for its money."""
    server_time: datetime


@attrs.frozen(kw_only=True)
class PlaceOrder:
    """`shipping_address` None: the one the user saved."""

    depositor_name: str
    payment_method: PaymentMethod
    points_to_use: int = 0
    """Minor units."""
    shipping_address: dict[str, Any] | None = None
    key: str | None = None
    """Names the wish: said again by the same buyer, the answer is the order that it made, as it is now."""


@attrs.frozen(kw_only=True)
class OrderFilter:
    """Which orders staff want to see; None: whatever."""

    status: OrderStatus | None = None
    shipping_status: ShippingStatus | None = None
    q: str | None = None
    """Part of a number, of a depositor's name or of a product's, whatever the case."""
    created_from: datetime | None = None
    created_to: datetime | None = None
    """Not included."""


@attrs.frozen(kw_only=True)
class OrderExport:
    """A table as text: one line for each item of an order. `truncated`: there were more orders than fit."""

    filename: str
    csv: str
    orders: int
    truncated: bool


class OrdersApi(Protocol):
    """`host.api(OrdersApi)`."""

    async def create(self, user: UserIdentity, wish: PlaceOrder) -> OrderView:
        """The whole cart. CART_EMPTY, CART_EXPIRED with `details.items`, INSUFFICIENT_POINTS, VALIDATION_FAILED."""
        ...

    async def get_for(self, user_id: UserId, order_id: str) -> OrderView:
        """ORDER_NOT_FOUND where it is not theirs."""
        ...

    async def get(self, order_id: str) -> OrderView:
        """For staff: anybody's order."""
        ...

    async def list_for(self, user_id: UserId, cursor: str | None = None, limit: int = 20) -> Paged:
        """OrderViews, newest first."""
        ...

    async def admin_list(self, which: OrderFilter | None = None, cursor: str | None = None, limit: int = 50) -> Paged:
        """OrderViews of all buyers, newest first."""
        ...

    async def export(self, which: OrderFilter) -> OrderExport:
        """At most 5,000 orders, newest first, as CSV with a header (UTF-8, CRLF)."""
        ...

    async def cancel(self, user: UserIdentity, order_id: str) -> OrderView:
        """A buyer: own and PENDING_PAYMENT; staff: also PAID and not SHIPPED. Else CONFLICT; twice: the same answer."""
        ...

    async def confirm_payment(self, order_id: str) -> OrderView:
        """Twice: the same answer. CONFLICT for CANCELLED; EXPIRED takes its stock again, or INSUFFICIENT_STOCK and
        `refund_due`."""
        ...

    async def set_shipping(
        self, order_id: str, status: ShippingStatus, carrier: str | None = None, tracking_number: str | None = None
    ) -> OrderView:
        """CONFLICT where the order is not paid or the step is not allowed."""
        ...

    def shop_info(self) -> ShopInfo: ...

    def shipping_fee(self, subtotal: Money, address: dict[str, Any]) -> Money:
        """What shipping to an address costs where no broadcast grants it free and no plugin says otherwise."""
        ...
