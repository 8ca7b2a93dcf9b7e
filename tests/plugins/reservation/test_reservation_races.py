"""The waitlist against what else happens at the same moment, on real PostgreSQL, each rule with its control."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
from dorami_catalog import store as catalog_store
from dorami_catalog.verify import verify
from dorami_reservation import store

from dorami_core.base.errors import DoramiError
from dorami_core.testing.host import open_bench
from tests.plugins.reservation.conftest import Queueing, plugins


async def together(*calls: tuple[Any, ...]) -> list[str]:
    """OK, or the code of the refusal, of each."""
    found = [""] * len(calls)

    async def one(number: int, call: Any, *args: Any) -> None:
        try:
            await call(*args)
            found[number] = "OK"
        except DoramiError as error:
            found[number] = error.code

    async with trio.open_nursery() as nursery:
        for number, call in enumerate(calls):
            nursery.start_soon(one, number, *call)
    return found


async def test_thirty_win_and_the_others_are_numbered(shop: Any) -> None:
    product = await shop.product(30)
    answers: list[Any] = []

    async def tap(user: Any) -> None:
        answers.append(await shop.add_or_wait(user, product))

    async with trio.open_nursery() as nursery:
        for _ in range(80):
            nursery.start_soon(tap, shop.user())
    assert sum(answer.item is not None for answer in answers) == 30
    numbers = sorted(answer.reservation["reservationNumber"] for answer in answers if answer.reservation)
    assert numbers == list(range(1, 51))
    assert await shop.stock(product) == (30, 30, 0)


@pytest.fixture
async def processes(shop: Any, database_url: str, selling_settings: dict[str, Any]) -> AsyncIterator[list[Any]]:
    """The shop, and two more on the same database: what gathers in one process races with what gathers in another."""
    async with AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(open_bench(database_url, plugins(), settings=selling_settings))
            for _ in range(2)
        ]
        yield [shop, *(Queueing(bench) for bench in others)]


async def rush_for_numbers(processes: list[Any]) -> list[str]:
    product, _ = await processes[0].sold_out(1)
    return await together(*[(shop.wait, shop.user(), product) for shop in processes * 4])


async def test_numbers_have_no_holes_under_a_rush(processes: list[Any]) -> None:
    assert await rush_for_numbers(processes) == ["OK"] * 12


async def test_without_the_lock_a_number_is_given_twice(shop: Any, processes: list[Any]) -> None:
    """The control: the product is not locked and the number is looked up."""
    await shop.bench.db.execute(
        """CREATE OR REPLACE FUNCTION reservation.join_queue(
               p_product uuid, p_ids uuid[], p_users uuid[], p_colors text[], p_sizes text[], p_quantities integer[],
               p_partial boolean[]
           ) RETURNS TABLE (
               n bigint, outcome text, variant_id uuid, available integer, existing uuid, stream_key text,
               product_name text, image_url text, number integer, "position" bigint, created_at timestamptz,
               version bigint
           ) LANGUAGE plpgsql AS $$
           #variable_conflict use_column
           DECLARE last integer;
           BEGIN
               SELECT v.id INTO variant_id FROM catalog.variants v WHERE v.product_id = p_product;
               SELECT count(*) INTO last FROM reservation.places o WHERE o.product_id = p_product;
               PERFORM pg_sleep(0.3);
               INSERT INTO reservation.places (id, user_id, product_id, variant_id, number, product_name, quantity,
                                               accept_partial)
                 SELECT w.id, w.user_id, p_product, variant_id, last + w.n, 'x', 1, true
                 FROM unnest(p_ids, p_users) WITH ORDINALITY AS w (id, user_id, n);
               RETURN QUERY SELECT w.n, 'FREE', NULL::uuid, 0, NULL::uuid, NULL, NULL, NULL, 0, 0::bigint, core.now(),
                                   0::bigint
                            FROM unnest(p_ids) WITH ORDINALITY AS w (id, n);
           END $$"""
    )
    with pytest.raises(ExceptionGroup) as caught:
        await rush_for_numbers(processes)
    assert caught.group_contains(Exception, match="numbers_are_given_once", depth=None)
    await shop.bench.db.execute("DELETE FROM reservation.places")


@pytest.mark.parametrize("round_", range(4))
async def test_promotion_against_leaving(shop: Any, round_: int) -> None:
    """The head leaves while the unit comes free: it goes to the head and then on, or right to the next."""
    product, holder = await shop.sold_out(1)
    first, second = shop.user(), shop.user()
    head, other = await shop.wait(first, product), await shop.wait(second, product)
    found = await together((shop.give_back, holder), (shop.queue.leave, first.id, head.id))
    assert found == ["OK", "OK"]
    assert [await shop.state(one) for one in (head, other)] == ["CANCELLED", "PROMOTED"]


async def test_without_the_state_in_the_update_a_served_one_leaves_the_queue_twice(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: leaving does not look again once the product is locked."""
    product, holder = await shop.sold_out(1)
    first = shop.user()
    head = await shop.wait(first, product)
    real = store.end

    async def blindly(tx: Any, ids: Any, before: Any, after: Any, order_id: Any) -> Any:
        return await real(tx, ids, "PROMOTED" if before == "WAITING" else before, after, order_id)

    monkeypatch.setattr(store, "end", blindly)
    lock, locked, gone = catalog_store.lock_variants, trio.Event(), trio.Event()

    async def late(tx: Any, variant_ids: Any) -> Any:
        locked.set()
        await gone.wait()
        return await lock(tx, variant_ids)

    async def leave() -> None:
        monkeypatch.setattr(catalog_store, "lock_variants", late)
        await shop.queue.leave(first.id, head.id)

    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave)
            await locked.wait()
            monkeypatch.setattr(catalog_store, "lock_variants", lock)
            await shop.give_back(holder)
            gone.set()
    assert caught.group_contains(Exception, match="waiting", depth=None)
    assert await shop.state(head) == "PROMOTED"


@pytest.mark.parametrize("round_", range(4))
async def test_ordering_against_the_end_of_a_promotion(shop: Any, round_: int) -> None:
    product, holder = await shop.sold_out(1)
    first, second = shop.user(), shop.user()
    head, other = await shop.wait(first, product), await shop.wait(second, product)
    await shop.give_back(holder)
    await shop.pass_time(299.9)

    async def expire() -> None:
        await shop.pass_time(0.2)
        await shop.bench.fire_deadlines()

    found, _ = await together((shop.order, first), (expire,))
    await shop.bench.fire_deadlines()
    expected = ["FULFILLED", "WAITING"] if found == "OK" else ["EXPIRED", "PROMOTED"]
    assert [await shop.state(one) for one in (head, other)] == expected


@pytest.mark.parametrize("round_", range(3))
async def test_nobody_slips_in_between_freeing_and_promoting(shop: Any, round_: int) -> None:
    product, holder = await shop.sold_out(2)
    place = await shop.wait(shop.user(), product, 2)
    strangers = [shop.user() for _ in range(10)]
    found = await together((shop.give_back, holder), *[(shop.add, one, product) for one in strangers])
    assert found == ["OK"] + ["INSUFFICIENT_STOCK"] * 10
    assert await shop.state(place) == "PROMOTED"


async def test_without_the_counter_of_who_waits_strangers_slip_in(shop: Any) -> None:
    """The control: the catalogue does not know that somebody waits for all or nothing."""
    product, holder = await shop.sold_out(2)
    await shop.wait(shop.user(), product, 3, accept_partial=False)
    await shop.bench.db.execute("UPDATE catalog.variants SET waiting = 0")
    await shop.give_back(holder)
    found = await together(*[(shop.add, shop.user(), product) for _ in range(4)])
    assert sorted(found) == ["INSUFFICIENT_STOCK"] * 2 + ["OK"] * 2
    assert verify(await shop.catalog.export_show("live-show")).problems != []
    # What was broken here on purpose leaves the show that is checked after each test.
    await shop.bench.db.execute(
        "UPDATE catalog.variants SET waiting = 1; UPDATE catalog.products SET stream_key = NULL, stream_keys = '{}'"
    )


async def test_everything_at_once_keeps_the_queues(shop: Any) -> None:
    """Waits, leavings, gifts of stock, orders, cancellations and expiries, without a deadlock or a lost place."""
    chance = random.Random(11)
    products = [await shop.product(3, hold_seconds=30) for _ in range(3)]
    expected = {
        "INSUFFICIENT_STOCK",
        "CART_EXPIRED",
        "CART_EMPTY",
        "CART_ITEM_NOT_FOUND",
        "CONFLICT",
        "RESERVATION_EXISTS",
    }

    async def act(user: Any, seed: int) -> None:
        own = random.Random(seed)
        for _ in range(8):
            product = own.choice(products)
            try:
                match own.choice(["add", "add", "wait", "all", "leave", "order", "remove", "stock"]):
                    case "add":
                        await shop.add_or_wait(user, product, own.randint(1, 3))
                    case "wait":
                        await shop.wait(user, product, own.randint(1, 3))
                    case "all":
                        await shop.wait(user, product, own.randint(1, 3), accept_partial=False)
                    case "leave":
                        for place in (await shop.queue.list_for(user.id, active=True)).items[:1]:
                            await shop.queue.leave(user.id, place.id)
                    case "order":
                        order = await shop.order(user)
                        if own.random() < 0.6:
                            await shop.orders.cancel(user, order.id)
                    case "remove":
                        await shop.give_back(user)
                    case "stock":
                        await shop.patch(product, quantity=own.randint(3, 8))
            except DoramiError as error:
                assert error.code in expected, error

    async def sweep() -> None:
        for _ in range(8):
            await shop.pass_time(12)
            await shop.bench.fire_deadlines()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sweep)
        for _ in range(12):
            nursery.start_soon(act, shop.user(), chance.randrange(10**9))
    assert shop.bench.deadlines.statistics().failed == 0
