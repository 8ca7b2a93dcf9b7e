"""The catalogue's hooks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dorami_catalog.api import CatalogApi
from dorami_catalog.demo import seed_products
from dorami_catalog.hookspecs import CatalogHooks
from dorami_catalog.model import (
    CODES,
    PRODUCT_EVENTS,
    ProductAdded,
    ProductDeleted,
    ProductMoved,
    ProductPinned,
    ProductSoldOut,
    ProductUpdated,
)
from dorami_catalog.pins import Pins
from dorami_catalog.routes import CatalogRoutes
from dorami_catalog.service import Catalog
from dorami_catalog.sockets import CatalogSockets
from dorami_core.hooks import (
    DemoSeed,
    ErrorCode,
    Event,
    EventMeta,
    Host,
    Plugin,
    Router,
    StreamKey,
    StreamView,
    Templates,
    Tx,
    hookimpl,
)


class CatalogPlugin(Plugin):
    """Products and their stock."""

    name = "dorami_catalog"

    @hookimpl
    def register_error_codes(self) -> Iterable[ErrorCode]:
        return CODES

    @hookimpl
    def register_migrations(self) -> str:
        return "dorami_catalog"

    @hookimpl
    def register_events(self) -> Iterable[type[Event]]:
        return PRODUCT_EVENTS

    @hookimpl
    def register_hookspecs(self) -> type:
        return CatalogHooks

    @hookimpl
    def register_services(self, host: Host) -> None:
        self._host = host
        self._catalog = Catalog(host)
        self._pins = Pins(host)
        self._sockets = CatalogSockets(host)
        host.provide(CatalogApi, self._catalog)  # type: ignore[type-abstract]

    @hookimpl
    def register_routes(self, router: Router) -> None:
        CatalogRoutes(self._catalog, self._pins, self._host.recordings).register(router)

    @hookimpl
    def register_templates(self) -> Templates:
        return Templates(package="dorami_catalog")

    @hookimpl
    def register_demo(self) -> DemoSeed:
        async def seed(stream_key: StreamKey) -> None:
            await seed_products(self._host, self._catalog, stream_key)

        return seed

    @hookimpl
    async def filter_stream_snapshot(self, value: dict[str, Any], stream: StreamView) -> dict[str, Any]:
        return await self._sockets.snapshot(value, stream)

    @hookimpl
    async def on_product_added(self, event: ProductAdded, meta: EventMeta) -> None:
        await self._sockets.added(event)

    @hookimpl
    async def on_product_updated(self, event: ProductUpdated, meta: EventMeta) -> None:
        await self._sockets.changed(event, "live:product:updated")

    @hookimpl
    async def on_product_sold_out(self, event: ProductSoldOut, meta: EventMeta) -> None:
        await self._sockets.changed(event, "live:product:soldout")

    @hookimpl
    async def on_product_moved(self, event: ProductMoved, meta: EventMeta) -> None:
        await self._sockets.moved(event)

    @hookimpl
    async def on_product_pinned(self, event: ProductPinned, meta: EventMeta) -> None:
        await self._sockets.pinned(event)

    @hookimpl
    async def stream_ended_in_tx(self, tx: Tx, stream: StreamView) -> None:
        await self._pins.end(tx, stream)

    @hookimpl
    async def on_product_deleted(self, event: ProductDeleted, meta: EventMeta) -> None:
        await self._sockets.deleted(event)
