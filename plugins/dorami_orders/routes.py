"""Orders over HTTP."""

from __future__ import annotations

from dorami_core.hooks import Access, Paged, Request, Router
from dorami_orders.api import OrderExport, OrderView, PlaceOrder, ShopInfo
from dorami_orders.model import AdminOrderQuery, OrderBody, OrderQuery, ShippingBody
from dorami_orders.service import Orders


class OrderRoutes:
    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def register(self, router: Router) -> None:
        router.api(
            "GET", "/api/shop", self.shop, access=Access.PUBLIC, response=ShopInfo, summary="How to pay this shop"
        )
        router.api(
            "POST",
            "/api/orders",
            self.create,
            body=OrderBody,
            response=OrderView,
            status=201,
            summary="Order the whole cart",
        )
        router.api("GET", "/api/orders", self.index, query=OrderQuery, summary="One's own orders, newest first")
        router.api("GET", "/api/orders/{id}", self.show, response=OrderView, summary="One order")
        router.api("POST", "/api/orders/{id}/cancel", self.cancel, response=OrderView, summary="Cancel an order")
        admin = Access.ADMIN
        router.api(
            "GET", "/api/admin/orders", self.admin_index, access=admin, query=AdminOrderQuery, summary="All orders"
        )
        router.api(
            "GET",
            "/api/admin/orders/export",
            self.export,
            access=admin,
            query=AdminOrderQuery,
            response=OrderExport,
            summary="The same orders as a table (CSV)",
        )
        router.api(
            "POST",
            "/api/admin/orders/{id}/confirm-payment",
            self.confirm,
            access=admin,
            response=OrderView,
            summary="The money has come",
        )
        router.api(
            "PATCH",
            "/api/admin/orders/{id}/shipping",
            self.ship,
            access=admin,
            body=ShippingBody,
            response=OrderView,
            summary="Where the parcel is",
        )

    async def shop(self, request: Request) -> ShopInfo:
        return self._orders.shop_info()

    async def create(self, request: Request, body: OrderBody) -> OrderView:
        wish = PlaceOrder(
            depositor_name=body.depositor_name,
            payment_method=body.payment_method,
            points_to_use=body.points_to_use,
            shipping_address=None if body.shipping_address is None else dict(body.shipping_address),
            key=request.headers.get("idempotency-key"),
        )
        return await self._orders.create(request.user, wish)

    async def index(self, request: Request, query: OrderQuery) -> Paged:
        return await self._orders.list_for(request.user.id, query.cursor, query.limit)

    async def show(self, request: Request) -> OrderView:
        order_id = request.path_params["id"]
        if request.principal.is_admin:
            return await self._orders.get(order_id)
        return await self._orders.get_for(request.user.id, order_id)

    async def cancel(self, request: Request) -> OrderView:
        return await self._orders.cancel(request.user, request.path_params["id"])

    async def admin_index(self, request: Request, query: AdminOrderQuery) -> Paged:
        return await self._orders.admin_list(query.which, query.cursor, query.limit)

    async def export(self, request: Request, query: AdminOrderQuery) -> OrderExport:
        return await self._orders.export(query.which)

    async def confirm(self, request: Request) -> OrderView:
        return await self._orders.confirm_payment(request.path_params["id"])

    async def ship(self, request: Request, body: ShippingBody) -> OrderView:
        return await self._orders.set_shipping(
            request.path_params["id"], body.status, body.carrier, body.tracking_number
        )
