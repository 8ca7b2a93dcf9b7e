"""What the catalogue says to viewers of a broadcast."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from dorami_catalog import pins, store
from dorami_catalog.api import ProductView
from dorami_catalog.model import ProductAdded, ProductDeleted, ProductEvent, ProductMoved, ProductPinned
from dorami_core.hooks import Host, StreamView, both, to_json

REMEMBERED = 10_000


class CatalogSockets:
    """Emits to rooms `{streamKey}` of namespace `/`. An event names a product; what is sent is the product of now."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._said: OrderedDict[UUID, int] = OrderedDict()

    async def added(self, event: ProductAdded) -> None:
        """`live:product:added`, to the broadcast that it came to; others hear of an update, by an event of its own."""
        product = await store.find(self._host.db, event.product_id)
        if product is None or event.stream_key not in product.stream_keys:
            return
        if len(product.stream_keys) == 1:
            self._remember(product)
        self._host.rooms.emit("/", event.stream_key, "live:product:added", to_json(product))

    async def changed(self, event: ProductEvent, name: str) -> None:
        """`live:product:updated` or `:soldout`, to all broadcasts that show it. Sent once for several events that were
        waiting: rooms that have heard a newer version need no older one."""
        if name == "live:product:updated" and self._said.get(event.product_id, 0) >= event.version:
            return
        product = await store.find(self._host.db, event.product_id)
        if product is None:
            return
        if name == "live:product:soldout" and product.available > 0:
            name = "live:product:updated"
        self._remember(product)
        data = to_json(product)
        for stream_key in product.stream_keys:
            self._host.rooms.emit("/", stream_key, name, data)

    async def moved(self, event: ProductMoved) -> None:
        """To the broadcast that it left."""
        if event.stream_key is not None:
            self._tell_gone(event, [event.stream_key])

    async def deleted(self, event: ProductDeleted) -> None:
        self._tell_gone(event, (await store.broadcasts(self._host.db, [event.product_id])).get(event.product_id, []))

    def _tell_gone(self, event: ProductMoved | ProductDeleted, stream_keys: Sequence[str]) -> None:
        self._said.pop(event.product_id, None)
        data = {"id": str(event.product_id), "version": event.version}
        for stream_key in stream_keys:
            self._host.rooms.emit("/", stream_key, "live:product:deleted", data)

    async def pinned(self, event: ProductPinned) -> None:
        """`live:product:pinned`: what is shown by now."""
        shown = await pins.find(self._host.db, event.stream_key)
        self._host.rooms.emit("/", event.stream_key, "live:product:pinned", to_json(shown))

    async def snapshot(self, value: dict[str, Any], stream: StreamView) -> dict[str, Any]:
        """The part of `join:stream`'s acknowledgement."""
        db, key = self._host.db, stream.stream_key
        products, pin = await both(partial(store.list_page, db, key, None, store.LIST_MAX), partial(pins.find, db, key))
        return {
            "pinnedProductId": None if pin.product_id is None else str(pin.product_id),
            **value,
            "products": [to_json(product) for product in products],
        }

    def _remember(self, product: ProductView) -> None:
        self._said[product.id] = product.version
        self._said.move_to_end(product.id)
        if len(self._said) > REMEMBERED:
            self._said.popitem(last=False)
