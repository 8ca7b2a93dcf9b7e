"""The rules of the waitlist, one by one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from dorami_catalog.model import VariantInput
from dorami_reservation import queue

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import new_uuid
from dorami_core.base.structure import to_json
from dorami_core.store.postgres import PostgresSession


async def refused(awaitable: Any, code: str) -> DoramiError:
    with pytest.raises(DoramiError) as caught:
        await awaitable
    assert caught.value.code == code
    return caught.value


async def test_numbers_are_given_in_order_and_positions_follow(shop: Any) -> None:
    product, holder = await shop.sold_out(1)
    first, second = [await shop.wait(shop.user(), product) for _ in range(2)]
    assert [(one.reservation_number, one.position, one.status) for one in (first, second)] == [
        (1, 1, "WAITING"),
        (2, 2, "WAITING"),
    ]
    held = (await shop.cart.view(holder.id)).items[0]
    assert [(one.quantity, one.expires_at) for one in first.ahead] == [(1, held.expires_at)]
    assert (await shop.catalog.get(product.id)).waiting == 2


async def test_what_is_given_back_goes_to_the_head_at_once(shop: Any) -> None:
    product, holder = await shop.sold_out(1)
    first, second = shop.user("하나"), shop.user("둘")
    head, other = await shop.wait(first, product), await shop.wait(second, product)
    await shop.patch(product, price="8.00")
    await shop.give_back(holder)
    assert (await shop.state(head), await shop.state(other)) == ("PROMOTED", "WAITING")
    (line,) = (await shop.cart.view(first.id)).items
    assert (line.quantity, line.reservation_id, str(line.unit_price)) == (1, head.id, "8.00")
    promoted = await shop.queue.get(first.id, head.id)
    assert (promoted.item_id, promoted.expires_at, promoted.position) == (line.id, line.expires_at, None)
    assert line.expires_at - line.created_at == timedelta(seconds=300)
    assert await shop.stock(product) == (1, 1, 0)
    assert (await shop.queue.get(second.id, other.id)).position == 1


async def test_ordered_it_is_fulfilled(shop: Any) -> None:
    product, holder = await shop.sold_out(1)
    buyer = shop.user()
    place = await shop.wait(buyer, product)
    await shop.give_back(holder)
    order = await shop.order(buyer)
    assert await shop.state(place) == "FULFILLED"
    await shop.orders.cancel(buyer, order.id)
    assert await shop.state(place) == "FULFILLED"


async def test_not_used_in_time_it_goes_to_the_next(shop: Any) -> None:
    product, _ = await shop.sold_out(1, hold_seconds=60)
    first, second = shop.user(), shop.user()
    head, other = await shop.wait(first, product), await shop.wait(second, product)
    await shop.pass_time(61)
    await shop.bench.fire_deadlines()
    assert (await shop.state(head), await shop.state(other)) == ("PROMOTED", "WAITING")
    await shop.pass_time(299)
    await shop.bench.fire_deadlines()
    assert await shop.state(head) == "PROMOTED"
    await shop.pass_time(2)
    await refused(shop.queue.leave(first.id, head.id), "CONFLICT")
    await shop.bench.fire_deadlines()
    assert (await shop.state(head), await shop.state(other)) == ("EXPIRED", "PROMOTED")
    await refused(shop.queue.leave(first.id, head.id), "CONFLICT")


async def test_a_cancelled_order_serves_the_queue(shop: Any) -> None:
    product, holder = await shop.sold_out(2)
    order = await shop.order(holder)
    place = await shop.wait(shop.user(), product, 2)
    await shop.orders.cancel(holder, order.id)
    assert (await shop.state(place), await shop.stock(product)) == ("PROMOTED", (2, 2, 0))


async def test_more_stock_serves_the_queue_in_order(shop: Any) -> None:
    product, _ = await shop.sold_out(1)
    places = [await shop.wait(shop.user(), product) for _ in range(3)]
    await shop.patch(product, quantity=3)
    assert [await shop.state(one) for one in places] == ["PROMOTED", "PROMOTED", "WAITING"]


async def test_a_long_queue_is_served_with_as_many_statements_as_a_short_one(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    run = PostgresSession._call

    async def counted(self: PostgresSession, method: str, sql: str, args: tuple[Any, ...]) -> Any:
        statements.append(sql)
        return await run(self, method, sql, args)

    monkeypatch.setattr(PostgresSession, "_call", counted)
    needed = {}
    for waiting in (3, 60):
        product, _ = await shop.sold_out(1)
        places = [await shop.wait(shop.user(), product) for _ in range(waiting)]
        statements.clear()
        await shop.patch(product, quantity=waiting)
        needed[waiting] = len(statements)
        assert [await shop.state(one) for one in places] == ["PROMOTED"] * (waiting - 1) + ["WAITING"]
    assert needed[60] == needed[3]


async def test_a_queue_is_served_in_parts(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "AT_ONCE", 2)
    product, holder = await shop.sold_out(9)
    wanted = [2, 1, 3, 1, 4]
    places = [await shop.wait(shop.user(), product, quantity) for quantity in wanted]
    await shop.give_back(holder)
    given = [(await shop.bench.db.fetchrow("SELECT * FROM reservation.places WHERE id = $1", one.id)) for one in places]
    assert [(row["status"], row["promoted_quantity"]) for row in given] == [
        ("PROMOTED", 2),
        ("PROMOTED", 1),
        ("PROMOTED", 3),
        ("PROMOTED", 1),
        ("PROMOTED", 2),
    ]
    assert await shop.stock(product) == (9, 9, 0)


async def test_a_part_will_do_and_the_rest_is_given_up(shop: Any) -> None:
    product, holder = await shop.sold_out(3)
    buyer = shop.user()
    place = await shop.wait(buyer, product, 3)
    line = (await shop.cart.view(holder.id)).items[0]
    await shop.cart.change(holder.id, line.id, 1)
    got = await shop.queue.get(buyer.id, place.id)
    assert (got.status, got.quantity, got.promoted_quantity) == ("PROMOTED", 3, 2)
    await shop.give_back(holder)
    assert (await shop.cart.view(buyer.id)).items[0].quantity == 2
    assert await shop.stock(product) == (3, 2, 0)


async def test_a_head_that_wants_all_waits_and_nobody_passes(shop: Any) -> None:
    product, holder = await shop.sold_out(3)
    head = await shop.wait(shop.user(), product, 3, accept_partial=False)
    small = await shop.wait(shop.user(), product, 1)
    line = (await shop.cart.view(holder.id)).items[0]
    await shop.cart.change(holder.id, line.id, 1)
    assert [await shop.state(one) for one in (head, small)] == ["WAITING", "WAITING"]
    assert (await shop.catalog.get(product.id)).available == 2
    error = await refused(shop.add(shop.user(), product), "INSUFFICIENT_STOCK")
    assert error.details["available"] == 0
    await refused(shop.cart.change(holder.id, line.id, 2), "INSUFFICIENT_STOCK")
    await shop.give_back(holder)
    assert [await shop.state(one) for one in (head, small)] == ["PROMOTED", "WAITING"]


async def test_when_that_head_leaves_the_next_is_served(shop: Any) -> None:
    product, holder = await shop.sold_out(3)
    first = shop.user()
    head = await shop.wait(first, product, 3, accept_partial=False)
    small = await shop.wait(shop.user(), product, 1)
    line = (await shop.cart.view(holder.id)).items[0]
    await shop.cart.change(holder.id, line.id, 1)
    await shop.queue.leave(first.id, head.id)
    assert [await shop.state(one) for one in (head, small)] == ["CANCELLED", "PROMOTED"]
    await shop.add(shop.user(), product)


async def test_free_stock_is_bought_not_waited_for(shop: Any) -> None:
    product = await shop.product(2)
    error = await refused(shop.wait(shop.user(), product), "CONFLICT")
    assert error.details["available"] == 2
    error = await refused(shop.wait(shop.user(), product, 5), "CONFLICT")
    assert error.details["available"] == 2


async def test_one_place_per_variant(shop: Any) -> None:
    product = await shop.product_in_sizes(S=0, M=0)
    buyer = shop.user()
    place = await shop.wait(buyer, product, size="S")
    error = await refused(shop.wait(buyer, product, size="S"), "RESERVATION_EXISTS")
    assert error.details["reservationId"] == str(place.id)
    other = await shop.wait(buyer, product, size="M")
    assert (other.reservation_number, other.position) == (2, 1)
    await shop.patch(product, variants=[VariantInput(size="S", quantity=1), VariantInput(size="M", quantity=0)])
    assert [await shop.state(one) for one in (place, other)] == ["PROMOTED", "WAITING"]
    await refused(shop.wait(buyer, product, size="S"), "RESERVATION_EXISTS")


async def test_who_leaves_and_comes_back_is_last(shop: Any) -> None:
    product, _ = await shop.sold_out(1)
    buyer = shop.user()
    place = await shop.wait(buyer, product)
    await shop.wait(shop.user(), product)
    await shop.queue.leave(buyer.id, place.id)
    await shop.queue.leave(buyer.id, place.id)
    again = await shop.wait(buyer, product)
    assert (again.reservation_number, again.position) == (3, 2)


async def test_leaving_after_promotion_gives_the_units_back(shop: Any) -> None:
    product, holder = await shop.sold_out(1)
    buyer = shop.user()
    place, other = await shop.wait(buyer, product), await shop.wait(shop.user(), product)
    await shop.give_back(holder)
    await shop.queue.leave(buyer.id, place.id)
    assert [await shop.state(one) for one in (place, other)] == ["CANCELLED", "PROMOTED"]
    assert (await shop.cart.view(buyer.id)).items == []


async def test_taking_it_out_of_the_cart_is_leaving(shop: Any) -> None:
    product, holder = await shop.sold_out(1)
    buyer = shop.user()
    place = await shop.wait(buyer, product)
    await shop.give_back(holder)
    await shop.give_back(buyer)
    assert (await shop.state(place), await shop.stock(product)) == ("CANCELLED", (1, 0, 0))


async def test_the_place_of_another_does_not_exist(shop: Any) -> None:
    product, _ = await shop.sold_out(1)
    place = await shop.wait(shop.user(), product)
    await refused(shop.queue.leave(shop.user().id, place.id), "RESERVATION_NOT_FOUND")
    await refused(shop.queue.get(shop.user().id, place.id), "RESERVATION_NOT_FOUND")
    await refused(shop.queue.leave(shop.user().id, new_uuid()), "RESERVATION_NOT_FOUND")


@pytest.mark.parametrize("quantity", [0, -1, 100, 10**9])
async def test_bad_quantities(shop: Any, quantity: int) -> None:
    product, _ = await shop.sold_out(1)
    await refused(shop.wait(shop.user(), product, quantity), "VALIDATION_FAILED")


async def test_what_cannot_be_waited_for(shop: Any) -> None:
    product = await shop.product_in_sizes(S=0)
    await refused(shop.wait(shop.user(), product), "VALIDATION_FAILED")
    await refused(shop.wait(shop.user(), product, size="XL"), "VALIDATION_FAILED")
    await shop.catalog.delete(product.id)
    await refused(shop.wait(shop.user(), product, size="S"), "PRODUCT_NOT_FOUND")


async def test_sold_out_by_hand_pauses_promotion(shop: Any) -> None:
    product, holder = await shop.sold_out(1)
    place = await shop.wait(shop.user(), product)
    await shop.patch(product, status="SOLD_OUT")
    await shop.give_back(holder)
    assert await shop.state(place) == "WAITING"
    await shop.wait(shop.user(), product)
    await shop.patch(product, status="AVAILABLE")
    assert await shop.state(place) == "PROMOTED"


async def test_deleting_a_product_ends_its_queue(shop: Any) -> None:
    product, holder = await shop.sold_out(2)
    first, second = await shop.wait(shop.user(), product), await shop.wait(shop.user(), product)
    line = (await shop.cart.view(holder.id)).items[0]
    await shop.cart.change(holder.id, line.id, 1)
    assert await shop.state(first) == "PROMOTED"
    await shop.catalog.delete(product.id)
    assert [await shop.state(one) for one in (first, second)] == ["CANCELLED", "CANCELLED"]
    assert await shop.stock(product) == (2, 0, 0)


async def test_a_variant_that_leaves_the_shop_ends_its_queue(shop: Any) -> None:
    product = await shop.product_in_sizes(S=0, M=0)
    gone, kept = await shop.wait(shop.user(), product, size="S"), await shop.wait(shop.user(), product, size="M")
    await shop.patch(product, variants=[VariantInput(size="M", quantity=0)])
    assert [await shop.state(one) for one in (gone, kept)] == ["CANCELLED", "WAITING"]


async def test_adding_with_wait_takes_or_waits(shop: Any) -> None:
    product = await shop.product(1)
    first, second = shop.user(), shop.user()
    assert (await shop.add_or_wait(first, product)).item["quantity"] == 1
    answer = await shop.add_or_wait(second, product)
    assert answer.item is None
    assert (answer.reservation["reservationNumber"], answer.reservation["position"]) == (1, 1)
    await refused(shop.add_or_wait(second, product), "RESERVATION_EXISTS")


async def test_adding_more_than_is_free_does_not_wait(shop: Any) -> None:
    product = await shop.product(2)
    error = await refused(shop.add_or_wait(shop.user(), product, 3), "INSUFFICIENT_STOCK")
    assert error.details["available"] == 2


async def test_a_named_wish_to_wait_gets_the_same_answer(shop: Any) -> None:
    product, holder = await shop.sold_out(1)
    buyer = shop.user()
    first = await shop.add_or_wait(buyer, product, client_id="tap")
    await shop.queue.leave(buyer.id, (await shop.queue.list_for(buyer.id)).items[0].id)
    await shop.give_back(holder)
    again = await shop.add_or_wait(buyer, product, client_id="tap")
    assert again == first
    await refused(shop.add_or_wait(buyer, product, 2, client_id="tap"), "CONFLICT")
    assert await shop.stock(product) == (1, 0, 0)


async def test_new_units_are_not_merged_into_a_promoted_line(shop: Any) -> None:
    product, holder = await shop.sold_out(2)
    buyer = shop.user()
    await shop.wait(buyer, product, 1)
    await shop.give_back(holder)
    await shop.add(buyer, product)
    lines = (await shop.cart.view(buyer.id)).items
    assert [(line.quantity, line.reservation_id is None) for line in lines] == [(1, False), (1, True)]


async def test_money_that_comes_late_does_not_pass_the_queue(shop: Any) -> None:
    product, holder = await shop.sold_out(2)
    order = await shop.order(holder)
    await shop.wait(shop.user(), product, 99, accept_partial=False)
    await shop.pass_time(3601)
    await shop.bench.fire_deadlines()
    await refused(shop.orders.confirm_payment(order.id), "INSUFFICIENT_STOCK")
    assert (await shop.orders.get(order.id)).refund_due


async def test_the_owner_hears_of_every_step(shop: Any) -> None:
    product, holder = await shop.sold_out(1)
    first, second = shop.user(), shop.user()
    head, _ = await shop.wait(first, product), await shop.wait(second, product)
    await shop.give_back(holder)
    await shop.bench.deliver()
    (said,) = shop.bench.rooms.heard(f"u:{first.id}", "reservation:promoted")
    assert said.data == {**to_json(await shop.queue.get(first.id, head.id)), "serverTime": said.data["serverTime"]}
    assert shop.bench.rooms.heard(f"u:{second.id}", "reservation:promoted") == []
    plugin = next(impl.plugin for impl in shop.bench.hooks._impls("on_queue_moved"))
    await plugin._sockets.tell_positions()
    told = shop.bench.rooms.heard(f"u:{second.id}", "reservation:updated")
    assert [one.data["position"] for one in told] == [1]
    await shop.pass_time(301)
    await shop.bench.fire_deadlines()
    await shop.bench.deliver()
    assert shop.bench.rooms.heard(f"u:{first.id}", "reservation:updated")[-1].data["status"] == "EXPIRED"


async def test_nobody_is_told_that_a_held_unit_sold_out(shop: Any) -> None:
    product, holder = await shop.sold_out(1)
    await shop.wait(shop.user(), product)
    await shop.bench.deliver()
    before = len(shop.bench.rooms.heard("live-show", "live:product:soldout"))
    await shop.give_back(holder)
    await shop.bench.deliver()
    assert len(shop.bench.rooms.heard("live-show", "live:product:soldout")) == before
    shown = shop.bench.rooms.heard("live-show", "live:product:updated")[-1].data
    assert (shown["available"], shown["waiting"]) == (0, 0)


async def test_the_list_pages_and_filters(shop: Any) -> None:
    buyer = shop.user()
    places = []
    for _ in range(3):
        product, _ = await shop.sold_out(1)
        places.append(await shop.wait(buyer, product))
    await shop.queue.leave(buyer.id, places[1].id)
    page = await shop.queue.list_for(buyer.id, limit=2)
    rest = await shop.queue.list_for(buyer.id, cursor=page.next_cursor, limit=2)
    assert [one.id for one in (*page.items, *rest.items)] == [one.id for one in reversed(places)]
    assert rest.next_cursor is None
    active = await shop.queue.list_for(buyer.id, active=True)
    assert [one.id for one in active.items] == [places[2].id, places[0].id]
    await refused(shop.queue.list_for(buyer.id, cursor="x"), "VALIDATION_FAILED")
