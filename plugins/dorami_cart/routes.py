"""The cart over HTTP."""

from __future__ import annotations

import hashlib
from typing import Any

from dorami_cart.api import AddToCart, CartItemView, CartView
from dorami_cart.model import CartBody, ExtendBody, ExtendedView, QuantityBody
from dorami_cart.service import Cart
from dorami_core.hooks import Access, Request, Router


class CartRoutes:
    def __init__(self, cart: Cart) -> None:
        self._cart = cart

    def register(self, router: Router) -> None:
        router.api("GET", "/api/cart", self.show, response=CartView, summary="What is in the cart, and until when")
        router.api(
            "POST",
            "/api/cart",
            self.add,
            body=CartBody,
            response=CartItemView,
            status=201,
            summary="Hold units of a product",
        )
        path = "/api/cart/{itemId}"
        router.api(
            "PATCH", path, self.change, body=QuantityBody, response=CartItemView, summary="Change how many of a line"
        )
        router.api("DELETE", path, self.remove, summary="Give a line back")
        router.api(
            "POST",
            "/api/products/{id}/extend-holds",
            self.extend,
            access=Access.ADMIN,
            body=ExtendBody,
            response=ExtendedView,
            summary="More time for who holds units of a product",
        )

    async def show(self, request: Request) -> CartView:
        return await self._cart.view(request.user.id)

    async def add(self, request: Request, body: CartBody) -> Any:
        wish = AddToCart(
            product_id=body.product_id,
            quantity=body.quantity,
            color=body.color,
            size=body.size,
            stream_key=body.stream_key,
            client_id=_client_id(request.headers.get("idempotency-key")),
        )
        return (await self._cart.add(request.user, wish)).item

    async def extend(self, request: Request, body: ExtendBody) -> ExtendedView:
        return await self._cart.extend_now(request.uuid("id", "PRODUCT_NOT_FOUND"), body.seconds)

    async def change(self, request: Request, body: QuantityBody) -> CartItemView:
        item_id = request.uuid("itemId", "CART_ITEM_NOT_FOUND")
        return await self._cart.change(request.user.id, item_id, body.quantity)

    async def remove(self, request: Request) -> None:
        await self._cart.remove(request.user.id, request.uuid("itemId", "CART_ITEM_NOT_FOUND"))


def _client_id(key: str | None) -> str | None:
    """A key names the wish as a socket's `clientId` does, in the transaction itself: the web listener's own memory of
    answers is written after it, and is lacking where the process died in between."""
    return None if key is None else f"http:{hashlib.sha256(key.encode()).hexdigest()}"
