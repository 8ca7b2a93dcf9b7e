"""A cart's ten minutes, in a whole Dorami whose clock the test moves."""

from __future__ import annotations

from pathlib import Path

from dorami_core import runtime
from dorami_core.events.codec import EventCodec
from dorami_core.events.outbox import OutboxWriter
from dorami_core.store.embedded.postgres import database_url
from dorami_core.store.postgres import open_database
from dorami_core.testing.clock import move_database_clock
from dorami_core.testing.server import eventually, running_dorami


def move_clock(url: str, seconds: float) -> None:
    async def move() -> None:
        async with open_database(url, min_size=1, max_size=1, outbox_writer=OutboxWriter(EventCodec())) as db:
            await move_database_clock(db, seconds)

    runtime.run(move)


def test_an_item_holds_its_stock_for_ten_minutes_and_no_longer(short_tmp: Path) -> None:
    data = short_tmp / "expiry"
    with running_dorami(data) as server:
        with server.client("seller@example.test", role="ADMIN") as seller:
            body = {"name": "단 하나", "price": "10.00", "quantity": 1}
            product = seller.post("/api/products", json=body).json()["data"]["id"]
        with server.client("first@example.test") as first, server.client("second@example.test") as second:
            wish = {"productId": product, "quantity": 1}
            assert first.post("/api/cart", json=wish).status_code == 201
            assert second.post("/api/cart", json=wish).json()["errorCode"] == "INSUFFICIENT_STOCK"

            url = database_url(data)
            move_clock(url, 598)
            assert len(first.get("/api/cart").json()["data"]["items"]) == 1
            assert second.post("/api/cart", json=wish).json()["errorCode"] == "INSUFFICIENT_STOCK"

            move_clock(url, 2)
            eventually(lambda: first.get("/api/cart").json()["data"]["items"] == [])
            eventually(lambda: second.get(f"/api/products/{product}").json()["data"]["available"] == 1)
            assert second.post("/api/cart", json=wish).status_code == 201
