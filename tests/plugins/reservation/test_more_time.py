"""More time for what is held: by the seller or a rule, up to a cap, seen by who waits."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from dorami_cart.service import Cart

from dorami_core.base.errors import DoramiError
from dorami_core.hooks import iso


def service(shop: Any) -> Cart:
    assert isinstance(shop.cart, Cart)
    return shop.cart


async def end_of(shop: Any, buyer: Any) -> datetime:
    (line,) = (await shop.cart.view(buyer.id)).items
    assert line.expires_at is not None
    return line.expires_at


async def hold(shop: Any, buyer: Any, product: Any, quantity: int = 1) -> datetime:
    """Until when it is held."""
    await shop.add(buyer, product, quantity)
    return await end_of(shop, buyer)


async def test_all_who_hold_a_product_get_more_time(shop: Any) -> None:
    product, other = await shop.product(9), await shop.product(9)
    first, second, third = shop.user(), shop.user(), shop.user()
    before = [await hold(shop, first, product), await hold(shop, second, product, 2)]
    elsewhere = await hold(shop, third, other)
    answer = await service(shop).extend_now(product.id, 300)
    assert (answer.extended, answer.next_expires_at) == (2, before[0] + timedelta(seconds=300))
    assert [await end_of(shop, one) for one in (first, second)] == [one + timedelta(seconds=300) for one in before]
    assert await end_of(shop, third) == elsewhere
    await shop.bench.deliver()
    (told,) = shop.bench.rooms.heard(f"u:{first.id}", "cart:extended")
    assert told.data["expiresAt"] == iso(before[0] + timedelta(seconds=300))
    assert shop.bench.rooms.heard(f"u:{third.id}", "cart:extended") == []


async def test_the_stock_comes_back_at_the_new_end_and_not_before(shop: Any) -> None:
    product, buyer = await shop.product(1), shop.user()
    await shop.add(buyer, product)
    await shop.pass_time(590)
    await service(shop).extend_now(product.id, 60)
    await shop.pass_time(11)
    await shop.bench.fire_deadlines()
    assert await shop.stock(product) == (1, 1, 0)
    await shop.pass_time(60)
    await shop.bench.fire_deadlines()
    assert await shop.stock(product) == (1, 0, 0)


async def test_there_is_a_cap(shop: Any) -> None:
    product, buyer = await shop.product(9), shop.user()
    first = await hold(shop, buyer, product)
    for _ in range(3):
        await service(shop).extend_now(product.id, 800)
    assert await end_of(shop, buyer) == first + timedelta(seconds=1800)
    assert (await service(shop).extend_now(product.id, 1)).extended == 0


async def test_what_is_over_or_has_no_timer_or_was_given_to_who_waited_stays(shop: Any) -> None:
    product, holder = await shop.sold_out(1)
    waiting = shop.user()
    await shop.wait(waiting, product)
    await shop.give_back(holder)
    promoted = await end_of(shop, waiting)
    assert (await service(shop).extend_now(product.id, 60)).extended == 0
    assert await end_of(shop, waiting) == promoted
    late, calm = await shop.product(1), await shop.product(1, timer_enabled=False)
    await shop.add(shop.user(), late)
    await shop.add(shop.user(), calm)
    await shop.pass_time(601)
    assert [(await service(shop).extend_now(one.id, 60)).extended for one in (late, calm)] == [0, 0]


async def test_who_waits_sees_the_new_end(shop: Any) -> None:
    product, holder = await shop.sold_out(1)
    waiting = shop.user()
    place = await shop.wait(waiting, product)
    await service(shop).extend_now(product.id, 120)
    seen = await shop.queue.get(waiting.id, place.id)
    assert [one.expires_at for one in seen.ahead] == [await end_of(shop, holder)]
    assert seen.ahead[0].expires_at == place.ahead[0].expires_at + timedelta(seconds=120)
    await shop.bench.deliver()
    plugin = next(impl.plugin for impl in shop.bench.hooks._impls("on_queue_moved"))
    await plugin._sockets.tell_positions()
    told = shop.bench.rooms.heard(f"u:{waiting.id}", "reservation:updated")[-1]
    assert told.data["ahead"][0]["expiresAt"] == iso(seen.ahead[0].expires_at)


@pytest.mark.parametrize("seconds", [0, -5, 3601, 10**9])
async def test_wrong_times_change_nothing(shop: Any, seconds: int) -> None:
    product, buyer = await shop.product(1), shop.user()
    before = await hold(shop, buyer, product)
    with pytest.raises(DoramiError, match="VALIDATION_FAILED"):
        await service(shop).extend_now(product.id, seconds)
    assert await end_of(shop, buyer) == before


async def test_a_product_that_is_gone_has_nobody_to_wait_for(shop: Any) -> None:
    with pytest.raises(DoramiError, match="PRODUCT_NOT_FOUND"):
        await service(shop).extend_now(UUID(int=1), 60)
