"""The cart over sockets: the fast way in, and what others and the owner hear of it."""

from __future__ import annotations

from typing import Any

from dorami_cart.api import AddToCart
from dorami_cart.model import CartItemAdded, CartItemExpired, CartItemExtended
from dorami_cart.service import Cart
from dorami_core.hooks import (
    Access,
    Delivery,
    DoramiError,
    EventMeta,
    Host,
    SocketConnection,
    SocketEvents,
    ViewerId,
    iso,
)


class CartSockets:
    def __init__(self, host: Host, cart: Cart) -> None:
        self._host = host
        self._cart = cart

    def register(self, sockets: SocketEvents) -> None:
        sockets.on("/", "cart:add", self.add, payload=AddToCart, access=Access.USER)

    async def add(self, connection: SocketConnection, wish: AddToCart) -> dict[str, Any]:
        """Answers {"item"}, or {"reservation"} where the wish was ready to wait."""
        user = connection.principal.user
        if user is None:
            raise DoramiError("UNAUTHORIZED")
        answer = await self._cart.add(user, wish)
        return {"item": answer.item} if answer.item is not None else {"reservation": answer.reservation}

    def say_activity(self, event: CartItemAdded) -> None:
        """To all broadcasts that show the product, without saying who."""
        for stream_key in event.stream_keys:
            data = {
                "streamKey": stream_key,
                "maskedName": event.masked_name,
                "productId": str(event.product_id),
                "quantity": event.quantity,
            }
            self._host.rooms.emit("/", stream_key, "cart:activity", data, delivery=Delivery.DROPPABLE)

    def say_extended(self, event: CartItemExtended) -> None:
        """To the owner's own sockets."""
        if event.expires_at is None:
            return
        data = {
            "id": str(event.item_id),
            "productId": str(event.product_id),
            "productName": event.product_name,
            "expiresAt": iso(event.expires_at),
            "serverTime": iso(self._host.clock.now()),
        }
        self._host.rooms.emit_to_viewer("/", ViewerId(f"u:{event.user_id}"), "cart:extended", data)

    def say_expired(self, event: CartItemExpired, meta: EventMeta) -> None:
        """To the owner's own sockets."""
        data = {
            "id": str(event.item_id),
            "productId": str(event.product_id),
            "streamKey": event.stream_key,
            "productName": event.product_name,
            "color": event.color,
            "size": event.size,
            "quantity": event.quantity,
            "reason": event.reason,
            "at": iso(meta.at),
        }
        self._host.rooms.emit_to_viewer("/", ViewerId(f"u:{event.user_id}"), "cart:expired", data)
