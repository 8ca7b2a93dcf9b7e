"""Orders against what else happens at the same moment, on real PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from dorami_core.base.errors import DoramiError


async def outcome(call: Any, *args: Any) -> str:
    """OK, or the code of the refusal."""
    try:
        await call(*args)
    except DoramiError as error:
        return error.code
    return "OK"


async def together(*calls: tuple[Any, ...]) -> list[str]:
    found = [""] * len(calls)

    async def one(number: int, call: Any, *args: Any) -> None:
        found[number] = await outcome(call, *args)

    async with trio.open_nursery() as nursery:
        for number, call in enumerate(calls):
            nursery.start_soon(one, number, *call)
    return found


async def test_a_cart_is_ordered_once(selling: Any) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    await selling.add(buyer, product, 2)
    found = await together(*[(selling.order, buyer)] * 8)
    assert sorted(found) == ["CART_EMPTY"] * 7 + ["OK"]
    assert await selling.stock(product) == (5, 0, 2)


@pytest.mark.parametrize("round_", range(5))
async def test_expiry_against_checkout_frees_or_orders_never_both(selling: Any, round_: int) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    await selling.add(buyer, product, 2)
    await selling.pass_time(599.9)

    async def expire() -> None:
        await selling.pass_time(0.2)
        await selling.bench.fire_deadlines()

    found, _ = await together((selling.order, buyer), (expire,))
    await selling.bench.fire_deadlines()
    assert await selling.stock(product) == ((5, 0, 2) if found == "OK" else (5, 0, 0))
    assert found in ("OK", "CART_EXPIRED")


async def test_confirming_against_cancelling(selling: Any) -> None:
    product = await selling.product(50)
    for _ in range(5):
        buyer = selling.user()
        await selling.add(buyer, product)
        order = await selling.order(buyer)
        found = await together((selling.orders.confirm_payment, order.id), (selling.orders.cancel, buyer, order.id))
        assert sorted(found) == ["CONFLICT", "OK"]
    await selling.check_invariants()


async def test_late_money_for_one_unit_is_taken_once(selling: Any) -> None:
    product = await selling.product(1)
    orders = []
    for _ in range(4):
        buyer = selling.user()
        await selling.add(buyer, product)
        orders.append(await selling.order(buyer))
        await selling.pass_time(3601)
        await selling.bench.fire_deadlines()
    found = await together(*[(selling.orders.confirm_payment, order.id) for order in orders])
    assert sorted(found) == ["INSUFFICIENT_STOCK"] * 3 + ["OK"]
    assert await selling.stock(product) == (1, 0, 1)


async def test_deleting_against_ordering(selling: Any) -> None:
    for _ in range(3):
        product = await selling.product(5)
        buyer = selling.user()
        await selling.add(buyer, product, 2)
        found, deleted = await together((selling.order, buyer), (selling.catalog.delete, product.id))
        assert deleted == "OK"
        assert (found, await selling.stock(product)) in (("OK", (5, 0, 2)), ("CART_EMPTY", (5, 0, 0)))
