"""The selling plugins with the waitlist."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from dorami_cart.api import AddToCart
from dorami_cart.plugin import CartPlugin
from dorami_catalog.plugin import CatalogPlugin
from dorami_catalog.verify import verify
from dorami_orders.plugin import OrdersPlugin
from dorami_reservation.api import JoinQueue, ReservationApi
from dorami_reservation.model import ReservationSettings
from dorami_reservation.plugin import ReservationPlugin

from dorami_core.hooks.plugin import Plugin
from dorami_core.store.migrations import MigrationSource
from dorami_core.testing.host import migrations_of, open_bench
from tests.plugins.conftest import Selling


def plugins() -> list[Plugin]:
    return [CatalogPlugin(), CartPlugin(), OrdersPlugin(), ReservationPlugin()]


@pytest.fixture(scope="session")
def reservation_sources() -> tuple[MigrationSource, ...]:
    return migrations_of(plugins())


@pytest.fixture
def migration_sources(reservation_sources: tuple[MigrationSource, ...]) -> tuple[MigrationSource, ...]:
    return reservation_sources


class Queueing(Selling):
    """A shop where one can wait."""

    @property
    def queue(self) -> ReservationApi:
        return self.bench.api(ReservationApi)

    async def wait(self, user: Any, product: Any, quantity: int = 1, **fields: Any) -> Any:
        return await self.queue.join(user, JoinQueue(product_id=product.id, quantity=quantity, **fields))

    async def add_or_wait(self, user: Any, product: Any, quantity: int = 1, **fields: Any) -> Any:
        wish = AddToCart(product_id=product.id, quantity=quantity, wait=True, **fields)
        return await self.cart.add(user, wish)

    async def sold_out(self, quantity: int = 1, **fields: Any) -> tuple[Any, Any]:
        """A product whose units are all in the cart of one buyer, and the buyer."""
        product, holder = await self.product(quantity, **fields), self.user("먼저")
        await self.add(holder, product, quantity)
        return product, holder

    async def give_back(self, user: Any) -> None:
        for line in (await self.cart.view(user.id)).items:
            await self.cart.remove(user.id, line.id)

    async def state(self, place: Any) -> str:
        row = await self.bench.db.fetchrow("SELECT * FROM reservation.places WHERE id = $1", place.id)
        return str(row["status"])

    async def check_proof(self) -> None:
        """What was written down of all that happened obeys the rules, and is all of it."""
        show = await self.catalog.export_show("live-show")
        assert verify(show).problems == []

    async def check_queues(self) -> None:
        """What waits is counted right, numbers are dense, and no head is left waiting for what it could have."""
        wrong = await self.bench.db.fetch(
            """SELECT v.id FROM catalog.variants v WHERE v.waiting <>
                 (SELECT count(*) FROM reservation.places p WHERE p.variant_id = v.id AND p.status = 'WAITING')"""
        )
        assert [row["id"] for row in wrong] == []
        numbers = await self.bench.db.fetch(
            "SELECT product_id, array_agg(number ORDER BY number) AS n FROM reservation.places GROUP BY 1"
        )
        for row in numbers:
            assert row["n"] == list(range(1, len(row["n"]) + 1))
        idle = await self.bench.db.fetch(
            """SELECT p.id FROM catalog.variants v JOIN catalog.products c ON c.id = v.product_id
               CROSS JOIN LATERAL (SELECT * FROM reservation.places WHERE variant_id = v.id AND status = 'WAITING'
                                   ORDER BY number LIMIT 1) p
               WHERE NOT c.sold_out_by_hand AND c.deleted_at IS NULL AND v.on_hand - v.held - v.committed >=
                     CASE WHEN p.accept_partial THEN 1 ELSE p.quantity END"""
        )
        assert [row["id"] for row in idle] == []
        lost = await self.bench.db.fetch(
            """SELECT p.id FROM reservation.places p LEFT JOIN cart.items i
                      ON i.id = p.item_id AND i.reservation_id = p.id AND i.status = 'ACTIVE'
               WHERE (p.status = 'PROMOTED') <> (i.id IS NOT NULL)"""
        )
        assert [row["id"] for row in lost] == []


@pytest.fixture
async def shop(database_url: str, selling_settings: dict[str, Any]) -> AsyncIterator[Queueing]:
    settings = {**selling_settings, "reservation": ReservationSettings(hold_s=300)}
    async with open_bench(database_url, plugins(), settings=settings) as bench:
        bench.streams.put("live-show")
        shop = Queueing(bench)
        yield shop
        await shop.check_invariants()
        await shop.check_queues()
        await shop.check_proof()
