"""The moment an order is paid: the same for a confirmed transfer and for an order of nothing."""

from __future__ import annotations

from dorami_core.hooks import Host, Tx
from dorami_orders import store
from dorami_orders.api import OrderView
from dorami_orders.model import OrderedUnits, OrderPaid


async def mark_paid(host: Host, orders: store.OrderStore, tx: Tx, order: OrderView) -> OrderView:
    """Writes it, tells the plugins inside the transaction, and emits OrderPaid. The order is locked."""
    await store.set_status(tx, order.id, "PAID")
    paid = await orders.find(tx, order.id)
    assert paid is not None
    units = [
        OrderedUnits(product_id=item.product_id, stream_key=item.stream_key, quantity=item.quantity)
        for item in paid.items
    ]
    name = await store.masked_name(tx, order.id)
    tx.emit(OrderPaid(order_id=paid.id, user_id=paid.user_id, total=paid.total, masked_name=name, items=units))
    await host.hooks.in_tx("order_paid_in_tx", tx, order=paid)
    return paid
