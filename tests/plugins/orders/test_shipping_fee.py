"""What shipping costs: flat, or free from an amount of goods."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from dorami_cart.plugin import CartPlugin
from dorami_catalog.plugin import CatalogPlugin
from dorami_orders.model import OrderSettings
from dorami_orders.plugin import OrdersPlugin

from dorami_core.testing.host import open_bench
from tests.plugins.conftest import Selling


@pytest.fixture
async def generous(database_url: str) -> AsyncIterator[Selling]:
    settings = {"orders": OrderSettings(shipping_fee="3.50", free_shipping_from="30.00")}
    async with open_bench(database_url, [CatalogPlugin(), CartPlugin(), OrdersPlugin()], settings=settings) as bench:
        bench.streams.put("live-show")
        yield Selling(bench)


@pytest.mark.parametrize(("price", "fee", "total"), [("29.99", "3.50", "33.49"), ("30.00", "0.00", "30.00")])
async def test_from_an_amount_it_is_free(generous: Selling, price: str, fee: str, total: str) -> None:
    product, buyer = await generous.product(5, price=price), generous.user()
    await generous.add(buyer, product)
    order = await generous.order(buyer)
    assert (str(order.shipping_fee), str(order.total)) == (fee, total)
    info = generous.orders.shop_info()
    assert (str(info.shipping_fee), str(info.free_shipping_from)) == ("3.50", "30.00")


async def test_without_the_setting_it_is_flat(selling: Selling) -> None:
    product, buyer = await selling.product(5, price="900.00"), selling.user()
    await selling.add(buyer, product)
    assert str((await selling.order(buyer)).shipping_fee) == "5.00"
    assert selling.orders.shop_info().free_shipping_from is None
