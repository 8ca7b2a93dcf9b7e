"""Products: making, changing, deleting, and what viewers hear of it."""

from __future__ import annotations

from typing import Any

import pytest
from dorami_catalog.demo import demo_products, seed_products
from dorami_catalog.model import NewProduct, ProductPatch, VariantInput

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import StreamKey, new_uuid
from dorami_core.base.structure import from_json, to_json

GOOD = {"name": "니트", "price": "12.50", "quantity": 3}


async def refused(awaitable: Any, code: str) -> DoramiError:
    with pytest.raises(DoramiError) as caught:
        await awaitable
    assert caught.value.code == code
    return caught.value


async def test_a_product_is_shown_whole(selling: Any) -> None:
    product = await selling.product(3, price="19.99", discount_rate=15, hold_seconds=60)
    shown = to_json(await selling.catalog.get(product.id))
    assert (shown["price"], shown["finalPrice"], shown["currency"]) == ("19.99", "16.99", "USD")
    assert (shown["quantity"], shown["available"], shown["variants"]) == (3, 3, [])
    assert (shown["status"], shown["version"], shown["streamKey"]) == ("AVAILABLE", 1, "live-show")
    assert (shown["holdSeconds"], shown["timerEnabled"]) == (60, True)


@pytest.mark.parametrize(
    ("price", "rate", "final"), [("0.05", 50, "0.03"), ("0.01", 50, "0.01"), ("10.00", 100, "0.00")]
)
async def test_discount_is_half_up(selling: Any, price: str, rate: int, final: str) -> None:
    product = await selling.product(price=price, discount_rate=rate)
    assert str(product.final_price) == final
    assert product.final_price == product.price.discounted(rate)


async def test_quantity_of_variants_is_their_sum_and_read_only(selling: Any) -> None:
    product = await selling.product_in_sizes(S=2, M=3)
    assert (product.quantity, product.size_options, product.color_options) == (5, ["S", "M"], [])
    await refused(selling.patch(product, quantity=9), "VALIDATION_FAILED")
    assert (await selling.catalog.get(product.id)).quantity == 5


@pytest.mark.parametrize(
    "change",
    [
        {"price": "-1.00"},
        {"price": "1.001"},
        {"price": 12},
        {"name": "  "},
        {"quantity": -1},
        {"quantity": 10**9},
        {"quantity": None},
        {"quantity": 1, "variants": [{"size": "S", "quantity": 1}]},
        {"quantity": None, "variants": []},
        {"quantity": None, "variants": [{"quantity": 1}]},
        {"quantity": None, "variants": [{"size": "S", "quantity": 1}, {"size": "S", "quantity": 2}]},
        {"quantity": None, "variants": [{"size": "S", "quantity": 1}], "sizeOptions": ["M"]},
        {"discountRate": 101},
        {"discountRate": 1.5},
        {"holdSeconds": 0},
        {"imageUrl": "javascript:alert(1)"},
        {"imageUrl": "//evil.example/x.png"},
        {"colorOptions": ["red", "red"]},
        {"timerEnabled": "yes"},
        {"nonsense": 1},
    ],
)
async def test_bad_products_are_refused(selling: Any, change: dict[str, Any]) -> None:
    body = {name: value for name, value in {**GOOD, **change}.items() if value is not None}

    async def make() -> None:
        await selling.catalog.create(from_json(body, NewProduct))

    error = await refused(make(), "VALIDATION_FAILED")
    assert error.details["fields"][0]["field"]
    assert await selling.catalog.list_store() == []


async def test_a_product_of_an_unknown_broadcast_is_refused(selling: Any) -> None:
    await refused(selling.product(stream_key="no-such-show"), "STREAM_NOT_FOUND")


async def test_patch_changes_what_is_sent_alone(selling: Any) -> None:
    product = await selling.product(5, image_url="/a.png", hold_seconds=30)
    patch = from_json({"name": "가디건", "holdSeconds": None}, ProductPatch)
    changed = await selling.catalog.change(product.id, patch)
    assert (changed.name, changed.hold_seconds, changed.image_url, changed.quantity) == ("가디건", None, "/a.png", 5)
    assert changed.version == product.version + 1
    await refused(selling.catalog.change(new_uuid(), patch), "PRODUCT_NOT_FOUND")


async def test_on_hand_never_goes_below_what_is_promised(selling: Any) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    await selling.add(buyer, product, 3)
    error = await refused(selling.patch(product, quantity=2), "CONFLICT")
    assert error.details["committed"] == 3
    assert (await selling.patch(product, quantity=3)).available == 0


async def test_variants_come_and_go(selling: Any) -> None:
    product = await selling.product_in_sizes(S=2, M=3)
    await selling.add(selling.user(), product, size="S")
    without_s = [VariantInput(size="M", quantity=3), VariantInput(size="L", quantity=1)]
    await refused(selling.patch(product, variants=without_s), "CONFLICT")
    without_m = [VariantInput(size="S", quantity=2), VariantInput(size="L", quantity=1)]
    changed = await selling.patch(product, variants=without_m)
    assert [(variant.size, variant.available) for variant in changed.variants] == [("S", 1), ("L", 1)]
    assert changed.variants[0].id == product.variants[0].id
    again = [VariantInput(size="M", quantity=7), *without_m]
    assert (await selling.patch(product, variants=again)).quantity == 10


async def test_sold_out_by_hand_blocks_adds_and_keeps_holds(selling: Any) -> None:
    product = await selling.product(5)
    buyer = selling.user()
    item = await selling.add(buyer, product, 2)
    shut = await selling.patch(product, status="SOLD_OUT")
    assert (shut.status, shut.available, shut.quantity) == ("SOLD_OUT", 0, 5)
    await refused(selling.add(buyer, product), "INSUFFICIENT_STOCK")
    line = (await selling.cart.view(buyer.id)).items[0]
    await refused(selling.cart.change(buyer.id, line.id, 3), "INSUFFICIENT_STOCK")
    assert [str(held.id) for held in (await selling.cart.view(buyer.id)).items] == [item["id"]]
    assert (await selling.order(buyer)).items[0].quantity == 2
    opened = await selling.patch(product, status="AVAILABLE")
    assert (opened.status, opened.available) == ("AVAILABLE", 3)


async def test_delete_is_soft(selling: Any) -> None:
    product = await selling.product(5)
    ordering, holding = selling.user("주문"), selling.user("담기")
    await selling.add(ordering, product)
    order = await selling.order(ordering)
    await selling.add(holding, product, 2)
    await selling.catalog.delete(product.id)
    await refused(selling.catalog.get(product.id), "PRODUCT_NOT_FOUND")
    await refused(selling.catalog.delete(product.id), "PRODUCT_NOT_FOUND")
    await refused(selling.add(holding, product), "PRODUCT_NOT_FOUND")
    assert (await selling.cart.view(holding.id)).items == []
    assert (await selling.orders.get(order.id)).items[0].name == "니트"
    assert await selling.stock(product) == (5, 0, 1)
    await selling.bench.deliver()
    told = selling.bench.rooms.heard(f"u:{holding.id}", "cart:expired")
    assert [said.data["reason"] for said in told] == ["product_deleted"]


async def test_viewers_hear_of_products(selling: Any) -> None:
    rooms = selling.bench.rooms
    product = await selling.product(2)
    await selling.bench.deliver()
    await selling.add(selling.user(), product)
    await selling.bench.deliver()
    await selling.add(selling.user(), product)
    await selling.bench.deliver()
    await selling.catalog.delete(product.id)
    await selling.bench.deliver()
    said = [said for said in rooms.heard("live-show") if said.event.startswith("live:product:")]
    assert [one.event.rpartition(":")[2] for one in said] == ["added", "updated", "soldout", "deleted"]
    assert [one.data["version"] for one in said] == [1, 2, 3, 4]
    assert [one.data["available"] for one in said[:3]] == [2, 1, 0]
    assert said[3].data == {"id": str(product.id), "version": 4}


async def test_waiting_events_of_a_product_are_said_once(selling: Any) -> None:
    product = await selling.product(50)
    await selling.bench.deliver()
    for _ in range(10):
        await selling.add(selling.user(), product)
    await selling.bench.deliver()
    said = selling.bench.rooms.heard("live-show", "live:product:updated")
    assert [(one.data["version"], one.data["available"]) for one in said] == [(11, 40)]


async def test_a_product_moves_to_another_broadcast(selling: Any) -> None:
    selling.bench.streams.put("next-show", status="PENDING")
    product = await selling.product()
    await selling.patch(product, stream_key="next-show")
    await selling.bench.deliver()
    assert [said.event for said in selling.bench.rooms.heard("live-show")] == ["live:product:deleted"]
    assert [said.event for said in selling.bench.rooms.heard("next-show")] == ["live:product:added"]


async def test_the_snapshot_has_the_products_in_order(selling: Any) -> None:
    stream = await selling.bench.streams.find("live-show")
    for name, order in (("나중", 2), ("먼저", 1)):
        await selling.product(name=name, sort_order=order)
    await selling.product(name="다른 곳", stream_key=None)
    value = await selling.bench.hooks.filter("filter_stream_snapshot", {"viewerCount": 7}, stream=stream)
    assert [product["name"] for product in value["products"]] == ["먼저", "나중"]
    assert (value["pinnedProductId"], value["viewerCount"]) == (None, 7)


async def test_lists_are_paged(selling: Any) -> None:
    for number in range(5):
        await selling.product(name=str(number), sort_order=number // 2)
    names, cursor = [], None
    while True:
        page = await selling.catalog.page("live-show", cursor, 2)
        names += [product.name for product in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert names == ["0", "1", "2", "3", "4"]
    await refused(selling.catalog.page(None, "nonsense", 2), "VALIDATION_FAILED")


async def test_the_demo_is_made_once(selling: Any) -> None:
    for _ in range(2):
        await seed_products(selling.catalog._host, selling.catalog, StreamKey("live-show"))
    products = await selling.catalog.list_for_stream("live-show")
    assert len(products) == len(demo_products("live-show")) == 6
    assert all(product.price.minor > 0 and product.image_url for product in products)
