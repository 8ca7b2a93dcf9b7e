"""The hooks of orders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dorami_core.hooks import (
    DeadlineHandler,
    ErrorCode,
    Event,
    EventMeta,
    Host,
    Plugin,
    Router,
    hookimpl,
)
from dorami_orders.api import OrdersApi
from dorami_orders.hookspecs import OrderHooks
from dorami_orders.model import CODES, ORDER_EVENTS, OrderPaid, OrderSettings
from dorami_orders.placing import UNPAID_TIMER
from dorami_orders.routes import OrderRoutes
from dorami_orders.service import Orders
from dorami_orders.sockets import OrderSockets


class OrdersPlugin(Plugin):
    """Orders and how they are paid."""

    name = "dorami_orders"
    requires = ("dorami_catalog", "dorami_cart")

    @hookimpl
    def register_settings(self) -> tuple[str, type]:
        return "orders", OrderSettings

    @hookimpl
    def register_error_codes(self) -> Iterable[ErrorCode]:
        return CODES

    @hookimpl
    def register_migrations(self) -> str:
        return "dorami_orders"

    @hookimpl
    def register_events(self) -> Iterable[type[Event]]:
        return ORDER_EVENTS

    @hookimpl
    def register_hookspecs(self) -> type:
        return OrderHooks

    @hookimpl
    def register_services(self, host: Host) -> None:
        self._orders = Orders(host)
        self._sockets = OrderSockets(host)
        host.provide(OrdersApi, self._orders)  # type: ignore[type-abstract]

    @hookimpl
    def register_routes(self, router: Router) -> None:
        OrderRoutes(self._orders).register(router)

    @hookimpl
    def register_deadlines(self) -> Mapping[str, DeadlineHandler]:
        return {UNPAID_TIMER: self._orders.expire}

    @hookimpl
    async def on_order_paid(self, event: OrderPaid, meta: EventMeta) -> None:
        await self._sockets.say_purchase(event)
