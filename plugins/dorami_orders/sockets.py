"""What orders say to viewers of a broadcast."""

from __future__ import annotations

from typing import Any

from dorami_core.hooks import Delivery, Host
from dorami_orders.model import OrderPaid


class OrderSockets:
    def __init__(self, host: Host) -> None:
        self._host = host

    def say_purchase(self, event: OrderPaid) -> None:
        """To each broadcast, of what was bought from it, without saying who."""
        by_stream: dict[str, list[dict[str, Any]]] = {}
        for item in event.items:
            if item.stream_key is not None:
                units = {"productId": str(item.product_id), "quantity": item.quantity}
                by_stream.setdefault(item.stream_key, []).append(units)
        for stream_key, items in by_stream.items():
            data = {"streamKey": stream_key, "maskedName": event.masked_name, "items": items}
            self._host.rooms.emit("/", stream_key, "order:purchase:notification", data, delivery=Delivery.DROPPABLE)
