"""The three selling plugins on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import attrs
import pytest
from dorami_cart.api import AddToCart, CartApi
from dorami_cart.model import CartSettings
from dorami_cart.plugin import CartPlugin
from dorami_catalog.api import CatalogApi, ProductView
from dorami_catalog.model import NewProduct, ProductPatch, VariantInput
from dorami_catalog.plugin import CatalogPlugin
from dorami_catalog.service import Catalog
from dorami_orders.api import OrdersApi, OrderView, PlaceOrder
from dorami_orders.model import OrderSettings
from dorami_orders.plugin import OrdersPlugin

from dorami_core.base.principal import UserIdentity
from dorami_core.store.migrations import MigrationSource
from dorami_core.testing.clock import move_database_clock
from dorami_core.testing.host import Bench, migrations_of, open_bench

ADDRESS = {"name": "민수", "address": "1 Main St", "zip": "90001"}


@attrs.frozen
class Selling:
    """A shop with one broadcast, `live-show`."""

    bench: Bench

    @property
    def catalog(self) -> Catalog:
        catalog = self.bench.api(CatalogApi)
        assert isinstance(catalog, Catalog)
        return catalog

    @property
    def cart(self) -> CartApi:
        return self.bench.api(CartApi)

    @property
    def orders(self) -> OrdersApi:
        return self.bench.api(OrdersApi)

    async def product(self, quantity: int = 5, **fields: Any) -> ProductView:
        values = {"name": "니트", "price": "10.00", "stream_key": "live-show", "quantity": quantity, **fields}
        return await self.catalog.create(NewProduct(**values))

    async def product_in_sizes(self, **sizes: int) -> ProductView:
        variants = [VariantInput(size=size, quantity=quantity) for size, quantity in sizes.items()]
        return await self.catalog.create(
            NewProduct(name="니트", price="10.00", stream_key="live-show", variants=variants)
        )

    async def patch(self, product: ProductView, **fields: Any) -> ProductView:
        return await self.catalog.change(product.id, ProductPatch(**fields))

    def user(self, name: str = "민수", **facts: Any) -> UserIdentity:
        return self.bench.users.put(name, **{"shipping_address": ADDRESS, **facts})

    async def add(
        self, user: UserIdentity, product: ProductView | UUID, quantity: int = 1, **fields: Any
    ) -> dict[str, Any]:
        product_id = product if isinstance(product, UUID) else product.id
        answer = await self.cart.add(user, AddToCart(product_id=product_id, quantity=quantity, **fields))
        assert answer.item is not None
        return answer.item

    async def order(self, user: UserIdentity, **fields: Any) -> OrderView:
        wish = PlaceOrder(**{"depositor_name": "민수", "payment_method": "BANK_TRANSFER", **fields})
        return await self.orders.create(user, wish)

    async def pass_time(self, seconds: float) -> None:
        await move_database_clock(self.bench.db, seconds)

    async def stock(self, product: ProductView) -> tuple[int, int, int]:
        """On hand, held and committed of all its variants."""
        row = await self.bench.db.fetchrow(
            "SELECT sum(on_hand) AS h, sum(held) AS c, sum(committed) AS o FROM catalog.variants WHERE product_id = $1",
            product.id,
        )
        return row["h"], row["c"], row["o"]

    async def check_invariants(self) -> None:
        """The counters are what the lines of carts and orders add up to."""
        wrong = await self.bench.db.fetch(
            """SELECT v.id, v.held, v.committed,
                      coalesce((SELECT sum(quantity) FROM cart.items i
                                WHERE i.variant_id = v.id AND i.status = 'ACTIVE'), 0) AS in_carts,
                      coalesce((SELECT sum(i.quantity) FROM orders.items i JOIN orders.orders o ON o.id = i.order_id
                                WHERE i.variant_id = v.id AND o.status IN ('PENDING_PAYMENT', 'PAID')
                                  AND o.shipping_status IN ('NONE', 'PREPARING')), 0) AS in_orders
               FROM catalog.variants v"""
        )
        for row in wrong:
            assert (row["held"], row["committed"]) == (row["in_carts"], row["in_orders"]), dict(row)


@pytest.fixture
def selling_settings() -> dict[str, Any]:
    return {"cart": CartSettings(hold_s=600), "orders": OrderSettings(unpaid_s=3600)}


@pytest.fixture(scope="session")
def selling_sources() -> tuple[MigrationSource, ...]:
    return migrations_of([CatalogPlugin(), CartPlugin(), OrdersPlugin()])


@pytest.fixture
def migration_sources(selling_sources: tuple[MigrationSource, ...]) -> tuple[MigrationSource, ...]:
    return selling_sources


@pytest.fixture
async def selling(database_url: str, selling_settings: dict[str, Any]) -> AsyncIterator[Selling]:
    plugins = [CatalogPlugin(), CartPlugin(), OrdersPlugin()]
    async with open_bench(database_url, plugins, settings=selling_settings) as bench:
        bench.streams.put("live-show")
        shop = Selling(bench)
        yield shop
        await shop.check_invariants()
