"""Orders as a table for a spreadsheet: one line for each item, what belongs to the whole order on its first line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from dorami_orders.api import OrderView

COLUMNS = (
    *("order", "createdAt", "status", "shippingStatus", "depositorName", "paymentMethod"),
    *("product", "color", "size", "quantity", "unitPrice", "lineTotal"),
    *("subtotal", "pointsUsed", "shippingFee", "total", "currency"),
    *("carrier", "trackingNumber", "shippingAddress"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(orders: Iterable[OrderView], timezone: str) -> str:
    """RFC 4180, times in the shop's zone."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for order in orders:
        created = order.created_at.astimezone(ZoneInfo(timezone)).isoformat(timespec="seconds")
        head = [order.id, created, order.status, order.shipping_status, order.depositor_name, order.payment_method]
        sums = [order.subtotal, order.points_used, order.shipping_fee, order.total, order.currency]
        address = " / ".join(str(part) for part in order.shipping_address.values())
        tail = [order.carrier, order.tracking_number, address]
        for number, item in enumerate(order.items):
            line = [item.name, item.color, item.size, item.quantity, item.unit_price, item.line_total]
            whole = [*sums, *tail] if number == 0 else [""] * (len(sums) + len(tail))
            table.writerow([_cell(value) for value in (*head, *line, *whole)])
    return text.getvalue()


def _cell(value: object) -> str:
    """What a buyer wrote must not become a formula in the seller's spreadsheet."""
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
