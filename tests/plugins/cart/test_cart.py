"""The rules of carts, one by one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import structlog
from dorami_cart.api import AddToCart, mask_name

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import new_uuid
from dorami_core.base.structure import to_json
from dorami_core.events.model import EventMeta
from dorami_core.events.streams import StreamStarted
from dorami_core.hooks.rehearsal import rehearse


async def refused(awaitable: Any, code: str) -> DoramiError:
    with pytest.raises(DoramiError) as caught:
        await awaitable
    assert caught.value.code == code
    return caught.value


async def test_an_item_holds_stock_for_its_time(selling: Any) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    item = await selling.add(buyer, product, 2)
    assert (item["quantity"], item["unitPrice"], item["lineTotal"], item["status"]) == (2, "10.00", "20.00", "ACTIVE")
    assert await selling.stock(product) == (5, 2, 0)
    shown = to_json(await selling.cart.view(buyer.id))
    assert (shown["subtotal"], shown["currency"], shown["nextExpiresAt"]) == ("20.00", "USD", item["expiresAt"])
    held = (await selling.cart.view(buyer.id)).items[0]
    assert held.expires_at - held.created_at == timedelta(seconds=600)


async def test_an_empty_cart(selling: Any) -> None:
    shown = to_json(await selling.cart.view(selling.user().id))
    assert (shown["items"], shown["subtotal"], shown["nextExpiresAt"]) == ([], "0.00", None)


async def test_a_product_can_have_its_own_time(selling: Any) -> None:
    product = await selling.product(hold_seconds=5)
    buyer = selling.user()
    await selling.add(buyer, product)
    await selling.pass_time(6)
    assert (await selling.cart.view(buyer.id)).items == []


@pytest.mark.parametrize("quantity", [0, -1, 100, 10**9])
async def test_bad_quantities_change_nothing(selling: Any, quantity: int) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    await refused(selling.add(buyer, product, quantity), "VALIDATION_FAILED")
    item = await selling.add(buyer, product)
    bad = quantity if quantity != 100 else 1000
    line = (await selling.cart.view(buyer.id)).items[0]
    await refused(selling.cart.change(buyer.id, line.id, bad), "VALIDATION_FAILED")
    assert [str(line.id) for line in (await selling.cart.view(buyer.id)).items] == [item["id"]]
    assert await selling.stock(product) == (5, 1, 0)


async def test_more_than_there_is(selling: Any) -> None:
    product = await selling.product(3)
    buyer = selling.user()
    error = await refused(selling.add(buyer, product, 4), "INSUFFICIENT_STOCK")
    assert error.details["available"] == 3
    await refused(selling.add(buyer, new_uuid()), "PRODUCT_NOT_FOUND")
    assert await selling.stock(product) == (3, 0, 0)


@pytest.mark.parametrize("choice", [{}, {"size": "XL"}, {"size": "S", "color": "red"}, {"color": "S"}])
async def test_a_missing_or_unknown_variant(selling: Any, choice: dict[str, str]) -> None:
    product = await selling.product_in_sizes(S=2, M=0)
    await refused(selling.add(selling.user(), product, **choice), "VALIDATION_FAILED")
    assert await selling.stock(product) == (2, 0, 0)


async def test_each_variant_has_its_own_stock(selling: Any) -> None:
    product = await selling.product_in_sizes(S=2, M=1)
    await selling.add(selling.user(), product, 2, size="S")
    await refused(selling.add(selling.user(), product, size="S"), "INSUFFICIENT_STOCK")
    await selling.add(selling.user(), product, size="M")


async def test_options_of_one_stock(selling: Any) -> None:
    product = await selling.product(2, color_options=["로즈", "네이비"])
    buyer = selling.user()
    for choice in ({}, {"color": "검정"}, {"color": "로즈", "size": "M"}):
        await refused(selling.add(buyer, product, **choice), "VALIDATION_FAILED")
    await selling.add(buyer, product, color="로즈")
    await selling.add(buyer, product, color="네이비")
    assert [item.color for item in (await selling.cart.view(buyer.id)).items] == ["로즈", "네이비"]
    await refused(selling.add(buyer, product, color="로즈"), "INSUFFICIENT_STOCK")


async def test_the_same_again_merges_without_more_time(selling: Any) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    first = await selling.add(buyer, product, 2)
    await selling.pass_time(100)
    again = await selling.add(buyer, product, 1)
    assert (again["id"], again["quantity"], again["expiresAt"]) == (first["id"], 3, first["expiresAt"])
    assert await selling.stock(product) == (5, 3, 0)


async def test_units_at_a_new_price_are_a_line_of_their_own(selling: Any) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    first = await selling.add(buyer, product, 2)
    await selling.patch(product, discount_rate=50)
    second = await selling.add(buyer, product, 1)
    assert second["unitPrice"] == "5.00"
    lines = (await selling.cart.view(buyer.id)).items
    assert [(str(line.unit_price), line.quantity) for line in lines] == [("10.00", 2), ("5.00", 1)]
    assert to_json(lines[0])["expiresAt"] == first["expiresAt"]
    third = await selling.add(buyer, product, 1)
    assert (third["id"], third["quantity"]) == (second["id"], 2)


async def test_change_holds_the_difference_or_nothing(selling: Any) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    await selling.add(buyer, product, 2)
    line = (await selling.cart.view(buyer.id)).items[0]
    await selling.pass_time(60)
    up = await selling.cart.change(buyer.id, line.id, 5)
    assert (up.quantity, up.expires_at, await selling.stock(product)) == (5, line.expires_at, (5, 5, 0))
    await refused(selling.cart.change(buyer.id, line.id, 6), "INSUFFICIENT_STOCK")
    assert (await selling.cart.view(buyer.id)).items[0].quantity == 5
    down = await selling.cart.change(buyer.id, line.id, 1)
    assert (down.quantity, down.expires_at, await selling.stock(product)) == (1, line.expires_at, (5, 1, 0))


async def test_remove_gives_back(selling: Any) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    await selling.add(buyer, product, 2)
    line = (await selling.cart.view(buyer.id)).items[0]
    await selling.cart.remove(buyer.id, line.id)
    assert await selling.stock(product) == (5, 0, 0)
    await refused(selling.cart.remove(buyer.id, line.id), "CART_ITEM_NOT_FOUND")
    assert await selling.bench.db.fetchval("SELECT count(*) FROM core.deadlines") == 0


async def test_the_item_of_another_does_not_exist(selling: Any) -> None:
    product = await selling.product(5)
    await selling.add(owner := selling.user(), product)
    line = (await selling.cart.view(owner.id)).items[0]
    stranger = selling.user("남")
    await refused(selling.cart.change(stranger.id, line.id, 2), "CART_ITEM_NOT_FOUND")
    await refused(selling.cart.remove(stranger.id, line.id), "CART_ITEM_NOT_FOUND")
    assert (await selling.cart.view(owner.id)).items[0].quantity == 1


@pytest.mark.parametrize("swept", [False, True])
async def test_after_its_time_an_item_is_dead(selling: Any, swept: bool) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    await selling.add(buyer, product, 2)
    line = (await selling.cart.view(buyer.id)).items[0]
    await selling.pass_time(599)
    await selling.bench.fire_deadlines()
    assert (await selling.cart.view(buyer.id)).items[0].id == line.id
    await selling.pass_time(1.5)
    if swept:
        await selling.bench.fire_deadlines()
    await refused(selling.cart.change(buyer.id, line.id, 1), "CART_EXPIRED")
    await refused(selling.cart.remove(buyer.id, line.id), "CART_EXPIRED")
    assert (await selling.cart.view(buyer.id)).items == []
    assert await selling.stock(product) == (5, 0 if swept else 2, 0)


async def test_expiry_releases_once_and_tells_the_owner(selling: Any) -> None:
    product = await selling.product(2)
    buyer = selling.user()
    item = await selling.add(buyer, product, 2)
    await selling.pass_time(601)
    await selling.bench.fire_deadlines()
    await selling.bench.fire_deadlines()
    assert await selling.stock(product) == (2, 0, 0)
    await selling.bench.deliver()
    (told,) = selling.bench.rooms.heard(f"u:{buyer.id}", "cart:expired")
    assert (told.data["id"], told.data["quantity"], told.data["reason"]) == (item["id"], 2, "time")
    assert selling.bench.rooms.heard("live-show", "live:product:updated")[-1].data["available"] == 2


async def test_a_dead_item_is_not_merged_into(selling: Any) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    first = await selling.add(buyer, product)
    await selling.pass_time(601)
    second = await selling.add(buyer, product)
    assert second["id"] != first["id"]
    await selling.bench.fire_deadlines()
    assert [str(line.id) for line in (await selling.cart.view(buyer.id)).items] == [second["id"]]


async def test_without_a_timer_it_is_held_until_24_hours_after_the_broadcast(selling: Any) -> None:
    product = await selling.product(5, timer_enabled=False)
    buyer = selling.user()
    assert (await selling.add(buyer, product))["expiresAt"] is None
    await selling.pass_time(7 * 86_400)
    await selling.bench.fire_deadlines()
    assert len((await selling.cart.view(buyer.id)).items) == 1
    stream = selling.bench.streams.put("live-show", status="OFFLINE")
    async with selling.bench.db.transaction() as tx:
        await selling.bench.hooks.in_tx("stream_ended_in_tx", tx, stream=stream)
    later = selling.user("늦은")
    assert (await selling.add(later, product))["expiresAt"] is not None
    await selling.pass_time(86_390)
    await selling.bench.fire_deadlines()
    assert len((await selling.cart.view(buyer.id)).items) == 1
    await selling.pass_time(11)
    await selling.bench.fire_deadlines()
    assert (await selling.cart.view(buyer.id)).items == []
    assert await selling.stock(product) == (5, 0, 0)


async def test_a_broadcast_that_starts_again_is_not_over(selling: Any) -> None:
    product = await selling.product(5, timer_enabled=False)
    stream = await selling.bench.streams.find("live-show")
    async with selling.bench.db.transaction() as tx:
        await selling.bench.hooks.in_tx("stream_ended_in_tx", tx, stream=stream)
    now = await selling.bench.db.fetchval("SELECT core.now()")
    event = StreamStarted(stream_key="live-show", title="", started_at=now)
    meta = EventMeta(id=new_uuid(), position=1, aggregate_seq=1, at=now)
    await selling.bench.hooks.deliver("dorami_cart", "on_stream_started", event=event, meta=meta)
    assert (await selling.add(selling.user(), product))["expiresAt"] is None


async def test_a_named_wish_gets_the_same_answer(selling: Any) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    first = await selling.add(buyer, product, 2, client_id="tap-1")
    await selling.pass_time(30)
    assert await selling.add(buyer, product, 2, client_id="tap-1") == first
    await refused(selling.add(buyer, product, 3, client_id="tap-1"), "CONFLICT")
    await refused(selling.add(buyer, product, client_id=""), "VALIDATION_FAILED")
    assert await selling.stock(product) == (5, 2, 0)
    await selling.add(selling.user("다른"), product, 1, client_id="tap-1")


async def test_a_refused_wish_may_be_said_again(selling: Any) -> None:
    product = await selling.product(1)
    await selling.add(first := selling.user(), product)
    buyer = selling.user()
    await refused(selling.add(buyer, product, client_id="tap"), "INSUFFICIENT_STOCK")
    await selling.cart.remove(first.id, (await selling.cart.view(first.id)).items[0].id)
    assert (await selling.add(buyer, product, client_id="tap"))["quantity"] == 1


async def test_waiting_needs_a_queue(selling: Any) -> None:
    product = await selling.product(0)
    await refused(selling.add(selling.user(), product, wait=True), "INSUFFICIENT_STOCK")


async def test_the_broadcast_hears_who_added_without_a_name(selling: Any) -> None:
    product = await selling.product(5)
    await selling.add(selling.user("민수"), product, 2)
    await selling.bench.deliver()
    (said,) = selling.bench.rooms.heard("live-show", "cart:activity")
    assert said.data == {
        "streamKey": "live-show",
        "maskedName": "민*님",
        "productId": str(product.id),
        "quantity": 2,
    }


@pytest.mark.parametrize(
    ("name", "shown"), [("민", "민*님"), ("김민수", "김*님"), ("minsu_92", "mi*님"), ("@abc", "a*님")]
)
def test_names_are_masked(name: str, shown: str) -> None:
    assert mask_name(name) == shown


async def test_a_name_that_is_too_long_is_refused(selling: Any) -> None:
    product = await selling.product(5)
    wish = AddToCart(product_id=product.id, quantity=1, client_id="x" * 101)
    await refused(selling.cart.add(selling.user(), wish), "VALIDATION_FAILED")


async def test_a_rehearsal_leaves_nothing_behind(selling: Any) -> None:
    async def rows() -> list[Any]:
        names = await selling.bench.db.fetch(
            "SELECT schemaname || '.' || relname AS name FROM pg_stat_user_tables ORDER BY 1"
        )
        return [(name, await selling.bench.db.fetchval(f"SELECT count(*) FROM {name}")) for (name,) in names]

    product = await selling.product(3)
    before = await rows()
    made: list[int] = []

    class Watched:
        async def in_tx(self, hook: str, tx: Any) -> None:
            await selling.bench.hooks.in_tx(hook, tx)
            made.append(await tx.fetchval("SELECT count(*) FROM cart.items"))

    with structlog.testing.capture_logs() as said:
        await rehearse(selling.bench.db, Watched())
    assert said == []
    assert made == [5, 5]
    assert await rows() == before
    assert await selling.stock(product) == (3, 0, 0)
