"""Hooks that the cart fires."""

from __future__ import annotations

from uuid import UUID

from dorami_cart.api import AskToWait, CartItemView, EndOfLine, WaitingAnswer
from dorami_cart.model import CartItemAdded, CartItemExpired, CartItemExtended
from dorami_core.hooks import EventMeta, Tx, hookspec

__all__ = ["CartHooks", "CartItemAdded", "CartItemExpired", "CartItemExtended"]


class CartHooks:
    """Implement the ones you need; `requires = ("dorami_cart",)`."""

    @hookspec
    async def cart_item_added_in_tx(self, tx: Tx, user_id: UUID, item: CartItemView, quantity: int) -> None:
        """`quantity` more units are held in this line; the product is locked. An error (INSUFFICIENT_STOCK where
        others wait for these units) gives them back. Not sent for a raised quantity of a line (`PATCH`)."""

    @hookspec
    async def choose_waiting_places(self, tx: Tx, asked: list[AskToWait]) -> list[WaitingAnswer] | None:
        """There is no stock of one product and these buyers, at least one, in the order in which they came, are ready
        to wait: give each a place in the queue, or refuse. CONFLICT with `available` where units are free after all
        and nobody waits: the cart tries again. The product may be locked already."""

    @hookspec
    async def cart_lines_ended_in_tx(
        self, tx: Tx, items: list[CartItemView], how: EndOfLine, order_id: str | None
    ) -> None:
        """These lines hold nothing any more, or their units are an order's now (COMPLETED). Their products are locked;
        what became free is told afterwards."""

    @hookspec
    async def on_cart_item_added(self, event: CartItemAdded, meta: EventMeta) -> None:
        """Units were put into a cart."""

    @hookspec
    async def on_cart_item_extended(self, event: CartItemExtended, meta: EventMeta) -> None:
        """A line is held longer than it was to be."""

    @hookspec
    async def on_cart_item_expired(self, event: CartItemExpired, meta: EventMeta) -> None:
        """A line lost its stock, because its time was over or its product was deleted."""
