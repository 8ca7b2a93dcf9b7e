"""Orders that are said in the chat: they go into the writer's cart, and he alone hears what came of it."""

from __future__ import annotations

from typing import Any

from dorami_catalog.api import CatalogApi

from dorami_cart import spoken
from dorami_cart.api import AddToCart
from dorami_cart.service import Cart
from dorami_core.hooks import DoramiError, Host, UserIdentity


class ChatOrders:
    def __init__(self, host: Host, cart: Cart) -> None:
        self._cart = cart
        self._catalog: CatalogApi = host.api(CatalogApi)  # type: ignore[type-abstract]

    async def hear(
        self, user: UserIdentity, stream_key: str, said: spoken.SpokenOrder, message_id: str
    ) -> dict[str, Any] | None:
        """What came of a message: `{"ok": true, "item"}`, or `{"ok": false, "errorCode", "details"}`; None where it is
        no order after all. The message names the wish, so one that is sent again is not bought again."""
        products = await self._catalog.list_for_stream(stream_key)
        if not 1 <= said.number <= len(products):
            return _refused(DoramiError("PRODUCT_NOT_FOUND", number=said.number))
        product = products[said.number - 1]
        chosen = spoken.choose(said.words, product.color_options, product.size_options)
        if chosen is None:
            return None
        color, size = chosen
        wish = AddToCart(
            product_id=product.id,
            quantity=said.quantity,
            color=color,
            size=size,
            stream_key=stream_key,
            client_id=f"chat:{message_id}",
        )
        try:
            return {"ok": True, "item": (await self._cart.add(user, wish)).item}
        except DoramiError as error:
            return _refused(error)


def _refused(error: DoramiError) -> dict[str, Any]:
    return {"ok": False, "errorCode": error.code, "details": error.details}
