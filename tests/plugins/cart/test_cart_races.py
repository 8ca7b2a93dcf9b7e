"""Many at once on real PostgreSQL, each with the rule taken away as a control."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
from dorami_cart import store
from dorami_cart.plugin import CartPlugin
from dorami_catalog.plugin import CatalogPlugin
from dorami_orders.plugin import OrdersPlugin

from dorami_core.base.errors import DoramiError
from dorami_core.testing.host import open_bench
from tests.plugins.conftest import Selling

UNGUARDED = """
CREATE OR REPLACE FUNCTION catalog.hold_units(p_product uuid, p_colors text[], p_sizes text[], p_quantities integer[])
RETURNS SETOF catalog.held LANGUAGE plpgsql AS $$
DECLARE
    counted integer;
    taken integer := 0;
    held catalog.held;
BEGIN
    SELECT v.id, p.stream_key, p.stream_keys, p.name, p.image_url, p.price_minor, p.currency, true, p.version, 1, 1,
           v.on_hand - v.held - v.committed, v.held
      INTO held.variant_id, held.stream_key, held.stream_keys, held.name, held.image_url, held.unit_price_minor,
           held.currency, held.timer_enabled, held.version, held.available_before, held.available_after,
           held.variant_available, counted
      FROM catalog.variants v JOIN catalog.products p ON p.id = v.product_id WHERE p.id = p_product;
    FOR i IN 1 .. cardinality(p_quantities) LOOP
        held.n := i;
        held.outcome := CASE WHEN held.variant_available < p_quantities[i] THEN 'SHORT' ELSE 'OK' END;
        IF held.outcome = 'OK' THEN
            taken := taken + p_quantities[i];
            held.variant_available := held.variant_available - p_quantities[i];
        END IF;
        RETURN NEXT held;
    END LOOP;
    IF taken > 0 THEN
        PERFORM pg_sleep(0.3);
        UPDATE catalog.variants v SET held = counted + taken WHERE v.id = held.variant_id;
    END IF;
END
$$;
"""


PROCESSES = 4


@pytest.fixture
async def processes(selling: Any, database_url: str, selling_settings: dict[str, Any]) -> AsyncIterator[list[Any]]:
    """The shop as several processes see it: wishes gather in each of them, but only PostgreSQL decides between them."""
    plugins = [CatalogPlugin(), CartPlugin(), OrdersPlugin()]
    async with AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(open_bench(database_url, plugins, settings=selling_settings))
            for _ in range(PROCESSES - 1)
        ]
        yield [selling, *(Selling(bench) for bench in others)]


async def rush(processes: list[Any], product: Any, buyers: int) -> int:
    """How many of so many buyers got a unit."""
    got = 0

    async def buy(shop: Any, user: Any) -> None:
        nonlocal got
        try:
            await shop.add(user, product)
            got += 1
        except DoramiError as error:
            assert error.code == "INSUFFICIENT_STOCK"

    async with trio.open_nursery() as nursery:
        for number in range(buyers):
            shop = processes[number % len(processes)]
            nursery.start_soon(buy, shop, shop.user())
    return got


async def test_the_last_unit_has_one_buyer(selling: Any, processes: list[Any]) -> None:
    product = await selling.product(1)
    assert await rush(processes, product, 50) == 1
    assert await selling.stock(product) == (1, 1, 0)


async def test_without_the_lock_it_has_many(selling: Any, processes: list[Any]) -> None:
    product = await selling.product(1)
    await selling.bench.db.execute(UNGUARDED)
    assert await rush(processes, product, 50) > 1
    await selling.bench.db.execute("DELETE FROM cart.items; UPDATE catalog.variants SET held = 0")


async def test_two_hundred_adds_are_counted_right(selling: Any, processes: list[Any]) -> None:
    product = await selling.product(150)
    assert await rush(processes, product, 200) == 150
    assert await selling.stock(product) == (150, 150, 0)
    assert (await selling.catalog.get(product.id)).version == 151
    await selling.bench.deliver()
    said = selling.bench.rooms.heard("live-show", "live:product:soldout")
    assert [one.data["available"] for one in said] == [0]


async def test_a_named_wish_said_many_times_at_once_counts_once(selling: Any) -> None:
    product = await selling.product(10)
    buyer = selling.user()
    answers = []

    async def say() -> None:
        answers.append(await selling.add(buyer, product, 2, client_id="tap"))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(say)
    assert len(answers) == 10
    assert all(answer == answers[0] for answer in answers)
    assert await selling.stock(product) == (10, 2, 0)


async def say_in_all(processes: list[Any], products: list[Any]) -> list[str]:
    """One buyer taps once, his client says it to every process, whatever it answers; what each was answered."""
    buyer = processes[0].user()
    answers = []

    async def say(shop: Any, product: Any) -> None:
        try:
            answers.append(str((await shop.add(buyer, product, 2, client_id="tap"))["id"]))
        except DoramiError as error:
            answers.append(error.code)

    async with trio.open_nursery() as nursery:
        for number, shop in enumerate(processes):
            nursery.start_soon(say, shop, products[number % len(products)])
    return answers


async def held(selling: Any, products: list[Any]) -> int:
    return sum([(await selling.stock(product))[1] for product in products])


async def test_a_name_said_to_many_processes_at_once_counts_once(selling: Any, processes: list[Any]) -> None:
    product = await selling.product(20)
    for _ in range(10):  # the last time for the last units
        answers = await say_in_all(processes, [product])
        assert len(answers) == PROCESSES
        assert len(set(answers)) == 1
    assert await selling.stock(product) == (20, 20, 0)


async def test_a_name_for_two_things_at_once_is_one_of_them(selling: Any, processes: list[Any]) -> None:
    products = [await selling.product(20), await selling.product(20)]
    for taps in range(1, 11):
        answers = await say_in_all(processes, products)
        (granted,) = set(answers) - {"CONFLICT"}
        assert answers.count(granted) == answers.count("CONFLICT") == PROCESSES // 2
        assert await held(selling, products) == 2 * taps


async def test_without_looking_whether_the_name_was_free_it_counts_twice(
    selling: Any, processes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    remember = store.remember

    async def forgetful(*args: Any) -> bool:
        await trio.sleep(0.3)
        await remember(*args)
        return True

    monkeypatch.setattr(store, "remember", forgetful)
    products = [await selling.product(20), await selling.product(20)]
    await say_in_all(processes, products)
    assert await held(selling, products) > 2


async def test_merging_at_once_makes_one_line(selling: Any) -> None:
    product = await selling.product(20)
    buyer = selling.user()
    async with trio.open_nursery() as nursery:
        for _ in range(15):
            nursery.start_soon(selling.add, buyer, product)
    assert [line.quantity for line in (await selling.cart.view(buyer.id)).items] == [15]


async def test_everything_at_once_keeps_the_counters(selling: Any) -> None:
    """Adds, changes, removals, expiries, orders and cancellations over three products, without a deadlock."""
    chance = random.Random(7)
    products = [await selling.product(8, hold_seconds=30) for _ in range(3)]
    expected = {"INSUFFICIENT_STOCK", "CART_EXPIRED", "CART_EMPTY", "CART_ITEM_NOT_FOUND", "CONFLICT"}

    async def act(user: Any, seed: int) -> None:
        own = random.Random(seed)
        for _ in range(6):
            try:
                lines = (await selling.cart.view(user.id)).items
                match own.choice(["add", "add", "add", "change", "remove", "order"]):
                    case "change" if lines:
                        await selling.cart.change(user.id, own.choice(lines).id, own.randint(1, 4))
                    case "remove" if lines:
                        await selling.cart.remove(user.id, own.choice(lines).id)
                    case "order" if lines:
                        order = await selling.order(user)
                        if own.random() < 0.6:
                            await selling.orders.cancel(user, order.id)
                    case _:
                        await selling.add(user, own.choice(products), own.randint(1, 3))
            except DoramiError as error:
                assert error.code in expected, error

    async def sweep() -> None:
        for _ in range(8):
            await selling.pass_time(10)
            await selling.bench.fire_deadlines()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sweep)
        for _ in range(12):
            nursery.start_soon(act, selling.user(), chance.randrange(10**9))
    assert selling.bench.deadlines.statistics().failed == 0
    await selling.check_invariants()


async def test_a_hundred_adds_are_many_fewer_transactions(selling: Any) -> None:
    product = await selling.product(100)
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(selling.add, selling.user(), product)
    statistics = selling.cart._gathering.statistics()
    assert statistics.decided == 100
    assert statistics.batches < 20
    assert await selling.stock(product) == (100, 100, 0)
