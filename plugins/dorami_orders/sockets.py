"""What orders say to viewers of a broadcast."""

from __future__ import annotations

from typing import Any

from dorami_catalog.api import CatalogApi

from dorami_core.hooks import Delivery, Host
from dorami_orders.model import OrderPaid


class OrderSockets:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._catalog: CatalogApi = host.api(CatalogApi)  # type: ignore[type-abstract]

    async def say_purchase(self, event: OrderPaid) -> None:
        """To each broadcast, of what it shows of the order, without saying who."""
        shown_in = await self._catalog.broadcasts([item.product_id for item in event.items])
        by_stream: dict[str, list[dict[str, Any]]] = {}
        for item in event.items:
            units = {"productId": str(item.product_id), "quantity": item.quantity}
            for stream_key in shown_in.get(item.product_id, []):
                by_stream.setdefault(stream_key, []).append(units)
        for stream_key, items in by_stream.items():
            data = {"streamKey": stream_key, "maskedName": event.masked_name, "items": items}
            self._host.rooms.emit("/", stream_key, "order:purchase:notification", data, delivery=Delivery.DROPPABLE)
