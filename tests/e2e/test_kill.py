"""`kill -9` in the middle of a sale, then a new start: what was answered is true, and every rule holds."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from dorami_core import runtime
from dorami_core.store.embedded.postgres import start_postgres
from dorami_core.testing.server import RunningDorami, eventually, start_dorami

BUYERS = 40
ADDS = 200
STOCK = 160
ADDRESS = {
    "recipient": "김민지",
    "line1": "1 Main St",
    "city": "Irvine",
    "state": "CA",
    "postalCode": "92602",
    "country": "US",
}


def sell(server: RunningDorami, products: list[str], answered: list[tuple[str, Any]], kill_after: int) -> None:
    """Forty buyers add and order all at once; the kill comes after `kill_after` answers, five orders among them."""
    clients = [server.client(f"buyer{n}@example.test") for n in range(BUYERS)]
    lock, due = threading.Lock(), threading.Event()

    def call(client: httpx.Client, kind: str, path: str, body: dict[str, Any]) -> None:
        try:
            answer = client.post(path, json=body)
        except httpx.HTTPError:
            return
        if answer.status_code == 201:
            with lock:
                answered.append((kind, answer.json()["data"]))
                if len(answered) >= kill_after and sum(kind == "order" for kind, _ in answered) >= 5:
                    due.set()

    def shop(number: int) -> None:
        client = clients[number % BUYERS]
        call(client, "add", "/api/cart", {"productId": products[number % len(products)], "quantity": 1})
        if number % 4 == 3:
            call(
                client,
                "order",
                "/api/orders",
                {"depositorName": "김민지", "paymentMethod": "ZELLE", "shippingAddress": ADDRESS},
            )

    with ThreadPoolExecutor(BUYERS) as pool:
        jobs = [pool.submit(shop, number) for number in range(ADDS)]
        assert due.wait(60), "the sale did not get under way"
        server.process.kill()
        for job in jobs:
            job.result()
    for client in clients:
        client.close()
    server.process.wait()


async def look(url: str) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        connection = await asyncpg.connect(url)
        try:
            return {
                "negative": await connection.fetchval(
                    "SELECT count(*) FROM catalog.variants WHERE on_hand - held - committed < 0"
                ),
                "held": await connection.fetchval("SELECT sum(held) FROM catalog.variants"),
                "active": await connection.fetchval(
                    "SELECT coalesce(sum(quantity), 0) FROM cart.items WHERE status = 'ACTIVE'"
                ),
                "committed": await connection.fetchval("SELECT sum(committed) FROM catalog.variants"),
                "ordered": await connection.fetchval("SELECT coalesce(sum(quantity), 0) FROM orders.items"),
                "empty_orders": await connection.fetchval(
                    """SELECT count(*) FROM orders.orders o
                       WHERE NOT EXISTS (SELECT FROM orders.items i WHERE i.order_id = o.id)"""
                ),
                "items": {str(row["id"]) for row in await connection.fetch("SELECT id FROM cart.items")},
                "orders": {row["id"] for row in await connection.fetch("SELECT id FROM orders.orders")},
                "untimed": await connection.fetchval(
                    """SELECT count(*) FROM cart.items i WHERE status = 'ACTIVE' AND timer_enabled AND NOT EXISTS
                       (SELECT FROM core.deadlines d WHERE d.kind = 'cart_item' AND d.key = i.id::text)"""
                ),
                "events": await connection.fetchval("SELECT count(*) FROM core.outbox"),
                "behind": await connection.fetchval(
                    """SELECT count(*) FROM core.outbox o CROSS JOIN core.outbox_cursors c
                       WHERE o.position IS NULL OR o.position > c.position"""
                ),
                "parked": await connection.fetchval("SELECT count(*) FROM core.outbox_parked"),
            }
        finally:
            await connection.close()

    return await runtime.to_asyncio(ask)


def test_nothing_is_lost_and_nothing_is_doubled(short_tmp: Path) -> None:
    data = short_tmp / "killed"
    server = start_dorami(data)
    seller = server.client("seller@example.test", role="ADMIN")
    stream = seller.post("/api/streams", json={"title": "한밤 특가"}).json()["data"]["streamKey"]
    products = [
        seller.post(
            "/api/products", json={"streamKey": stream, "name": f"가방 {n}", "price": "12.50", "quantity": STOCK // 2}
        ).json()["data"]["id"]
        for n in range(2)
    ]
    seller.close()
    answered: list[tuple[str, Any]] = []
    sell(server, products, answered, kill_after=100)

    postgres = start_postgres(data)
    try:
        before = runtime.run(lambda: look(postgres.url))
    finally:
        postgres.stop()

    assert before["negative"] == 0
    assert before["held"] == before["active"]
    assert before["committed"] == before["ordered"] > 0
    assert before["empty_orders"] == 0
    assert before["untimed"] == 0
    assert {data["id"] for kind, data in answered if kind == "order"} <= before["orders"]
    assert {data["id"] for kind, data in answered if kind == "add"} <= before["items"]

    again = start_dorami(data)
    try:
        with again.client("seller@example.test", role="ADMIN") as client:
            for product in products:
                shown = client.get(f"/api/products/{product}").json()["data"]
                assert 0 <= shown["available"] <= STOCK // 2
        eventually(lambda: again.metric("dorami_outbox_is_caught_up") == 1)
    finally:
        again.stop()
    postgres = start_postgres(data)
    try:
        after = runtime.run(lambda: look(postgres.url))
    finally:
        postgres.stop()
    assert after["events"] >= before["events"] > 0
    assert (after["behind"], after["parked"]) == (0, 0)
    assert after["held"] == after["active"] == before["active"]
