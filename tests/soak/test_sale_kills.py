"""`kill -9` at random moments of a sale: of the process, of PostgreSQL, of Redis. Afterwards every rule holds, and what
buyers were told is true. At least twenty rounds under `make soak`, else one of each."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
from dorami_catalog.verify import verify
from kill_buyers import Buyer, Sale
from sale_machine import ALL_CHECKS
from soaking import Soak

from dorami_core import runtime
from dorami_core.events.codec import EventCodec
from dorami_core.events.outbox import OutboxWriter
from dorami_core.store.embedded.postgres import database_url
from dorami_core.store.embedded.process import processes_in
from dorami_core.store.postgres import PostgresDatabase, open_database
from dorami_core.testing.clock import move_database_clock
from dorami_core.testing.server import RunningDorami, eventually, start_dorami

BUYERS = 20
ROUNDS = 20
TARGETS = ("the process", "PostgreSQL", "Redis")
ENVIRON = {"DORAMI_LIMITS__EXEMPT_ADDRESSES": '["127.0.0.1"]'}
AFTERWARDS = 60
"""Answers that are waited for after the kill."""
ABANDONED_S = 61
"""After a minute what a dead process was asked under an Idempotency-Key may be asked again."""

UNITS_ADDED = """
SELECT i.id::text, i.product_id::text, i.quantity FROM cart.items i
WHERE i.user_id = $1 AND i.product_id = ANY($2::uuid[]) AND i.reservation_id IS NULL"""
PLACES = "SELECT id::text, number FROM reservation.places WHERE user_id = $1 AND product_id = ANY($2::uuid[])"
ORDERS = """
SELECT DISTINCT o.id FROM orders.orders o JOIN orders.items i ON i.order_id = o.id
WHERE o.user_id = $1 AND i.product_id = ANY($2::uuid[])"""
RELEASED = """
SELECT id::text FROM cart.items WHERE user_id = $1 AND product_id = ANY($2::uuid[]) AND status = 'RELEASED'"""


@attrs.define
class Shop:
    """One data directory, and the Dorami that serves it at the moment."""

    data: Path
    server: RunningDorami
    client: httpx.AsyncClient
    random: random.Random
    stream: str = ""

    async def open(self) -> None:
        self.stream = (await self.staff("POST", "/api/streams", {"title": "한밤 특가"}))["streamKey"]

    async def sign_in(self, name: str, **facts: str) -> tuple[str, str]:
        """Id and token."""
        body = {"email": f"{name}@example.test", "name": name, **facts}
        answer = await self.client.post(f"{self.server.web}/api/auth/dev-login", json=body)
        self.client.cookies.clear()
        data = answer.json()["data"]
        return data["user"]["id"], data["accessToken"]

    async def staff(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        _, token = await self.sign_in("seller", role="ADMIN")
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self.client.request(method, self.server.web + path, json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()["data"]

    async def make_product(self, name: str) -> str:
        body = {"streamKey": self.stream, "name": name, "price": "12.50", "quantity": self.random.randint(5, 25)}
        made: str = (await self.staff("POST", "/api/products", body))["id"]
        return made

    async def kill(self, target: str, sale: Sale) -> None:
        if target == "the process":
            sale.is_up = trio.Event()
            self.server.kill()
            self.server = sale.server = await trio.to_thread.run_sync(restart, self.data)
            async with self.database() as db:
                await move_database_clock(db, ABANDONED_S)
            sale.is_up.set()
        else:
            for pid in processes_in(self.data / ("postgres" if target == "PostgreSQL" else "redis")):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue  # it ended with the one before

    def database(self) -> AbstractAsyncContextManager[PostgresDatabase]:
        return open_database(database_url(self.data), min_size=1, max_size=1, outbox_writer=OutboxWriter(EventCodec()))

    async def judge(self, sale: Sale, buyers: list[Buyer]) -> None:
        await trio.to_thread.run_sync(
            lambda: eventually(lambda: self.server.metric("dorami_outbox_is_caught_up") == 1, within_s=60)
        )
        async with self.database() as db:
            wrong = await db.fetch(ALL_CHECKS, sale.products)
            assert [tuple(row) for row in wrong] == []
            assert await db.fetchval("SELECT count(*) FROM core.outbox_parked") == 0
            for buyer in buyers:
                asked = (buyer.user_id, sale.products)
                lines = {(row[0], row[1]): row[2] for row in await db.fetch(UNITS_ADDED, *asked)}
                assert lines == buyer.added, "every add that was granted, and no other"
                assert {row[0]: row[1] for row in await db.fetch(PLACES, *asked)} == buyer.places
                assert {row[0] for row in await db.fetch(ORDERS, *asked)} == buyer.orders
                assert {row[0] for row in await db.fetch(RELEASED, *asked)} >= buyer.given_back
        assert verify(await self.staff("GET", f"/api/admin/shows/{self.stream}/ledger")).problems == []


def restart(data: Path) -> RunningDorami:
    return start_dorami(data, environ=ENVIRON)


async def sell_and_kill(shop: Shop, turn: int) -> str:
    """One round, with products and buyers of its own; what was seen in it."""
    target = TARGETS[turn % len(TARGETS)]
    sale = Sale(shop.server, shop.client, [await shop.make_product(name) for name in ("가방", "니트")])
    sale.is_up.set()
    people = [await shop.sign_in(f"buyer{turn}-{number}") for number in range(BUYERS)]
    buyers = [Buyer(sale, user, token, shop.random.randrange(10**9)) for user, token in people]
    after = shop.random.randint(5, 120)
    async with trio.open_nursery() as nursery:
        for buyer in buyers:
            nursery.start_soon(buyer.shop)
        await sale.wait_answers(after)
        await shop.kill(target, sale)
        await sale.wait_answers(AFTERWARDS)
        sale.is_over = True
    await shop.judge(sale, buyers)
    if target == "Redis":
        assert (sale.unavailable, sale.unheard) == (0, 0), "selling never needs Redis"
    return (
        f"{target} killed after {after} answers: {sale.answers} answers, {sale.unheard} unheard, "
        f"{sale.unavailable} unavailable"
    )


def in_a_shop(data: Path, chance: random.Random, do: Callable[[Shop], Awaitable[Any]]) -> None:
    async def run() -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            shop = Shop(data, await trio.to_thread.run_sync(restart, data), client, chance)
            try:
                await shop.open()
                await do(shop)
            finally:
                await trio.to_thread.run_sync(shop.server.stop)

    runtime.run(run)


@pytest.mark.soak
# The buyers' httpx leaves sockets open and bodies half read where the server dies under it.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_buyers_were_told_is_true_whatever_is_killed(short_tmp: Path, soak: Soak) -> None:
    rounds = soak.rounds(ROUNDS if soak.is_long else len(TARGETS))

    async def all_rounds(shop: Shop) -> None:
        for turn in rounds:
            soak.tell(await sell_and_kill(shop, turn))

    in_a_shop(short_tmp / "kills", soak.random, all_rounds)
