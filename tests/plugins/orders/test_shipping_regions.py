"""What shipping costs more: the islands of Korea by postal code, states of the US."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from dorami_cart.plugin import CartPlugin
from dorami_catalog.plugin import CatalogPlugin
from dorami_orders.fees import check_rules
from dorami_orders.model import OrderSettings
from dorami_orders.plugin import OrdersPlugin
from dorami_orders.regions import Place, lies_in, place_of

from dorami_core.testing.host import open_bench
from tests.plugins.conftest import Selling

RULES = ["KR 63365 7.00", "KR jeju 3.00", "KR islands 5.00", "US AK,HI 10.00", "JP 90000-90700 2.50"]


@pytest.fixture
async def far(database_url: str) -> AsyncIterator[Selling]:
    settings = {"orders": OrderSettings(shipping_fee="3.50", free_shipping_from="30.00", surcharges=RULES)}
    async with open_bench(database_url, [CatalogPlugin(), CartPlugin(), OrdersPlugin()], settings=settings) as bench:
        bench.streams.put("live-show", free_shipping_enabled=True)
        bench.streams.put("paid-show")
        yield Selling(bench)


@pytest.mark.parametrize(
    ("address", "fee"),
    [
        ({"country": "KR", "postalCode": "04524"}, "3.50"),
        ({"country": "KR", "postalCode": "62999"}, "3.50"),
        ({"country": "KR", "postalCode": "63000"}, "6.50"),
        ({"country": "KR", "postalCode": "63644"}, "6.50"),
        ({"country": "KR", "postalCode": "63645"}, "3.50"),
        ({"country": "KR", "postalCode": "63365"}, "10.50"),
        ({"country": "KR", "postalCode": "40240"}, "8.50"),
        ({"country": "KR", "postalCode": "23117"}, "3.50"),
        ({"country": "대한민국", "postalCode": "(63 100)"}, "6.50"),
        ({"postalCode": "63100"}, "6.50"),
        ({"country": "US", "postalCode": "63100", "state": "MO"}, "3.50"),
        ({"country": "US", "postalCode": "99501-1234", "state": "AK"}, "13.50"),
        ({"country": "USA", "postalCode": "96813", "state": "Hawaii"}, "13.50"),
        ({"country": "US", "postalCode": "96813"}, "13.50"),
        ({"country": "US", "zip": "90001", "state": "CA"}, "3.50"),
        ({"country": "JP", "postalCode": "900-0001"}, "6.00"),
        ({"country": "KR", "postalCode": "631"}, "3.50"),
        ({"country": "KR"}, "3.50"),
    ],
)
async def test_the_first_rule_that_fits_is_added(far: Selling, address: dict[str, str], fee: str) -> None:
    product, buyer = await far.product(5, stream_key="paid-show"), far.user()
    await far.add(buyer, product)
    order = await far.order(buyer, shipping_address={"line1": "1", **address})
    assert str(order.shipping_fee) == fee
    assert order.shipping_fee == far.orders.shipping_fee(order.subtotal, address)


async def test_goods_that_ship_free_for_their_amount_pay_the_surcharge_alone(far: Selling) -> None:
    product, buyer = await far.product(5, price="30.00", stream_key="paid-show"), far.user()
    await far.add(buyer, product)
    order = await far.order(buyer, shipping_address={"country": "KR", "postalCode": "63100"})
    assert str(order.shipping_fee) == "3.00"


async def test_a_broadcast_that_ships_free_ships_everywhere(far: Selling) -> None:
    product, buyer = await far.product(5), far.user()
    await far.add(buyer, product)
    order = await far.order(buyer, shipping_address={"country": "KR", "postalCode": "63100"})
    assert str(order.shipping_fee) == "0.00"


async def test_buyers_can_know_it_before(far: Selling) -> None:
    shown = [(one.country, one.regions, str(one.amount)) for one in far.orders.shop_info().surcharges]
    assert shown[1] == ("KR", ["jeju"], "3.00")
    assert shown[3] == ("US", ["AK", "HI"], "10.00")


@pytest.mark.parametrize(
    "rule",
    ["", "KR jeju", "KR jeju 3,00", "kr jeju 3.00", "KR seoul 3.00", "US XX 1.00", "JP AK 1.00", "KR 630-636 1.00"],
)
def test_a_rule_that_means_nothing_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=r"must be country, regions and amount|has no region"):
        OrderSettings(surcharges=[rule])
    check_rules(RULES)


def test_a_state_is_known_by_its_code_its_name_or_its_zip() -> None:
    for address in ({"state": "ak"}, {"state": " Alaska "}, {"state": "CA", "postalCode": "99950"}):
        assert place_of({"country": "US", **address}, "KR").state == "AK"
    assert lies_in(Place("US", "00901", "PR"), "US", "PR")
    assert not lies_in(Place("KR", "00901", "PR"), "US", "PR")
