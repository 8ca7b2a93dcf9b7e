"""What other plugins may use of the cart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import attrs
from dorami_catalog.api import StockView

from dorami_core.hooks import DoramiError, Money, Queries, Tx, UserId, UserIdentity

ItemStatus = Literal["ACTIVE", "EXPIRED", "COMPLETED", "RELEASED"]
EndOfLine = Literal["EXPIRED", "COMPLETED", "RELEASED"]


@attrs.frozen(kw_only=True)
class CartItemView:
    """One line of a cart; `to_json` of it is the item of the HTTP API."""

    id: UUID
    product_id: UUID
    variant_id: UUID
    stream_key: str | None
    product_name: str
    image_url: str | None
    color: str | None
    size: str | None
    quantity: int
    unit_price: Money
    """Frozen when the line was made."""
    line_total: Money
    currency: str
    status: ItemStatus
    timer_enabled: bool
    expires_at: datetime | None
    """None: held until ordered or removed."""
    created_at: datetime
    reservation_id: UUID | None = None
    """The place in a queue that this line was given for; such a line is merged with no other."""
    server_time: datetime


@attrs.frozen(kw_only=True)
class Holder:
    """Units that a line holds, without saying whose."""

    variant_id: UUID
    quantity: int
    expires_at: datetime | None


@attrs.frozen(kw_only=True)
class PromotedLine:
    """A line for somebody who waited: its units are held already (`CatalogApi.serve_queue`)."""

    user_id: UUID
    color: str | None
    size: str | None
    quantity: int
    hold_s: float
    reservation_id: UUID


@attrs.frozen(kw_only=True)
class CartView:
    """What is alive in a cart, oldest line first."""

    items: list[CartItemView]
    subtotal: Money
    currency: str
    server_time: datetime
    next_expires_at: datetime | None


@attrs.frozen(kw_only=True)
class AddToCart:
    """What somebody wants. `quantity` is 1..99."""

    product_id: UUID
    quantity: int
    color: str | None = None
    size: str | None = None
    wait: bool = False
    """Without stock, ask for a place in the queue."""
    stream_key: str | None = None
    """The broadcast it was made in, where a product is shown in several; None: the one it came to last."""
    client_id: str | None = None
    """Names this wish: said again it gets the same answer; another wish of that name is CONFLICT."""


@attrs.frozen(kw_only=True)
class AddAnswer:
    """`item` as JSON, or, with `wait` and no stock, what the queue gave."""

    item: dict[str, object] | None = None
    reservation: dict[str, object] | None = None


@attrs.frozen(kw_only=True)
class AskToWait:
    """One person's wish, and that there is nothing left of it."""

    user: UserIdentity
    wish: AddToCart


@attrs.frozen(kw_only=True)
class WaitingAnswer:
    """A place in the queue, as JSON, or why not."""

    place: dict[str, object] | None = None
    refusal: DoramiError | None = None


class CartApi(Protocol):
    """`host.api(CartApi)`."""

    async def view(self, user_id: UserId) -> CartView: ...

    async def add(self, user: UserIdentity, wish: AddToCart) -> AddAnswer:
        """PRODUCT_NOT_FOUND (also where it is not in the broadcast that was named), VALIDATION_FAILED (option,
        quantity), INSUFFICIENT_STOCK, BUYER_LIMIT with `details.left`, CONFLICT (`client_id`)."""
        ...

    async def change(self, user_id: UserId, item_id: UUID, quantity: int) -> CartItemView:
        """1..999. CART_ITEM_NOT_FOUND, CART_EXPIRED, INSUFFICIENT_STOCK, BUYER_LIMIT; never moves the expiry."""
        ...

    async def remove(self, user_id: UserId, item_id: UUID) -> None:
        """CART_ITEM_NOT_FOUND, CART_EXPIRED."""
        ...

    async def lock_active(self, tx: Tx, user_id: UserId) -> list[CartItemView]:
        """Locks the products, then the lines of a cart. CART_EMPTY, or CART_EXPIRED with `details.items` where a line
        is dead: past its expiry, or expired within the last hour and not told yet."""
        ...

    async def tell_expired(self, user_id: UserId) -> None:
        """Expired lines have been named to the user: they stop no later order."""
        ...

    async def complete(self, tx: Tx, items: Sequence[CartItemView], order_id: str) -> None:
        """Locked lines were ordered; their stock is the order's from now on (`CatalogApi.commit` is the caller's)."""
        ...

    async def put_promoted(self, tx: Tx, stock: StockView, lines: Sequence[PromotedLine]) -> dict[UUID, CartItemView]:
        """Writes lines of one variant at its present price; each expires `hold_s` from now. The product is locked.
        The lines by the places they were given for."""
        ...

    async def extend(self, tx: Tx, product_id: UUID, seconds: float) -> list[CartItemView]:
        """Every line with a timer that is alive and was not given to somebody who waited ends so much later, each up to
        `cart.extend_max_s` in all; those that do, soonest first. Buyers are told, and who waits sees it. For rules of a
        shop to call; the product is locked. VALIDATION_FAILED beyond 1..3600."""
        ...

    async def holders(self, db: Queries, variant_ids: Sequence[UUID]) -> list[Holder]:
        """What holds units of these variants now, the soonest to end first; at most ten for each."""
        ...


def mask_name(name: str) -> str:
    """How a buyer is shown to others: `민*님`, the first sign of a name, or the first two of a long one."""
    signs = name.strip().removeprefix("@")
    return f"{signs[: 2 if len(signs) > 3 else 1]}*님"
