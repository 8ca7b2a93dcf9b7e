"""At most so many of a product for one buyer: over what is held, waited for and bought in orders that stand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import GuestId
from dorami_core.base.principal import Principal
from dorami_core.testing.host import open_bench
from tests.plugins.reservation.conftest import Queueing, plugins

PROCESSES = 4

COUNTED_WITHOUT_THE_LOCK = """
CREATE OR REPLACE FUNCTION catalog.over_limit(p_product uuid, p_buyer uuid, p_quantity integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    allowed bigint;
BEGIN
    SELECT max_per_buyer - catalog.units_of_buyer(p_product, p_buyer) INTO allowed
      FROM catalog.products WHERE id = p_product;
    PERFORM pg_sleep(0.05);
    RETURN CASE WHEN p_quantity > allowed THEN allowed END;
END
$$;
"""


async def refused(doing: Any, left: int) -> None:
    with pytest.raises(DoramiError) as found:
        await doing
    assert (found.value.code, found.value.details["left"]) == ("BUYER_LIMIT", left)


@pytest.fixture
async def processes(shop: Any, database_url: str, selling_settings: dict[str, Any]) -> AsyncIterator[list[Any]]:
    """The shop as several processes see it: only PostgreSQL decides between them."""
    async with AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(open_bench(database_url, plugins(), settings=selling_settings))
            for _ in range(PROCESSES - 1)
        ]
        yield [shop, *(Queueing(bench) for bench in others)]


async def rush(processes: list[Any], product: Any, buyer: Any) -> list[str]:
    """What a buyer hears who adds one unit in every process at once."""
    heard: list[str] = []

    async def add(shop: Any) -> None:
        try:
            await shop.add(buyer, product)
            heard.append("OK")
        except DoramiError as error:
            heard.append(error.code)

    async with trio.open_nursery() as nursery:
        for shop in processes:
            nursery.start_soon(add, shop)
    return sorted(heard)


async def test_two_adds_at_once_do_not_exceed_it(shop: Any, processes: list[Any]) -> None:
    product, buyer = await shop.product(50, max_per_buyer=1), shop.user()
    assert await rush(processes, product, buyer) == ["BUYER_LIMIT"] * 3 + ["OK"]
    assert await shop.stock(product) == (50, 1, 0)


async def test_without_the_lock_they_do(shop: Any, processes: list[Any]) -> None:
    product, buyer = await shop.product(50, max_per_buyer=1), shop.user()
    await shop.bench.db.execute(COUNTED_WITHOUT_THE_LOCK)
    assert (await rush(processes, product, buyer)).count("OK") > 1


async def test_adds_that_are_decided_together_do_not_exceed_it(shop: Any) -> None:
    """In one process they gather into one transaction."""
    product, buyer, other = await shop.product(50, max_per_buyer=2), shop.user(), shop.user()
    heard = await rush([shop] * 5, product, buyer)
    assert heard == ["BUYER_LIMIT"] * 3 + ["OK"] * 2
    await shop.add(other, product, 2)
    assert await shop.stock(product) == (50, 4, 0)


async def test_lines_in_the_cart_count_while_they_are_alive(shop: Any) -> None:
    product, buyer = await shop.product(9, max_per_buyer=3), shop.user()
    line = await shop.add(buyer, product, 2)
    await refused(shop.add(buyer, product, 2), 1)
    await refused(shop.cart.change(buyer.id, line_id(line), 4), 1)
    assert (await shop.cart.change(buyer.id, line_id(line), 3)).quantity == 3
    await shop.cart.change(buyer.id, line_id(line), 1)
    await shop.add(buyer, product, 2)
    await shop.pass_time(601)
    await shop.bench.fire_deadlines()
    await shop.add(buyer, product, 3)
    await shop.give_back(buyer)
    await refused(shop.add(buyer, product, 4), 3)
    assert (await shop.cart.view(buyer.id)).items == []


async def test_all_colours_and_sizes_count_together(shop: Any) -> None:
    product, buyer = await shop.product_in_sizes(S=5, M=5), shop.user()
    await shop.patch(product, max_per_buyer=2)
    await shop.add(buyer, product, 1, size="S")
    await refused(shop.add(buyer, product, 2, size="M"), 1)
    await shop.add(buyer, product, 1, size="M")


async def test_orders_count_while_they_stand(shop: Any) -> None:
    product, buyer, staff = await shop.product(9, max_per_buyer=2), shop.user(), shop.user("주인", role="ADMIN")
    await shop.add(buyer, product, 2)
    order = await shop.order(buyer)
    await refused(shop.add(buyer, product), 0)
    await shop.orders.confirm_payment(order.id)
    await shop.orders.set_shipping(order.id, "SHIPPED")
    await refused(shop.add(buyer, product), 0)
    second = await shop.product(9, max_per_buyer=2)
    await shop.add(buyer, second, 2)
    ended = await shop.order(buyer)
    await shop.orders.cancel(staff, ended.id)
    await shop.add(buyer, second, 2)
    expiring = await shop.order(buyer)
    await shop.pass_time(3601)
    await shop.bench.fire_deadlines()
    assert (await shop.orders.get(expiring.id)).status == "EXPIRED"
    await shop.add(buyer, second, 2)


async def test_places_in_the_queue_count(shop: Any) -> None:
    product, holder = await shop.sold_out(4, max_per_buyer=4)
    buyer = shop.user()
    await refused(shop.wait(buyer, product, 5), 4)
    place = await shop.wait(buyer, product, 3)
    with pytest.raises(DoramiError, match="RESERVATION_EXISTS"):
        await shop.wait(buyer, product, 3)
    await refused(shop.add(buyer, product, 2), 1)
    await refused(shop.add_or_wait(buyer, product, 2), 1)
    await shop.give_back(holder)
    assert await shop.state(place) == "PROMOTED"
    # What was given counts once: as the line of the cart that it is now.
    await shop.add(buyer, product, 1)
    await refused(shop.add(buyer, product, 1), 0)


@pytest.mark.parametrize("way", ["wait", "add_or_wait"])
async def test_places_that_are_given_together_do_not_exceed_it(shop: Any, way: str) -> None:
    """One buyer, two sizes, at once: in one process they may be decided in one transaction."""
    product, holder, buyer = await shop.product_in_sizes(S=1, M=1), shop.user(), shop.user()
    for size in ("S", "M"):
        await shop.add(holder, product, size=size)
    await shop.patch(product, max_per_buyer=1)
    heard: list[str] = []

    async def ask(size: str) -> None:
        try:
            await getattr(shop, way)(buyer, product, 1, size=size)
            heard.append("OK")
        except DoramiError as error:
            heard.append(error.code)

    async with trio.open_nursery() as nursery:
        for size in ("S", "M"):
            nursery.start_soon(ask, size)
    assert sorted(heard) == ["BUYER_LIMIT", "OK"]


async def test_a_place_that_was_left_counts_no_more(shop: Any) -> None:
    product, _ = await shop.sold_out(1, max_per_buyer=1)
    buyer = shop.user()
    place = await shop.wait(buyer, product)
    await refused(shop.add(buyer, product), 0)
    await shop.queue.leave(buyer.id, place.id)
    assert (await shop.wait(buyer, product)).reservation_number == 2


async def test_a_lower_limit_takes_nothing_away(shop: Any) -> None:
    product, buyer = await shop.product(9), shop.user()
    line = await shop.add(buyer, product, 5)
    await shop.patch(product, max_per_buyer=2)
    await refused(shop.add(buyer, product), 0)
    assert (await shop.cart.change(buyer.id, line_id(line), 4)).quantity == 4
    assert (await shop.order(buyer)).items[0].quantity == 4
    await shop.patch(product, max_per_buyer=None)
    await shop.add(buyer, product, 5)


async def test_late_money_is_not_refused_for_it(shop: Any) -> None:
    """What was paid for is delivered, though the buyer has bought again meanwhile."""
    product, buyer = await shop.product(9, max_per_buyer=1), shop.user()
    await shop.add(buyer, product)
    late = await shop.order(buyer)
    await shop.pass_time(3601)
    await shop.bench.fire_deadlines()
    await shop.add(buyer, product)
    assert (await shop.orders.confirm_payment(late.id)).status == "PAID"


async def test_an_order_in_the_chat_hears_of_it(shop: Any) -> None:
    await shop.product(9, name="첫째", sort_order=1, max_per_buyer=2)
    buyer = shop.user()

    async def say(message: str, number: int) -> Any:
        value = await shop.bench.hooks.filter(
            "filter_chat_receipt",
            {"id": str(number)},
            principal=Principal(user=buyer, guest_id=GuestId("g")),
            stream_key="live-show",
            message=message,
        )
        return value["cart"]

    assert (await say("1번 2개", 1))["ok"] is True
    answer = await say("1번 1개", 2)
    assert (answer["ok"], answer["errorCode"], answer["details"]["left"]) == (False, "BUYER_LIMIT", 0)


def line_id(line: dict[str, Any]) -> UUID:
    return UUID(line["id"])
