"""The rules of orders once they are made: paid, cancelled, expired, shipped."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

from dorami_catalog.api import CatalogApi, Units

from dorami_core.hooks import DoramiError, Host, Money, Paged, Queries, Tx, UserId, UserIdentity, invalid
from dorami_orders import export, store
from dorami_orders.api import (
    OrderExport,
    OrderFilter,
    OrderView,
    PayAccount,
    PaymentMethod,
    PlaceOrder,
    ShippingStatus,
    ShopInfo,
)
from dorami_orders.fees import fee_of, shipping_fee, surcharges_of
from dorami_orders.model import (
    MAX_NAME,
    OrderCancelled,
    OrderExpired,
    OrderSettings,
    OrderShipped,
    free_from,
)
from dorami_orders.paying import mark_paid
from dorami_orders.placing import UNPAID_TIMER, Placing
from dorami_orders.states import Change, Step, Stock, change_for, shipping_for

EXPORT_MAX = 5000
ORDER_ID = re.compile(r"ORD-[0-9]{8}-[0-9]{5,10}")


class Orders:
    """Implements `OrdersApi`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._settings = host.settings(OrderSettings)
        self._accounts: dict[PaymentMethod, str] = {
            "BANK_TRANSFER": self._settings.bank_account,
            "ZELLE": self._settings.zelle_account,
        }
        self._orders = store.OrderStore({method: text for method, text in self._accounts.items()})
        self._catalog: CatalogApi = host.api(CatalogApi)  # type: ignore[type-abstract]
        self._info = self.shop_info()
        self._placing = Placing(host, self._orders, self._info)

    async def create(self, user: UserIdentity, wish: PlaceOrder) -> OrderView:
        if wish.payment_method not in get_args(PaymentMethod):
            raise invalid("paymentMethod", "must be BANK_TRANSFER or ZELLE")
        return await self._placing.create(user, wish)

    async def get_for(self, user_id: UserId, order_id: str) -> OrderView:
        order = await self.get(order_id)
        if order.user_id != user_id:
            raise DoramiError("ORDER_NOT_FOUND")
        return order

    async def get(self, order_id: str) -> OrderView:
        return await self._find(self._host.db, order_id)

    async def list_for(self, user_id: UserId, cursor: str | None = None, limit: int = 20) -> Paged:
        return await self._page(user_id, OrderFilter(), cursor, limit)

    async def admin_list(self, which: OrderFilter | None = None, cursor: str | None = None, limit: int = 50) -> Paged:
        return await self._page(None, which or OrderFilter(), cursor, limit)

    async def export(self, which: OrderFilter) -> OrderExport:
        found = await self._orders.list_page(self._host.db, None, which, None, EXPORT_MAX + 1)
        shown = found[:EXPORT_MAX]
        today = self._host.clock.now().astimezone(ZoneInfo(self._host.timezone))
        return OrderExport(
            filename=f"orders-{today:%Y%m%d}.csv",
            csv=export.as_csv(shown, self._host.timezone),
            orders=len(shown),
            truncated=len(found) > EXPORT_MAX,
        )

    async def cancel(self, user: UserIdentity, order_id: str) -> OrderView:
        staff = user.role == "ADMIN"
        async with self._host.db.transaction() as tx:
            order = await self._lock(tx, order_id, None if staff else user.id)
            step = Step.CANCEL_BY_SHOP if staff else Step.CANCEL_BY_BUYER
            change = change_for(step, order.status, order.shipping_status)
            if change.repeated:
                return order
            if change.refund and order.total.minor > 0:
                await store.add_refund_task(tx, order_id, "CANCELLED_AFTER_PAYMENT")
            ended = await self._end(tx, order, change)
            await self._host.deadlines.clear(tx, UNPAID_TIMER, order_id)
            tx.emit(OrderCancelled(order_id=order_id, user_id=order.user_id, total=order.total, was_paid=change.refund))
        return ended

    async def confirm_payment(self, order_id: str) -> OrderView:
        try:
            async with self._host.db.transaction() as tx:
                order = await self._lock(tx, order_id)
                change = change_for(Step.CONFIRM, order.status, order.shipping_status)
                if change.repeated:
                    return order
                if change.stock is Stock.TAKE_AGAIN:
                    await self._catalog.commit_free(tx, _units(order))
                    await store.drop_refund_task(tx, order_id)
                await self._host.deadlines.clear(tx, UNPAID_TIMER, order_id)
                return await mark_paid(self._host, self._orders, tx, order)
        except DoramiError as error:
            if error.code == "INSUFFICIENT_STOCK":
                await store.add_refund_task(self._host.db, order_id, "PAID_LATE_WITHOUT_STOCK")
            raise

    async def set_shipping(
        self, order_id: str, status: ShippingStatus, carrier: str | None = None, tracking_number: str | None = None
    ) -> OrderView:
        for field, text in (("carrier", carrier), ("trackingNumber", tracking_number)):
            if text is not None and not 1 <= len(text.strip()) <= MAX_NAME:
                raise invalid(field, f"must have 1 to {MAX_NAME} characters")
        async with self._host.db.transaction() as tx:
            order = await self._lock(tx, order_id)
            stock = shipping_for(order.status, order.shipping_status, status)
            await store.set_shipping(tx, order_id, status, carrier, tracking_number)
            shipped = _found(await self._orders.find(tx, order_id))
            if stock is Stock.SHIP:
                await self._catalog.ship(tx, _units(order))
                tx.emit(
                    OrderShipped(
                        order_id=order_id,
                        user_id=order.user_id,
                        total=order.total,
                        carrier=shipped.carrier,
                        tracking_number=shipped.tracking_number,
                    )
                )
        return shipped

    async def expire(self, tx: Tx, keys: Sequence[str]) -> None:
        """Deadline `order_unpaid`: keys are order ids."""
        waiting = [order for order in await self._orders.find_many(tx, keys) if order.status == "PENDING_PAYMENT"]
        await self._catalog.lock_variants(tx, [item.variant_id for order in waiting for item in order.items])
        await store.lock(tx, [order.id for order in waiting])
        found = await self._orders.find_many(tx, [order.id for order in waiting])
        # Plugins lock rows of each order's user: those too are locked in one order, whoever else ends orders now.
        for order in sorted(found, key=lambda order: (order.user_id, order.id)):
            if order.status != "PENDING_PAYMENT" or not await store.is_due(tx, order.id):
                continue
            await self._end(tx, order, change_for(Step.EXPIRE, order.status, order.shipping_status))
            tx.emit(OrderExpired(order_id=order.id, user_id=order.user_id, total=order.total))

    def shop_info(self) -> ShopInfo:
        return ShopInfo(
            name=self._settings.shop_name,
            currency=self._host.currency,
            accounts=[PayAccount(method=method, account=text) for method, text in self._accounts.items()],
            shipping_fee=fee_of(self._settings.shipping_fee, self._host.currency),
            free_shipping_from=free_from(self._settings, self._host.currency),
            surcharges=surcharges_of(self._settings.surcharges, self._host.currency),
            country=self._settings.country,
            unpaid_seconds=self._settings.unpaid_s,
            server_time=self._host.clock.now(),
        )

    def shipping_fee(self, subtotal: Money, address: dict[str, Any]) -> Money:
        return shipping_fee(self._info, subtotal, address)

    async def _find(self, db: Queries, order_id: str) -> OrderView:
        # An id that cannot exist does not; some of them PostgreSQL would not even take as text.
        return _found(await self._orders.find(db, order_id) if ORDER_ID.fullmatch(order_id) else None)

    async def _lock(self, tx: Tx, order_id: str, owner: UUID | None = None) -> OrderView:
        """The order as it is once the products of its items, and then it, are locked."""
        order = await self._find(tx, order_id)
        if owner is not None and order.user_id != owner:
            raise DoramiError("ORDER_NOT_FOUND")
        await self._catalog.lock_variants(tx, [item.variant_id for item in order.items])
        await store.lock(tx, [order_id])
        return _found(await self._orders.find(tx, order_id))

    async def _end(self, tx: Tx, order: OrderView, change: Change) -> OrderView:
        await store.set_status(tx, order.id, change.to)
        await self._catalog.uncommit(tx, _units(order))
        ended = _found(await self._orders.find(tx, order.id))
        await self._host.hooks.in_tx("order_ended_in_tx", tx, order=ended)
        return ended

    async def _page(self, user_id: UserId | None, which: OrderFilter, cursor: str | None, limit: int) -> Paged:
        after = None if cursor is None else _parse_cursor(cursor)
        found = await self._orders.list_page(self._host.db, user_id, which, after, limit + 1)
        shown = found[:limit]
        return Paged(list(shown), _format_cursor(shown[-1]) if len(found) > limit else None)


def _found(order: OrderView | None) -> OrderView:
    if order is None:
        raise DoramiError("ORDER_NOT_FOUND")
    return order


def _units(order: OrderView) -> list[Units]:
    return [Units(item.variant_id, item.quantity) for item in order.items]


def _format_cursor(order: OrderView) -> str:
    return base64.urlsafe_b64encode(f"{order.created_at.isoformat()}|{order.id}".encode()).decode()


def _parse_cursor(text: str) -> store.Cursor:
    try:
        created, order_id = base64.urlsafe_b64decode(text).decode().split("|")
        after = store.Cursor(datetime.fromisoformat(created), order_id)
    except (ValueError, binascii.Error):
        raise invalid("cursor", "is not one of ours") from None
    if after.created_at.tzinfo is None or "\x00" in order_id:
        raise invalid("cursor", "is not one of ours")
    return after
