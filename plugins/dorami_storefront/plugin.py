"""The storefront as a plugin: templates, static files and pages; nothing else in Dorami knows of it."""

from __future__ import annotations

from pathlib import Path

from dorami_cart.api import CartApi
from dorami_catalog.api import CatalogApi
from dorami_orders.api import OrdersApi
from dorami_points.api import PointsApi
from dorami_reservation.api import ReservationApi

from dorami_core.hooks import Host, Plugin, Router, Templates, hookimpl
from dorami_storefront.assets import Assets
from dorami_storefront.pages import account, admin, cart, checkout, order_desk, points, replay, shop, waiting
from dorami_storefront.site import Site
from dorami_storefront.texts import Texts

_HERE = Path(__file__).parent


class StorefrontPlugin(Plugin):
    """Server-rendered pages over the public APIs of the catalogue, the cart and the orders."""

    name = "dorami_storefront"
    requires = ("dorami_catalog", "dorami_cart", "dorami_orders", "dorami_reservation", "dorami_points")

    def __init__(self) -> None:
        self._site: Site | None = None

    @hookimpl
    def register_templates(self) -> Templates:
        return Templates(package="dorami_storefront")

    @hookimpl
    def register_services(self, host: Host) -> None:
        self._site = Site(
            host=host,
            catalog=host.api(CatalogApi),  # type: ignore[type-abstract]
            cart=host.api(CartApi),  # type: ignore[type-abstract]
            orders=host.api(OrdersApi),  # type: ignore[type-abstract]
            queue=host.api(ReservationApi),  # type: ignore[type-abstract]
            points=host.api(PointsApi),  # type: ignore[type-abstract]
            assets=Assets.load(_HERE / "static" / "dist"),
            texts=Texts.load(_HERE / "messages"),
        )

    @hookimpl
    def register_routes(self, router: Router) -> None:
        if self._site is None:
            raise RuntimeError("services come before routes")
        for pages in (shop, replay, cart, checkout, account, admin, order_desk, points, waiting):
            pages.register(router, self._site)
