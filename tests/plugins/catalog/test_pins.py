"""The product shown now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import trio
from dorami_catalog.pins import Pins

from dorami_core.base.errors import DoramiError


@pytest.fixture
def pins(selling: Any) -> Pins:
    return Pins(selling.catalog._host)


async def snapshot(selling: Any) -> dict[str, Any]:
    stream = await selling.bench.streams.find("live-show")
    found: dict[str, Any] = await selling.bench.hooks.filter("filter_stream_snapshot", {}, stream=stream)
    return found


async def test_one_product_is_shown_and_its_times_are_kept(selling: Any, pins: Pins) -> None:
    first, second = await selling.product(1), await selling.product(1)
    began = await selling.bench.db.fetchval("SELECT core.now()")
    shown = await pins.pin("live-show", first.id)
    assert shown.product_id == first.id
    assert shown.pinned_at is not None
    assert shown.pinned_at >= began
    assert (await snapshot(selling))["pinnedProductId"] == str(first.id)
    await selling.pass_time(60)
    await pins.pin("live-show", second.id)
    await pins.pin("live-show", None)
    assert (await snapshot(selling))["pinnedProductId"] is None
    rows = await selling.bench.db.fetch("SELECT * FROM catalog.showings ORDER BY id")
    assert [row["product_id"] for row in rows] == [first.id, second.id]
    assert 60_000 <= rows[0]["media_until_ms"] - rows[0]["media_from_ms"] < 65_000
    assert rows[0]["media_from_ms"] == shown.media_time_ms
    await selling.bench.deliver()
    said = selling.bench.rooms.heard("live-show", "live:product:pinned")
    assert said[-1].data == {"streamKey": "live-show", "productId": None, "pinnedAt": None, "mediaTimeMs": None}


async def test_the_same_again_changes_nothing(selling: Any, pins: Pins) -> None:
    product = await selling.product(1)
    first = await pins.pin("live-show", product.id)
    assert await pins.pin("live-show", product.id) == first
    assert await selling.bench.db.fetchval("SELECT count(*) FROM catalog.showings") == 1


async def test_what_cannot_be_shown(selling: Any, pins: Pins) -> None:
    selling.bench.streams.put("other-show")
    product = await selling.product(1, stream_key="other-show")
    for stream, product_id, code in (
        ("live-show", product.id, "PRODUCT_NOT_FOUND"),
        ("no-show", product.id, "STREAM_NOT_FOUND"),
    ):
        with pytest.raises(DoramiError) as caught:
            await pins.pin(stream, product_id)
        assert caught.value.code == code


async def test_what_is_deleted_or_over_is_shown_no_more(selling: Any, pins: Pins) -> None:
    product, other = await selling.product(1), await selling.product(1)
    await pins.pin("live-show", product.id)
    await selling.catalog.delete(product.id)
    assert (await snapshot(selling))["pinnedProductId"] is None
    await pins.pin("live-show", other.id)
    stream = await selling.bench.streams.find("live-show")
    async with selling.bench.db.transaction() as tx:
        await selling.bench.hooks.in_tx("stream_ended_in_tx", tx, stream=stream)
    assert await selling.catalog.pinned("live-show") is None


async def test_two_taps_at_once_show_one(selling: Any, pins: Pins) -> None:
    products = [await selling.product(1) for _ in range(6)]
    async with trio.open_nursery() as nursery:
        for product in products:
            nursery.start_soon(pins.pin, "live-show", product.id)
    assert await selling.bench.db.fetchval("SELECT count(*) FROM catalog.showings WHERE hidden_at IS NULL") == 1


async def test_what_was_shown_on_air_asks_for_a_clip(selling: Any, pins: Pins) -> None:
    first, second = await selling.product(1), await selling.product(1)
    await pins.pin("live-show", first.id)
    await selling.pass_time(60)
    await pins.pin("live-show", second.id)
    await selling.pass_time(1)
    await pins.pin("live-show", None)
    (clip,) = await selling.bench.db.fetch("SELECT * FROM recordings.clips")
    (shown, _) = await selling.bench.db.fetch("SELECT * FROM catalog.showings ORDER BY id")
    assert (clip["subject"], clip["live_id"], clip["status"]) == (first.id, "live-show", "WAITING")
    assert (clip["since"], clip["until"]) == (shown["shown_at"], shown["hidden_at"])


async def test_what_was_shown_before_the_broadcast_has_none(selling: Any, pins: Pins) -> None:
    selling.bench.streams.put("soon-show", status="PENDING")
    product = await selling.product(1, stream_key="soon-show")
    await pins.pin("soon-show", product.id)
    await selling.pass_time(60)
    await pins.pin("soon-show", None)
    assert await selling.bench.db.fetchval("SELECT count(*) FROM recordings.clips") == 0


async def test_one_that_is_shown_as_the_broadcast_begins_has_one_from_its_beginning(selling: Any, pins: Pins) -> None:
    selling.bench.streams.put("soon-show", status="PENDING")
    product = await selling.product(1, stream_key="soon-show")
    await pins.pin("soon-show", product.id)
    stream = selling.bench.streams.put("soon-show")
    await selling.pass_time(60)
    async with selling.bench.db.transaction() as tx:
        await pins.end(tx, stream)
    assert await selling.bench.db.fetchval("SELECT since FROM recordings.clips") == stream.started_at


async def test_showings_of_a_time(selling: Any, pins: Pins) -> None:
    began = await selling.bench.db.fetchval("SELECT core.now()")
    products = [await selling.product(1) for _ in range(4)]
    for product in products:
        await pins.pin("live-show", product.id)
        await selling.pass_time(60)
    await selling.catalog.delete(products[2].id)
    found = await selling.catalog.showings("live-show", began + timedelta(seconds=90), began + timedelta(hours=1))
    assert [one.product_id for one in found] == [products[1].id, products[3].id]
    assert found[0].until is not None
    assert found[1].until is None
    assert await selling.catalog.showings("no stream key", began, began) == []
