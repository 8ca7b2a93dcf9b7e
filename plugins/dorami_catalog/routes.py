"""The catalogue over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import attrs

from dorami_catalog import table
from dorami_catalog.api import ProductView
from dorami_catalog.model import BulkBody, ImportBody, NewProduct, PinBody, ProductPatch, in_range
from dorami_catalog.pins import Pins, PinView
from dorami_catalog.service import Catalog
from dorami_core.hooks import Access, Paged, Recordings, Request, Router, invalid


@attrs.frozen(kw_only=True)
class StoreQuery:
    cursor: str | None = None
    limit: int = attrs.field(default=50, validator=in_range(1, 100))


@attrs.frozen(kw_only=True)
class ProductQuery(StoreQuery):
    stream_key: str | None = None


@attrs.frozen(kw_only=True)
class ReplayShowing:
    """When a product was the one shown, in milliseconds of the replay."""

    product_id: UUID
    from_ms: int
    until_ms: int


class CatalogRoutes:
    def __init__(self, catalog: Catalog, pins: Pins, recordings: Recordings) -> None:
        self._catalog = catalog
        self._pins = pins
        self._recordings = recordings

    def register(self, router: Router) -> None:
        router.api(
            "POST",
            "/api/products",
            self.create,
            access=Access.ADMIN,
            body=NewProduct,
            response=ProductView,
            status=201,
            summary="Make a product",
        )
        router.api(
            "GET",
            "/api/products",
            self.index,
            access=Access.PUBLIC,
            query=ProductQuery,
            summary="Products of a broadcast",
        )
        router.api(
            "GET",
            "/api/store/products",
            self.store,
            access=Access.PUBLIC,
            query=StoreQuery,
            summary="All that is on sale",
        )
        path = "/api/products/{id}"
        router.api("GET", path, self.show, access=Access.PUBLIC, response=ProductView, summary="One product")
        router.api(
            "PATCH",
            path,
            self.change,
            access=Access.ADMIN,
            body=ProductPatch,
            response=ProductView,
            summary="Change a product",
        )
        router.api("DELETE", path, self.delete, access=Access.ADMIN, summary="Take a product out of the shop")

        router.api(
            "POST",
            "/api/products/import",
            self.bring_in,
            access=Access.ADMIN,
            body=ImportBody,
            status=201,
            summary="Make products of a table (CSV, or pasted from a spreadsheet): all or none",
        )
        router.api(
            "PATCH",
            "/api/products",
            self.change_many,
            access=Access.ADMIN,
            body=BulkBody,
            summary="The same change of many products: all or none",
        )
        router.api(
            "PUT",
            "/api/streams/{streamKey}/pin",
            self.pin,
            access=Access.ADMIN,
            body=PinBody,
            response=PinView,
            summary="Show a product now, or none",
        )
        router.api(
            "GET",
            "/api/replays/{id}/showings",
            self.showings,
            access=Access.PUBLIC,
            summary="Which product was shown when, in a replay",
        )
        router.api(
            "GET",
            "/api/products/{id}/clips",
            self.clips,
            access=Access.PUBLIC,
            summary="Clips of the times when a product was shown, newest first",
        )
        router.api(
            "GET",
            "/api/admin/shows/{streamKey}/ledger",
            self.export,
            access=Access.ADMIN,
            summary="The proof of a broadcast's sales, without any person: for dorami verify-show",
        )

    async def create(self, request: Request, body: NewProduct) -> ProductView:
        return await self._catalog.create(body)

    async def index(self, request: Request, query: ProductQuery) -> Paged:
        return await self._catalog.page(query.stream_key, query.cursor, query.limit)

    async def store(self, request: Request, query: StoreQuery) -> Paged:
        return await self._catalog.page(None, query.cursor, query.limit)

    async def show(self, request: Request) -> ProductView:
        return await self._catalog.get(request.uuid("id", "PRODUCT_NOT_FOUND"))

    async def change(self, request: Request, body: ProductPatch) -> ProductView:
        return await self._catalog.change(request.uuid("id", "PRODUCT_NOT_FOUND"), body)

    async def bring_in(self, request: Request, body: ImportBody) -> Paged:
        return Paged(list(await self._catalog.create_many(table.read(body.csv, body.stream_key))), None)

    async def change_many(self, request: Request, body: BulkBody) -> Paged:
        if not 1 <= len(body.ids) <= table.MAX_PRODUCTS:
            raise invalid("ids", f"must be 1 to {table.MAX_PRODUCTS}")
        return Paged(list(await self._catalog.change_many(body.ids, body.patch)), None)

    async def pin(self, request: Request, body: PinBody) -> PinView:
        return await self._pins.pin(request.path_params["streamKey"], body.product_id)

    async def showings(self, request: Request) -> Paged:
        replay_id, staff = request.uuid("id", "REPLAY_NOT_FOUND"), request.principal.is_admin
        replay = await self._recordings.replay(replay_id, staff=staff)
        found = await self._catalog.showings(replay.stream_key, replay.started_at, replay.ended_at)
        at_ms = replay.timeline.at_ms
        return Paged(
            [
                ReplayShowing(
                    product_id=one.product_id,
                    from_ms=at_ms(one.since),
                    until_ms=at_ms(one.until or replay.ended_at),
                )
                for one in found
            ],
            None,
        )

    async def clips(self, request: Request) -> Paged:
        product = await self._catalog.get(request.uuid("id", "PRODUCT_NOT_FOUND"))
        return Paged(list(await self._recordings.clips([product.id], staff=request.principal.is_admin)), None)

    async def export(self, request: Request) -> dict[str, Any]:
        return await self._catalog.export_show(request.path_params["streamKey"])

    async def delete(self, request: Request) -> None:
        await self._catalog.delete(request.uuid("id", "PRODUCT_NOT_FOUND"))
