"""The cart's hooks."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any
from uuid import UUID

from dorami_cart import spoken, store
from dorami_cart.adding import ITEM_TIMER
from dorami_cart.api import CartApi
from dorami_cart.chat import ChatOrders
from dorami_cart.hookspecs import CartHooks
from dorami_cart.model import CART_EVENTS, CODES, CartItemAdded, CartItemExpired, CartItemExtended, CartSettings
from dorami_cart.routes import CartRoutes
from dorami_cart.service import STREAM_TIMER, Cart
from dorami_cart.sockets import CartSockets
from dorami_core.hooks import (
    BackgroundTask,
    DeadlineHandler,
    ErrorCode,
    Event,
    EventMeta,
    Host,
    Plugin,
    Principal,
    Router,
    SocketEvents,
    StreamStarted,
    StreamView,
    Tx,
    hookimpl,
)


class CartPlugin(Plugin):
    """Carts that hold stock."""

    name = "dorami_cart"
    requires = ("dorami_catalog",)

    @hookimpl
    def register_settings(self) -> tuple[str, type]:
        return "cart", CartSettings

    @hookimpl
    def register_error_codes(self) -> Iterable[ErrorCode]:
        return CODES

    @hookimpl
    def register_migrations(self) -> str:
        return "dorami_cart"

    @hookimpl
    def register_events(self) -> Iterable[type[Event]]:
        return CART_EVENTS

    @hookimpl
    def register_hookspecs(self) -> type:
        return CartHooks

    @hookimpl
    def register_services(self, host: Host) -> None:
        self._host = host
        self._cart = Cart(host)
        self._sockets = CartSockets(host, self._cart)
        self._chat = ChatOrders(host, self._cart) if host.settings(CartSettings).chat_orders else None
        host.provide(CartApi, self._cart)  # type: ignore[type-abstract]

    @hookimpl
    def register_routes(self, router: Router) -> None:
        CartRoutes(self._cart).register(router)

    @hookimpl
    def register_sockets(self, sockets: SocketEvents) -> None:
        self._sockets.register(sockets)

    @hookimpl
    def register_deadlines(self) -> Mapping[str, DeadlineHandler]:
        return {ITEM_TIMER: self._cart.expire, STREAM_TIMER: self._cart.expire_after_streams}

    @hookimpl
    def register_tasks(self) -> Iterable[BackgroundTask]:
        return [self._cart.forget_answers]

    @hookimpl
    async def rehearse_in_tx(self, tx: Tx) -> None:
        await self._cart.rehearse(tx)

    @hookimpl
    def filter_chat_receipt(
        self, value: dict[str, Any], principal: Principal, stream_key: str, message: str
    ) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        said = spoken.parse(message) if self._chat is not None and principal.user is not None else None
        # nearly all messages are just talk
        return value if said is None else self._ordered(value, principal, stream_key, said)

    async def _ordered(
        self, value: dict[str, Any], principal: Principal, stream_key: str, said: spoken.SpokenOrder
    ) -> dict[str, Any]:
        assert self._chat is not None
        assert principal.user is not None
        answer = await self._chat.hear(principal.user, stream_key, said, value["id"])
        return value if answer is None else {**value, "cart": answer}

    @hookimpl
    async def product_deleted_in_tx(self, tx: Tx, product_id: UUID) -> None:
        await self._cart.release_product(tx, product_id)

    @hookimpl
    async def stream_ended_in_tx(self, tx: Tx, stream: StreamView) -> None:
        await self._cart.end_stream(tx, stream)

    @hookimpl
    async def on_stream_started(self, event: StreamStarted, meta: EventMeta) -> None:
        await store.restart_stream(self._host.db, event.stream_key, event.started_at)

    @hookimpl
    async def on_cart_item_added(self, event: CartItemAdded, meta: EventMeta) -> None:
        self._sockets.say_activity(event)

    @hookimpl
    async def on_cart_item_extended(self, event: CartItemExtended, meta: EventMeta) -> None:
        self._sockets.say_extended(event)

    @hookimpl
    async def on_cart_item_expired(self, event: CartItemExpired, meta: EventMeta) -> None:
        self._sockets.say_expired(event, meta)
