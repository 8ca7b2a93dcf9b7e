"""What the cart takes from outside, its settings and its events."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import attrs

from dorami_core.hooks import ErrorCode, Event, positive

MAX_ADD = 99
MAX_LINE = 999
MAX_CLIENT_ID = 100
MAX_EXTEND_S = 3600

CODES = (
    ErrorCode("CART_ITEM_NOT_FOUND", 404, "장바구니에 없는 상품이에요.", "This item is not in your cart."),
    ErrorCode("CART_EMPTY", 409, "장바구니가 비어 있어요.", "Your cart is empty."),
    ErrorCode(
        "CART_EXPIRED",
        410,
        "담아 둔 시간이 지난 상품이 있어요. 나머지는 그대로 있으니 확인하고 다시 시도해 주세요.",
        "The time to buy something in your cart is over. The rest is untouched: please look and try again.",
    ),
)


@attrs.frozen
class CartSettings:
    """`hold_s`: how long an item holds its stock; a product can have its own time. `extend_max_s`: by how much in all
    it can be made longer. `chat_orders`: whether what is said in the chat can be an order."""

    hold_s: float = attrs.field(default=600, validator=positive)
    extend_max_s: float = attrs.field(default=1800, validator=positive)
    chat_orders: bool = True


@attrs.frozen(kw_only=True)
class CartBody:
    """`POST /api/cart`."""

    product_id: UUID
    quantity: int
    color: str | None = None
    size: str | None = None
    stream_key: str | None = None


@attrs.frozen(kw_only=True)
class QuantityBody:
    quantity: int


@attrs.frozen(kw_only=True)
class CartEvent(Event):
    user_id: UUID
    item_id: UUID
    product_id: UUID
    stream_key: str | None
    product_name: str
    color: str | None
    size: str | None
    quantity: int

    @property
    def aggregate(self) -> str:
        return f"cart:{self.user_id}"


@attrs.frozen(kw_only=True)
class CartItemAdded(CartEvent):
    """`quantity` is what was added now; `masked_name` may be shown to everybody; `stream_keys` are all broadcasts that
    show the product."""

    masked_name: str
    stream_keys: list[str] = attrs.Factory(list)


@attrs.frozen(kw_only=True)
class CartItemExpired(CartEvent):
    """`reason`: time, product_deleted."""

    reason: str


@attrs.frozen(kw_only=True)
class CartItemExtended(CartEvent):
    """`expires_at` is the new end."""

    variant_id: UUID
    expires_at: datetime | None


@attrs.frozen(kw_only=True)
class ExtendBody:
    """`POST /api/products/{id}/extend-holds`."""

    seconds: int


@attrs.frozen(kw_only=True)
class ExtendedView:
    """How many lines got more time, and when the first of them ends now."""

    product_id: UUID
    extended: int
    next_expires_at: datetime | None


CART_EVENTS: tuple[type[Event], ...] = (CartItemAdded, CartItemExpired, CartItemExtended)
