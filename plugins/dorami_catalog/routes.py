"""The catalogue over HTTP."""

from __future__ import annotations

from typing import Any

import attrs

from dorami_catalog import table
from dorami_catalog.api import ProductView
from dorami_catalog.model import BulkBody, ImportBody, NewProduct, PinBody, ProductPatch, in_range
from dorami_catalog.pins import Pins, PinView
from dorami_catalog.service import Catalog
from dorami_core.hooks import Access, Paged, Request, Router, invalid


@attrs.frozen(kw_only=True)
class StoreQuery:
    cursor: str | None = None
    limit: int = attrs.field(default=50, validator=in_range(1, 100))


@attrs.frozen(kw_only=True)
class ProductQuery(StoreQuery):
    stream_key: str | None = None


class CatalogRoutes:
    def __init__(self, catalog: Catalog, pins: Pins) -> None:
        self._catalog = catalog
        self._pins = pins

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

    async def export(self, request: Request) -> dict[str, Any]:
        return await self._catalog.export_show(request.path_params["streamKey"])

    async def delete(self, request: Request) -> None:
        await self._catalog.delete(request.uuid("id", "PRODUCT_NOT_FOUND"))
