"""Points against what else happens at the same moment, on real PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import attrs
import pytest
import trio
from dorami_orders.api import OrderView
from dorami_orders.model import OrderDraft
from dorami_points import store

from dorami_core.base.errors import DoramiError
from dorami_core.base.money import Money


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


async def spend_twice(shop: Any) -> None:
    """Two orders of one user at once, by the hooks that orders fire: a cart alone would hold the second one up."""
    product, buyer = await shop.product(9), shop.user()
    like = await shop.buy(buyer, product)
    await shop.give(buyer, 1000)

    async def spend(order: OrderView) -> None:
        draft = OrderDraft(
            user_id=buyer.id,
            lines=[],
            subtotal=Money(1000, "USD"),
            points_to_use=700,
            payment_method="ZELLE",
            shipping_address={},
        )
        async with shop.bench.db.transaction() as tx:
            used = await shop.bench.hooks.choose("choose_points", tx=tx, draft=draft)
            await shop.bench.hooks.in_tx("order_created_in_tx", tx, order=attrs.evolve(order, points_used=used))

    orders = [attrs.evolve(like, id=f"ORD-20260101-0000{number}") for number in (1, 2)]
    found = await together(*[(spend, order) for order in orders])
    assert sorted(found) == ["INSUFFICIENT_POINTS", "OK"]
    assert await shop.balance(buyer) == 300


@pytest.mark.parametrize("round_", range(5))
async def test_points_are_spent_once(shop: Any, round_: int) -> None:
    await spend_twice(shop)


async def test_without_the_lock_they_are_spent_twice(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real, arrived, both = store.lock_accounts, 0, trio.Event()

    async def meet(tx: Any, user_ids: Sequence[UUID]) -> None:
        """In the place of the lock: the first to come waits until the second is here too."""
        nonlocal arrived
        row = await tx.fetchrow("SELECT FROM points.accounts WHERE user_id = ANY($1::uuid[])", list(user_ids))
        if row is None:
            await real(tx, user_ids)
            return
        arrived += 1
        if arrived == 2:
            both.set()
        await both.wait()

    balance, have_read, both_read = store.balance, 0, trio.Event()

    async def read(tx: Any, user_id: UUID) -> int:
        """Neither writes before both have read: else the control would hang on who is faster."""
        nonlocal have_read
        found = await balance(tx, user_id)
        have_read += 1
        if have_read == 2:
            both_read.set()
        await both_read.wait()
        return found

    monkeypatch.setattr(store, "lock_accounts", meet)
    monkeypatch.setattr(store, "balance", read)
    with pytest.raises(AssertionError, match="INSUFFICIENT_POINTS"):
        await spend_twice(shop)
    assert arrived == 2
    monkeypatch.undo()
    await shop.bench.db.execute("ALTER TABLE points.ledger DISABLE TRIGGER append_only")
    await shop.bench.db.execute("ALTER TABLE points.allotments DISABLE TRIGGER append_only")
    await shop.bench.db.execute("TRUNCATE points.ledger, points.allotments")


@pytest.mark.parametrize("round_", range(4))
async def test_cancelling_against_confirming(shop: Any, round_: int) -> None:
    product, buyer = await shop.product(9), shop.user()
    await shop.give(buyer, 400)
    order = await shop.buy(buyer, product, 1, points=400)
    found = await together((shop.orders.confirm_payment, order.id), (shop.orders.cancel, buyer, order.id))
    assert sorted(found) == ["CONFLICT", "OK"]
    assert await shop.balance(buyer) == (60 if found[0] == "OK" else 400)


async def test_staff_cancelling_and_confirming_many_times_at_once(shop: Any) -> None:
    product, buyer = await shop.product(9), shop.user()
    await shop.give(buyer, 400)
    order = await shop.buy(buyer, product, 1, points=400)
    await together(*[(shop.orders.confirm_payment, order.id), (shop.cancel, order)] * 4)
    assert (await shop.orders.get(order.id)).status == "CANCELLED"
    assert await shop.balance(buyer) == 400


async def test_an_order_against_taking_away(shop: Any) -> None:
    product, buyer = await shop.product(9), shop.user()
    first = await shop.buy(buyer, product, 5)
    await shop.orders.confirm_payment(first.id)
    await shop.add(buyer, product, 1)

    async def order() -> None:
        await shop.order(buyer, points_to_use=500)

    found = await together((order,), (shop.cancel, first))
    assert found[1] == "OK"
    assert await shop.balance(buyer) == (-500 if found[0] == "OK" else 0)


async def test_orders_of_many_expire_while_they_order_again(shop: Any) -> None:
    product, buyers = await shop.product(200), [shop.user() for _ in range(6)]
    for buyer in buyers:
        await shop.give(buyer, 500)
    for buyer in (*buyers, *reversed(buyers)):
        await shop.buy(buyer, product, 1, points=250)
    await shop.pass_time(3601)
    for buyer in buyers:
        await shop.add(buyer, product, 1)

    async def order(buyer: Any) -> None:
        await shop.order(buyer, points_to_use=500)

    found = await together(*[(shop.bench.fire_deadlines,)] * 3, *[(order, buyer) for buyer in buyers])
    assert set(found) <= {"OK", "INSUFFICIENT_POINTS"}
    assert shop.bench.deadlines.statistics().failed == 0
    for buyer, outcome in zip(buyers, found[3:], strict=True):
        assert await shop.balance(buyer) == (0 if outcome == "OK" else 500)
