"""The selling plugins with points."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from dorami_cart.plugin import CartPlugin
from dorami_catalog.plugin import CatalogPlugin
from dorami_orders.plugin import OrdersPlugin
from dorami_points.api import Adjustment, PointsApi
from dorami_points.model import PointSettings
from dorami_points.plugin import PointsPlugin

from dorami_core.hooks.plugin import Plugin
from dorami_core.store.migrations import MigrationSource
from dorami_core.testing.host import migrations_of, open_bench
from tests.plugins.conftest import Selling

DAY = 86_400


def plugins() -> list[Plugin]:
    return [CatalogPlugin(), CartPlugin(), OrdersPlugin(), PointsPlugin()]


@pytest.fixture(scope="session")
def points_sources() -> tuple[MigrationSource, ...]:
    return migrations_of(plugins())


@pytest.fixture
def migration_sources(points_sources: tuple[MigrationSource, ...]) -> tuple[MigrationSource, ...]:
    return points_sources


class Shop(Selling):
    """A shop that gives points."""

    @property
    def points(self) -> PointsApi:
        return self.bench.api(PointsApi)

    async def balance(self, user: Any) -> int:
        return (await self.points.balance(user.id)).current_balance

    async def give(self, user: Any, amount: int) -> None:
        staff = self.user("주인", role="ADMIN")
        await self.points.adjust(staff, Adjustment(user_id=user.id, amount=amount, reason="선물"))

    async def buy(self, user: Any, product: Any, quantity: int = 1, points: int = 0) -> Any:
        await self.add(user, product, quantity)
        return await self.order(user, points_to_use=points)

    async def cancel(self, order: Any) -> Any:
        return await self.orders.cancel(self.user("주인", role="ADMIN"), order.id)

    async def kinds(self, user: Any) -> list[tuple[str, int]]:
        """Oldest first."""
        page = await self.points.transactions(user.id, None, 100)
        return [(entry.transaction_type, entry.amount) for entry in reversed(page.items)]


@pytest.fixture
async def shop(database_url: str, selling_settings: dict[str, Any]) -> AsyncIterator[Shop]:
    settings = {**selling_settings, "points": PointSettings(earn_rate=0.1, valid_days=30)}
    async with open_bench(database_url, plugins(), settings=settings) as bench:
        bench.streams.put("live-show")
        shop = Shop(bench)
        yield shop
        await shop.check_invariants()
        assert await shop.points.prove() == []
