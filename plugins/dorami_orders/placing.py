"""From a cart to an order: one transaction, everything or nothing."""

from __future__ import annotations

from typing import Any

from dorami_cart.api import CartApi, CartItemView, mask_name
from dorami_catalog.api import CatalogApi, Units

from dorami_core.hooks import DoramiError, Host, Money, Tx, UserId, UserIdentity, invalid
from dorami_orders import store
from dorami_orders.api import OrderView, PlaceOrder, ShopInfo
from dorami_orders.fees import shipping_fee
from dorami_orders.model import (
    MAX_NAME,
    DraftLine,
    OrderCreated,
    OrderDraft,
    OrderSettings,
    check_address,
)
from dorami_orders.paying import mark_paid

UNPAID_TIMER = "order_unpaid"
ATTEMPTS = 3


class _NewBroadcast(Exception):
    """The cart got an item of a broadcast that was not looked up: look again."""


class Placing:
    """Makes orders."""

    def __init__(self, host: Host, orders: store.OrderStore, info: ShopInfo) -> None:
        self._host = host
        self._orders = orders
        self._catalog: CatalogApi = host.api(CatalogApi)  # type: ignore[type-abstract]
        self._cart: CartApi = host.api(CartApi)  # type: ignore[type-abstract]
        self._info = info
        self._unpaid_s = host.settings(OrderSettings).unpaid_s

    async def create(self, user: UserIdentity, wish: PlaceOrder) -> OrderView:
        """See `OrdersApi.create`."""
        name = wish.depositor_name.strip()
        if not 1 <= len(name) <= MAX_NAME:
            raise invalid("depositorName", f"must have 1 to {MAX_NAME} characters")
        if not 0 <= wish.points_to_use <= 10**12:
            raise invalid("pointsToUse", "must be 0 or more")
        address = await self._address(user.id, wish.shipping_address)
        for _ in range(ATTEMPTS):
            # Broadcasts are looked up before the transaction, which would else need a second connection while it
            # holds locks.
            granting = await self._granting(user.id)
            if wish.key is not None:
                made = await self._orders.find_by_key(self._host.db, user.id, wish.key)
                if made is not None:
                    return made
            try:
                async with self._host.db.transaction() as tx:
                    return await self._create(tx, user, wish, name, address, granting)
            except _NewBroadcast:
                continue
            except DoramiError as error:
                if error.code == "CART_EXPIRED":
                    await self._cart.tell_expired(user.id)
                raise
        raise DoramiError("CONFLICT")

    async def _create(
        self,
        tx: Tx,
        user: UserIdentity,
        wish: PlaceOrder,
        name: str,
        address: dict[str, Any],
        granting: dict[str, bool],
    ) -> OrderView:
        lines = await self._cart.lock_active(tx, user.id)
        if any(line.stream_key is not None and line.stream_key not in granting for line in lines):
            raise _NewBroadcast
        if any(line.currency != self._host.currency for line in lines):
            raise DoramiError("CONFLICT", currency=self._host.currency)
        draft = self._draft(user.id, wish, address, lines, granting)
        await self._host.hooks.authorize("validate_order", tx=tx, draft=draft)
        fee = await self._shipping_fee(tx, draft)
        points = await self._points(tx, draft)
        await self._catalog.commit(tx, [Units(line.variant_id, line.quantity) for line in lines])
        # The day's counter is the one row that all orders share: nothing that can wait comes after it but our own rows.
        order_id = await store.next_id(tx, self._host.timezone)
        values = {
            "id": order_id,
            "user_id": user.id,
            "status": "PENDING_PAYMENT",
            "depositor_name": name,
            "payment_method": wish.payment_method,
            "subtotal_minor": draft.subtotal.minor,
            "shipping_fee_minor": fee.minor,
            "points_used": points,
            "total_minor": draft.subtotal.minor + fee.minor - points,
            "currency": self._host.currency,
            "shipping_address": address,
            "masked_name": mask_name(user.display_name),
            "request_key": wish.key,
        }
        await self._orders.insert(tx, values, self._unpaid_s, lines)
        await self._cart.complete(tx, lines, order_id)
        order = await self._orders.find(tx, order_id)
        assert order is not None
        assert order.expires_at is not None
        await self._host.deadlines.set(tx, UNPAID_TIMER, order_id, order.expires_at)
        tx.emit(OrderCreated(order_id=order_id, user_id=user.id, total=order.total))
        await self._host.hooks.in_tx("order_created_in_tx", tx, order=order)
        if order.total.minor == 0:
            await self._host.deadlines.clear(tx, UNPAID_TIMER, order_id)
            order = await mark_paid(self._host, self._orders, tx, order)
        return order

    def _draft(
        self,
        user_id: UserId,
        wish: PlaceOrder,
        address: dict[str, Any],
        lines: list[CartItemView],
        granting: dict[str, bool],
    ) -> OrderDraft:
        return OrderDraft(
            user_id=user_id,
            lines=[
                DraftLine(
                    product_id=line.product_id,
                    stream_key=line.stream_key,
                    quantity=line.quantity,
                    line_total=line.line_total,
                    free_shipping=line.stream_key is not None and granting[line.stream_key],
                )
                for line in lines
            ],
            subtotal=sum((line.line_total for line in lines), Money(0, self._host.currency)),
            points_to_use=wish.points_to_use,
            payment_method=wish.payment_method,
            shipping_address=address,
        )

    async def _shipping_fee(self, tx: Tx, draft: OrderDraft) -> Money:
        if all(line.free_shipping for line in draft.lines):
            return Money(0, self._host.currency)
        chosen = await self._host.hooks.choose("choose_shipping_fee", tx=tx, draft=draft)
        return shipping_fee(self._info, draft.subtotal, draft.shipping_address) if chosen is None else chosen

    async def _points(self, tx: Tx, draft: OrderDraft) -> int:
        if draft.points_to_use == 0:
            return 0
        taken = await self._host.hooks.choose("choose_points", tx=tx, draft=draft)
        if taken is None or not 0 <= taken <= draft.subtotal.minor:
            raise DoramiError("INSUFFICIENT_POINTS")
        return int(taken)

    async def _granting(self, user_id: UserId) -> dict[str, bool]:
        """The cart's broadcasts, and whether each grants free shipping now."""
        keys = {item.stream_key for item in (await self._cart.view(user_id)).items if item.stream_key is not None}
        found = {key: await self._host.streams.find(key) for key in sorted(keys)}
        return {key: stream is not None and stream.free_shipping_enabled for key, stream in found.items()}

    async def _address(self, user_id: UserId, given: dict[str, Any] | None) -> dict[str, Any]:
        if given is not None:
            return check_address(given)
        user = await self._host.users.find(user_id)
        if user is None or user.shipping_address is None:
            raise invalid("shippingAddress", "required field missing")
        return user.shipping_address
