"""One product in several broadcasts: shown, pinned and sold in each."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from dorami_catalog.pins import Pins

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import GuestId
from dorami_core.base.principal import Principal

SHOWS = ("live-show", "next-show")


@pytest.fixture
def shows(selling: Any) -> Any:
    selling.bench.streams.put("next-show", free_shipping_enabled=True)
    selling.bench.streams.put("third-show", status="PENDING")
    return selling


async def in_both(shop: Any, quantity: int = 5, **fields: Any) -> Any:
    return await shop.product(quantity, stream_key=None, stream_keys=list(SHOWS), **fields)


async def refused(doing: Any, code: str) -> None:
    with pytest.raises(DoramiError) as found:
        await doing
    assert found.value.code == code


def said(shop: Any, room: str) -> list[str]:
    return [one.event.rpartition(":")[2] for one in shop.bench.rooms.heard(room) if "product" in one.event]


async def test_it_is_listed_in_each(shows: Any) -> None:
    product = await in_both(shows)
    assert (product.stream_keys, product.stream_key) == (list(SHOWS), "next-show")
    for show in SHOWS:
        assert [one.id for one in await shows.catalog.list_for_stream(show)] == [product.id]
        stream = await shows.bench.streams.find(show)
        snapshot = await shows.bench.hooks.filter("filter_stream_snapshot", {}, stream=stream)
        assert [one["id"] for one in snapshot["products"]] == [str(product.id)]
    assert await shows.catalog.list_for_stream("third-show") == []
    assert len((await shows.catalog.page(None, None, 10)).items) == 1


async def test_all_of_them_hear_of_it(shows: Any) -> None:
    product = await in_both(shows, 1)
    await shows.bench.deliver()
    await shows.patch(product, price="9.00")
    await shows.bench.deliver()
    await shows.add(shows.user(), product)
    await shows.bench.deliver()
    await shows.catalog.delete(product.id)
    await shows.bench.deliver()
    for show in SHOWS:
        assert said(shows, show) == ["added", "updated", "soldout", "deleted"]
    assert said(shows, "third-show") == []


async def test_one_more_hears_that_it_came_and_the_others_that_it_changed(shows: Any) -> None:
    product = await in_both(shows)
    await shows.bench.deliver()
    changed = await shows.patch(product, stream_keys=["next-show", "third-show"])
    await shows.bench.deliver()
    assert (changed.stream_key, changed.version) == ("third-show", 2)
    assert said(shows, "live-show") == ["added", "deleted"]
    assert said(shows, "next-show") == ["added", "updated"]
    assert said(shows, "third-show") == ["added", "updated"]
    (last,) = [one for one in shows.bench.rooms.heard("next-show", "live:product:updated")]
    assert last.data["streamKeys"] == ["next-show", "third-show"]


async def test_one_broadcast_alone_and_none(shows: Any) -> None:
    product = await in_both(shows)
    alone = await shows.patch(product, stream_key="third-show")
    assert (alone.stream_keys, alone.stream_key) == (["third-show"], "third-show")
    nowhere = await shows.patch(product, stream_keys=[])
    assert (nowhere.stream_keys, nowhere.stream_key) == ([], None)
    await refused(shows.patch(product, stream_keys=["no-such-show"]), "STREAM_NOT_FOUND")
    await refused(shows.patch(product, stream_key="live-show", stream_keys=["next-show"]), "VALIDATION_FAILED")


async def test_it_is_pinned_in_each(shows: Any) -> None:
    product, other = await in_both(shows), await shows.product(3)
    pins = Pins(shows.catalog._host)
    for show in SHOWS:
        await pins.pin(show, product.id)
    await pins.pin("live-show", other.id)
    assert [await shows.catalog.pinned(show) for show in SHOWS] == [other.id, product.id]
    await refused(pins.pin("next-show", other.id), "PRODUCT_NOT_FOUND")
    await shows.patch(product, stream_keys=["live-show"])
    assert await shows.catalog.pinned("next-show") is None


async def test_it_is_sold_in_each_from_one_stock(shows: Any) -> None:
    product = await in_both(shows, 3)
    first = await shows.add(shows.user("민수"), product, stream_key="live-show")
    second = await shows.add(shows.user("지우"), product, stream_key="next-show")
    third = await shows.add(shows.user("하나"), product)
    assert [line["streamKey"] for line in (first, second, third)] == ["live-show", "next-show", "next-show"]
    await refused(shows.add(shows.user(), product, stream_key="live-show"), "INSUFFICIENT_STOCK")
    await refused(shows.add(shows.user(), product, stream_key="third-show"), "PRODUCT_NOT_FOUND")
    assert await shows.stock(product) == (3, 3, 0)
    await shows.bench.deliver()
    for show in SHOWS:
        activity = shows.bench.rooms.heard(show, "cart:activity")
        assert [one.data["streamKey"] for one in activity] == [show] * 3


async def test_shipping_is_free_where_the_broadcast_it_was_bought_in_grants_it(shows: Any) -> None:
    product = await in_both(shows)
    fees = []
    for show in SHOWS:
        buyer = shows.user()
        await shows.add(buyer, product, stream_key=show)
        fees.append((await shows.order(buyer)).shipping_fee.minor)
    assert fees == [500, 0]


async def test_each_hears_of_a_purchase(shows: Any) -> None:
    product, buyer = await in_both(shows), shows.user()
    await shows.add(buyer, product, 2)
    await shows.orders.confirm_payment((await shows.order(buyer)).id)
    await shows.bench.deliver()
    for show in SHOWS:
        (told,) = shows.bench.rooms.heard(show, "order:purchase:notification")
        assert told.data["items"] == [{"productId": str(product.id), "quantity": 2}]


async def test_an_order_in_the_chat_is_of_its_broadcast(shows: Any) -> None:
    await in_both(shows)
    value = await shows.bench.hooks.filter(
        "filter_chat_receipt",
        {"id": "1"},
        principal=Principal(user=shows.user(), guest_id=GuestId("g")),
        stream_key="live-show",
        message="1번 1개",
    )
    assert value["cart"]["item"]["streamKey"] == "live-show"


async def test_without_a_timer_a_line_ends_after_the_broadcast_it_was_made_in(shows: Any) -> None:
    product = await in_both(shows, timer_enabled=False)
    line = {show: await shows.add(shows.user(), product, stream_key=show) for show in SHOWS}
    assert [one["expiresAt"] for one in line.values()] == [None, None]
    stream = await shows.bench.streams.find("live-show")
    async with shows.bench.db.transaction() as tx:
        await shows.bench.hooks.in_tx("stream_ended_in_tx", tx, stream=stream)
    ends = {show: await ends_at(shows, line[show]) for show in SHOWS}
    assert (ends["live-show"] is not None, ends["next-show"]) == (True, None)
    late = await shows.add(shows.user(), product, stream_key="live-show")
    assert (await shows.add(shows.user(), product))["expiresAt"] is None
    assert late["expiresAt"] is not None


async def test_the_proof_of_each_has_it(shows: Any) -> None:
    product = await in_both(shows)
    for show in SHOWS:
        assert [one["id"] for one in (await shows.catalog.export_show(show))["products"]] == [str(product.id)]


async def ends_at(shop: Any, line: dict[str, Any]) -> Any:
    return await shop.bench.db.fetchval("SELECT expires_at FROM cart.items WHERE id = $1", UUID(line["id"]))
