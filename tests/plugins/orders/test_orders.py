"""The rules of orders, one by one."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import trio
from dorami_orders.api import OrderFilter
from dorami_orders.fees import fee_of
from dorami_orders.model import OrderBody
from dorami_orders.states import CHANGES, Step, change_for

from dorami_core.base.errors import DoramiError
from dorami_core.base.money import Money
from dorami_core.base.structure import from_json, to_json


async def refused(awaitable: Any, code: str) -> DoramiError:
    with pytest.raises(DoramiError) as caught:
        await awaitable
    assert caught.value.code == code
    return caught.value


async def buy(selling: Any, quantity: int = 2, stock: int = 5, **order: Any) -> tuple[Any, Any, Any]:
    """A product, its buyer and the order."""
    product = await selling.product(stock)
    buyer = selling.user()
    await selling.add(buyer, product, quantity)
    return product, buyer, await selling.order(buyer, **order)


async def test_an_order_takes_the_whole_cart(selling: Any) -> None:
    product, other = await selling.product(5), await selling.product(5, price="2.50")
    buyer = selling.user()
    await selling.add(buyer, product, 2)
    await selling.add(buyer, other, 1)
    order = await selling.order(buyer)
    shown = to_json(order)
    assert re.fullmatch(r"ORD-\d{8}-00001", shown["id"])
    assert (shown["subtotal"], shown["shippingFee"], shown["total"]) == ("22.50", "5.00", "27.50")
    assert (shown["status"], shown["shippingStatus"], shown["pointsUsed"]) == ("PENDING_PAYMENT", "NONE", 0)
    assert [(item["name"], item["quantity"], item["unitPrice"]) for item in shown["items"]] == [
        ("니트", 2, "10.00"),
        ("니트", 1, "2.50"),
    ]
    assert shown["shippingAddress"] == {"name": "민수", "address": "1 Main St", "zip": "90001"}
    assert "000000" in shown["payTo"]
    assert order.expires_at - order.created_at == timedelta(hours=1)
    assert (await selling.cart.view(buyer.id)).items == []
    assert await selling.stock(product) == (5, 0, 2)
    await refused(selling.order(buyer), "CART_EMPTY")


async def test_what_was_ordered_stays_as_it_was(selling: Any) -> None:
    product, _, order = await buy(selling)
    await selling.patch(product, name="새 이름", price="99.00")
    assert [(item.name, str(item.unit_price)) for item in (await selling.orders.get(order.id)).items] == [
        ("니트", "10.00")
    ]


async def test_a_named_order_said_again_is_the_same_one(selling: Any) -> None:
    product, buyer = await selling.product(5), selling.user()
    await selling.add(buyer, product)
    order = await selling.order(buyer, key="tap")
    await selling.add(buyer, product, 2)
    assert (await selling.order(buyer, key="tap")).id == order.id
    assert await selling.stock(product) == (5, 2, 1)
    await refused(selling.order(selling.user(), key="tap"), "CART_EMPTY")


async def test_numbers_of_a_day_ascend_in_the_shops_time_zone(selling: Any) -> None:
    day = await selling.bench.db.fetchval("SELECT to_char(core.now() AT TIME ZONE 'Asia/Seoul', 'YYYYMMDD')")
    numbers = [(await buy(selling))[2].id for _ in range(3)]
    assert numbers == [f"ORD-{day}-0000{number}" for number in (1, 2, 3)]
    await selling.pass_time(86_400)
    assert (await buy(selling))[2].id.endswith("-00001")


async def test_numbers_are_unique_when_many_order_at_once(selling: Any) -> None:
    product = await selling.product(30)
    found = []

    async def one() -> None:
        buyer = selling.user()
        await selling.add(buyer, product)
        found.append((await selling.order(buyer)).id)

    async with trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(one)
    assert len(set(found)) == 30
    assert await selling.stock(product) == (30, 0, 30)


@pytest.mark.parametrize("swept", [False, True])
async def test_one_dead_item_fails_the_order_and_nothing_else_changes(selling: Any, swept: bool) -> None:
    short, long = await selling.product(5, hold_seconds=10), await selling.product(5)
    buyer = selling.user()
    dead = await selling.add(buyer, short, 1)
    await selling.add(buyer, long, 2)
    await selling.pass_time(11)
    if swept:
        await selling.bench.fire_deadlines()
    error = await refused(selling.order(buyer), "CART_EXPIRED")
    assert [item["id"] for item in error.details["items"]] == [dead["id"]]
    assert [line.product_id for line in (await selling.cart.view(buyer.id)).items] == [long.id]
    assert await selling.stock(long) == (5, 2, 0)
    await selling.bench.fire_deadlines()
    assert [item.product_id for item in (await selling.order(buyer)).items] == [long.id]


async def test_an_expired_item_that_was_put_in_again_is_no_surprise(selling: Any) -> None:
    product = await selling.product(5, hold_seconds=10)
    buyer = selling.user()
    await selling.add(buyer, product)
    await selling.pass_time(11)
    await selling.bench.fire_deadlines()
    await selling.add(buyer, product)
    assert (await selling.order(buyer)).items[0].quantity == 1


async def test_free_shipping_needs_every_broadcast(selling: Any) -> None:
    selling.bench.streams.put("free-show", free_shipping_enabled=True)
    free, paid = await selling.product(9, stream_key="free-show"), await selling.product(9)
    nowhere = await selling.product(9, stream_key=None)
    for others, fee in (([], "0.00"), ([paid], "5.00"), ([nowhere], "5.00")):
        buyer = selling.user()
        for product in (free, *others):
            await selling.add(buyer, product)
        assert str((await selling.order(buyer)).shipping_fee) == fee


async def test_an_order_of_nothing_is_paid_at_once(selling: Any) -> None:
    selling.bench.streams.put("free-show", free_shipping_enabled=True)
    product = await selling.product(5, price="0.00", stream_key="free-show")
    buyer = selling.user()
    await selling.add(buyer, product)
    order = await selling.order(buyer)
    assert (order.status, str(order.total), order.expires_at) == ("PAID", "0.00", None)
    assert await selling.bench.db.fetchval("SELECT count(*) FROM core.deadlines WHERE kind = 'order_unpaid'") == 0


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"depositor_name": "  "}, "VALIDATION_FAILED"),
        ({"depositor_name": "x" * 51}, "VALIDATION_FAILED"),
        ({"payment_method": "CASH"}, "VALIDATION_FAILED"),
        ({"points_to_use": -1}, "VALIDATION_FAILED"),
        ({"points_to_use": 1}, "INSUFFICIENT_POINTS"),
        ({"points_to_use": 10**9}, "INSUFFICIENT_POINTS"),
        ({"shipping_address": {}}, "VALIDATION_FAILED"),
        ({"shipping_address": {"name": " "}}, "VALIDATION_FAILED"),
        ({"shipping_address": {"name": "x" * 201}}, "VALIDATION_FAILED"),
    ],
)
async def test_bad_orders_change_nothing(selling: Any, wish: dict[str, Any], code: str) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    await selling.add(buyer, product)
    await refused(selling.order(buyer, **wish), code)
    assert await selling.stock(product) == (5, 1, 0)
    assert (await selling.orders.list_for(buyer.id)).items == []


async def test_an_address_is_needed_from_somewhere(selling: Any) -> None:
    product = await selling.product(5)
    buyer = selling.user(shipping_address=None)
    await selling.add(buyer, product)
    error = await refused(selling.order(buyer), "VALIDATION_FAILED")
    assert error.details["fields"][0]["field"] == "shippingAddress"
    order = await selling.order(buyer, shipping_address={"name": "민수", "zip": None, "city": " LA "})
    assert order.shipping_address == {"name": "민수", "city": "LA"}


@pytest.mark.parametrize(
    "change",
    [{"paymentMethod": "CASH"}, {"pointsToUse": "1"}, {"shippingAddress": []}, {"x": 1}, {"depositorName": None}],
)
def test_bad_bodies_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DoramiError) as caught:
        from_json({"depositorName": "민수", "paymentMethod": "ZELLE", **change}, OrderBody)
    assert caught.value.code == "VALIDATION_FAILED"


async def test_the_order_of_another_does_not_exist(selling: Any) -> None:
    _, buyer, order = await buy(selling)
    stranger = selling.user("남")
    await refused(selling.orders.get_for(stranger.id, order.id), "ORDER_NOT_FOUND")
    await refused(selling.orders.cancel(stranger, order.id), "ORDER_NOT_FOUND")
    for unknown in ("ORD-20260101-99999", "", "\x00", "ORD-20260101-99999' OR 1=1"):
        await refused(selling.orders.get(unknown), "ORDER_NOT_FOUND")
    assert (await selling.orders.get_for(buyer.id, order.id)).status == "PENDING_PAYMENT"


async def test_confirming_twice_answers_the_same(selling: Any) -> None:
    product, _, order = await buy(selling)
    paid = await selling.orders.confirm_payment(order.id)
    again = await selling.orders.confirm_payment(order.id)
    assert (paid.status, again.status, paid.paid_at) == ("PAID", "PAID", again.paid_at)
    assert await selling.stock(product) == (5, 0, 2)
    await selling.bench.deliver()
    (said,) = selling.bench.rooms.heard("live-show", "order:purchase:notification")
    assert said.data == {
        "streamKey": "live-show",
        "maskedName": "민*님",
        "items": [{"productId": str(product.id), "quantity": 2}],
    }


async def test_the_buyer_cancels_what_is_not_paid(selling: Any) -> None:
    product, buyer, order = await buy(selling)
    cancelled = await selling.orders.cancel(buyer, order.id)
    assert (cancelled.status, cancelled.refund_due) == ("CANCELLED", False)
    assert await selling.stock(product) == (5, 0, 0)
    assert (await selling.orders.cancel(buyer, order.id)).cancelled_at == cancelled.cancelled_at
    await refused(selling.orders.confirm_payment(order.id), "CONFLICT")
    assert await selling.stock(product) == (5, 0, 0)


async def test_the_shop_cancels_what_is_paid_and_not_shipped(selling: Any) -> None:
    product, buyer, order = await buy(selling)
    shop = selling.user("가게", role="ADMIN")
    await selling.orders.confirm_payment(order.id)
    await refused(selling.orders.cancel(buyer, order.id), "CONFLICT")
    cancelled = await selling.orders.cancel(shop, order.id)
    assert (cancelled.status, cancelled.refund_due) == ("CANCELLED", True)
    assert await selling.stock(product) == (5, 0, 0)


async def test_shipping_takes_units_out_of_the_house(selling: Any) -> None:
    product, _, order = await buy(selling)
    shop = selling.user("가게", role="ADMIN")
    await refused(selling.orders.set_shipping(order.id, "SHIPPED"), "CONFLICT")
    await selling.orders.confirm_payment(order.id)
    await refused(selling.orders.set_shipping(order.id, "DELIVERED"), "CONFLICT")
    assert (await selling.orders.set_shipping(order.id, "PREPARING")).shipping_status == "PREPARING"
    assert await selling.stock(product) == (5, 0, 2)
    shipped = await selling.orders.set_shipping(order.id, "SHIPPED", "CJ", "1234")
    assert (shipped.carrier, shipped.tracking_number) == ("CJ", "1234")
    assert await selling.stock(product) == (3, 0, 0)
    assert (await selling.orders.set_shipping(order.id, "SHIPPED", None, "5678")).carrier == "CJ"
    assert await selling.stock(product) == (3, 0, 0)
    await refused(selling.orders.set_shipping(order.id, "PREPARING"), "CONFLICT")
    await refused(selling.orders.cancel(shop, order.id), "CONFLICT")
    assert (await selling.orders.set_shipping(order.id, "DELIVERED")).shipping_status == "DELIVERED"
    assert (await selling.orders.get(order.id)).tracking_number == "5678"


async def test_an_unpaid_order_expires(selling: Any) -> None:
    product, buyer, order = await buy(selling)
    await selling.pass_time(3599)
    await selling.bench.fire_deadlines()
    assert (await selling.orders.get(order.id)).status == "PENDING_PAYMENT"
    await selling.pass_time(2)
    await selling.bench.fire_deadlines()
    assert (await selling.orders.get(order.id)).status == "EXPIRED"
    assert await selling.stock(product) == (5, 0, 0)
    await refused(selling.orders.cancel(buyer, order.id), "CONFLICT")


async def test_late_money_takes_the_stock_again(selling: Any) -> None:
    product, _, order = await buy(selling)
    await selling.pass_time(3601)
    await selling.bench.fire_deadlines()
    assert (await selling.orders.confirm_payment(order.id)).status == "PAID"
    assert await selling.stock(product) == (5, 0, 2)


async def test_late_money_without_stock_is_a_refund_task(selling: Any) -> None:
    product, _, order = await buy(selling, quantity=3, stock=4)
    await selling.pass_time(3601)
    await selling.bench.fire_deadlines()
    await selling.add(other := selling.user(), product, 2)
    for _ in range(2):
        await refused(selling.orders.confirm_payment(order.id), "INSUFFICIENT_STOCK")
    late = await selling.orders.get(order.id)
    assert (late.status, late.refund_due) == ("EXPIRED", True)
    assert await selling.stock(product) == (4, 2, 0)
    await selling.cart.remove(other.id, (await selling.cart.view(other.id)).items[0].id)
    paid = await selling.orders.confirm_payment(order.id)
    assert (paid.status, paid.refund_due) == ("PAID", False)


async def test_a_paid_order_does_not_expire(selling: Any) -> None:
    product, _, order = await buy(selling)
    await selling.orders.confirm_payment(order.id)
    await selling.pass_time(10_000)
    await selling.bench.fire_deadlines()
    assert (await selling.orders.get(order.id)).status == "PAID"
    assert await selling.stock(product) == (5, 0, 2)


async def test_lists_are_newest_first_and_paged(selling: Any) -> None:
    buyer = selling.user()
    product = await selling.product(9)
    made = []
    for _ in range(3):
        await selling.add(buyer, product)
        made.append((await selling.order(buyer)).id)
    await buy(selling)
    first = await selling.orders.list_for(buyer.id, None, 2)
    rest = await selling.orders.list_for(buyer.id, first.next_cursor, 2)
    assert [order.id for order in (*first.items, *rest.items)] == made[::-1]
    assert rest.next_cursor is None
    await selling.orders.confirm_payment(made[1])
    assert [order.id for order in (await selling.orders.admin_list(OrderFilter(status="PAID"))).items] == [made[1]]
    assert len((await selling.orders.admin_list()).items) == 4
    await refused(selling.orders.list_for(buyer.id, "nonsense"), "VALIDATION_FAILED")


async def test_the_shop_says_how_to_pay(selling: Any) -> None:
    shown = to_json(selling.orders.shop_info())
    assert [account["method"] for account in shown["accounts"]] == ["BANK_TRANSFER", "ZELLE"]
    assert (shown["currency"], shown["shippingFee"], shown["unpaidSeconds"]) == ("USD", "5.00", 3600)


def test_a_fee_fits_its_currency() -> None:
    assert fee_of("5.00", "USD") == Money(500, "USD")
    assert fee_of("3000.00", "KRW") == Money(3000, "KRW")
    with pytest.raises(ValueError, match="not an amount"):
        fee_of("5.50", "KRW")


def test_every_step_that_is_not_in_the_table_is_a_conflict() -> None:
    for step in Step:
        for status in ("PENDING_PAYMENT", "PAID", "CANCELLED", "EXPIRED"):
            if (step, status) in CHANGES:
                assert change_for(step, status, "NONE").to in ("PAID", "CANCELLED", "EXPIRED")
                continue
            with pytest.raises(DoramiError) as caught:
                change_for(step, status, "NONE")
            assert caught.value.code == "CONFLICT"
