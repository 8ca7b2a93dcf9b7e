"""The races of orders with their rule taken away: each must go wrong, or the tests of them prove nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import attrs
import pytest
import trio
from dorami_cart import store as cart_store
from dorami_cart.model import CartSettings
from dorami_cart.plugin import CartPlugin
from dorami_cart.service import Cart
from dorami_catalog.plugin import CatalogPlugin
from dorami_orders.model import OrderSettings
from dorami_orders.plugin import OrdersPlugin
from dorami_orders.service import Orders

from dorami_core.testing.host import open_bench
from tests.plugins.conftest import Selling


@pytest.fixture
async def unguarded(database_url: str) -> AsyncIterator[Selling]:
    """A shop whose counters are not looked at afterwards: here they are meant to go wrong."""
    settings = {"cart": CartSettings(hold_s=600), "orders": OrderSettings(unpaid_s=3600)}
    async with open_bench(database_url, [CatalogPlugin(), CartPlugin(), OrdersPlugin()], settings=settings) as bench:
        bench.streams.put("live-show")
        yield Selling(bench)


@attrs.define
class Meeting:
    """Two tasks go on once both have come."""

    arrived: int = 0
    both: trio.Event = attrs.Factory(trio.Event)

    async def meet(self) -> None:
        self.arrived += 1
        if self.arrived == 2:
            self.both.set()
        await self.both.wait()


async def together(*calls: Callable[[], Awaitable[Any]]) -> list[str]:
    found = [""] * len(calls)

    async def one(number: int, call: Callable[[], Awaitable[Any]]) -> None:
        try:
            await call()
            found[number] = "OK"
        except asyncpg.PostgresError as error:
            found[number] = type(error).__name__

    async with trio.open_nursery() as nursery:
        for number, call in enumerate(calls):
            nursery.start_soon(one, number, call)
    return found


async def alive_without_a_lock(tx: Any, user_id: Any) -> list[Any]:
    return await cart_store.alive(tx, user_id)


async def test_without_locks_an_order_is_confirmed_and_cancelled(
    unguarded: Selling, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, buyer = await unguarded.product(5), unguarded.user()
    await unguarded.add(buyer, product)
    order = await unguarded.order(buyer)
    read, confirmed = trio.Event(), trio.Event()
    real = Orders._lock

    async def lock(self: Orders, tx: Any, order_id: str, owner: Any = None) -> Any:
        if owner is None:
            return await real(self, tx, order_id)
        found = await self._orders.find(tx, order_id)
        read.set()
        await confirmed.wait()
        return found

    async def confirm() -> None:
        await read.wait()
        await unguarded.orders.confirm_payment(order.id)
        confirmed.set()

    monkeypatch.setattr(Orders, "_lock", lock)
    assert await together(confirm, lambda: unguarded.orders.cancel(buyer, order.id)) == ["OK", "OK"]
    ended = await unguarded.orders.get(order.id)
    assert (ended.status, ended.refund_due) == ("CANCELLED", False), "paid, cancelled, and nobody sends the money back"


async def test_without_locks_a_cart_is_ordered_twice(unguarded: Selling, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the CHECK of the table still refuses the second one, and only where nobody else holds units."""
    product, buyer = await unguarded.product(5), unguarded.user()
    await unguarded.add(buyer, product, 2)
    await unguarded.add(unguarded.user(), product, 2)
    meeting = Meeting()

    async def lock_active(self: Cart, tx: Any, user_id: Any) -> Any:
        lines = await alive_without_a_lock(tx, user_id)
        await meeting.meet()
        return lines

    async def complete(self: Cart, tx: Any, items: Any, order_id: str) -> None:
        await cart_store.complete(tx, [item.id for item in items], order_id)

    monkeypatch.setattr(Cart, "lock_active", lock_active)
    monkeypatch.setattr(Cart, "complete", complete)
    assert await together(lambda: unguarded.order(buyer), lambda: unguarded.order(buyer)) == ["OK", "OK"]
    assert await unguarded.stock(product) == (5, 0, 4)


async def test_without_locks_what_expired_is_ordered_too(unguarded: Selling, monkeypatch: pytest.MonkeyPatch) -> None:
    product, buyer = await unguarded.product(5), unguarded.user()
    await unguarded.add(buyer, product, 2)
    await unguarded.pass_time(300)
    await unguarded.add(unguarded.user(), product, 2)
    await unguarded.pass_time(299)
    read, expired = trio.Event(), trio.Event()

    async def lock_active(self: Cart, tx: Any, user_id: Any) -> Any:
        lines = await alive_without_a_lock(tx, user_id)
        read.set()
        await expired.wait()
        return lines

    async def complete(self: Cart, tx: Any, items: Any, order_id: str) -> None:
        await cart_store.complete(tx, [item.id for item in items], order_id)

    async def expire() -> None:
        await read.wait()
        await unguarded.pass_time(2)
        await unguarded.bench.fire_deadlines()
        expired.set()

    monkeypatch.setattr(Cart, "lock_active", lock_active)
    monkeypatch.setattr(Cart, "complete", complete)
    assert await together(lambda: unguarded.order(buyer), expire) == ["OK", "OK"]
    # Two units went back and were sold all the same: those that somebody else still holds.
    assert await unguarded.stock(product) == (5, 0, 2)
