"""Ten thousand holds run out, and in the middle the process is killed: how late each was released, and whether once."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import attrs
import httpx
import trio
from dorami_catalog.verify import verify

from bench.ingest import make_stream
from bench.report import Outcome, percentile, progress
from bench.shoppers import Shopper, connect_shopper
from bench.target import CannotRun
from dorami_core import runtime
from dorami_core.store.embedded.postgres import database_url
from dorami_core.testing.server import RunningDorami, eventually, start_dorami

SUMMARY = "10,000 timers of carts, and a kill in the middle: how late each runs out, by the database's own times"
LINES = 50
"""Of each buyer, one of each product."""
ENVIRON = {"DORAMI_LIMITS__EXEMPT_ADDRESSES": '["127.0.0.1"]'}
PATIENCE_S = 60.0

# Each line's row was written last by the transaction that released it, and PostgreSQL keeps when that was committed.
RELEASES = """
SELECT expires_at AS due, pg_xact_commit_timestamp(xmin) AS released
FROM cart.items WHERE status = 'EXPIRED' ORDER BY 1"""
LEFT = "SELECT count(*) FROM cart.items WHERE status = 'ACTIVE'"
MIDDLE = """
SELECT min(due_at) + (max(due_at) - min(due_at)) / 2 FROM core.deadlines WHERE kind = 'cart_item'"""
RUNNING = "SELECT count(*) FROM core.deadlines WHERE kind = 'cart_item'"
UNITS = """
SELECT (SELECT coalesce(sum(quantity), 0) FROM catalog.ledger WHERE kind = 'RELEASE') AS released,
       (SELECT coalesce(sum(held), 0) FROM catalog.variants) AS held"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timers", type=int, default=10_000, help=f"a multiple of {LINES} (default: 10000)")
    parser.add_argument("--over", type=float, default=60.0, help="seconds in which they are set, and run out")


@attrs.define
class House:
    """The Dorami that is there at the moment."""

    server: RunningDorami

    def ask(self, method: str, sql: str) -> Any:
        """One question to the server's own database."""

        async def ask() -> Any:
            connection = await asyncpg.connect(database_url(self.server.data))
            try:
                return await getattr(connection, method)(sql)
            finally:
                await connection.close()

        return runtime.run(lambda: runtime.to_asyncio(ask))

    def start_again(self) -> None:
        self.server = _start(self.server.data)


@attrs.frozen
class Down:
    """When the process was killed, and when it was there again; seconds since the epoch."""

    killed_at: float
    ready_at: float


def run(options: argparse.Namespace) -> Outcome:
    if options.timers < LINES or options.timers % LINES or options.over < 1:
        raise CannotRun(f"give a multiple of {LINES} timers, and at least a second to set them in")
    with tempfile.TemporaryDirectory(prefix="dorami-bench-") as folder:
        house = House(_start(Path(folder) / "data"))
        try:
            house.ask("execute", "ALTER SYSTEM SET track_commit_timestamp = on")
            house.server.stop()
            house.start_again()
            running = _set_timers(options, house)
            down = _kill_in_the_middle(options, house)
            return _judge(options, house, running, down)
        finally:
            if house.server.process.poll() is None:
                house.server.stop()


def _start(data: Path) -> RunningDorami:
    try:
        return start_dorami(data, environ=ENVIRON)
    except RuntimeError as error:
        raise CannotRun(str(error)) from error


def _set_timers(options: argparse.Namespace, house: House) -> int:
    """How many are running at once when all are set."""
    buyers, server = options.timers // LINES, house.server
    with server.client("seller@example.test", role="ADMIN") as seller:
        stream = make_stream(seller)["streamKey"]
        hold = {"quantity": buyers, "holdSeconds": _hold_s(options), "streamKey": stream}
        products = [_make(seller, {"name": f"timer {number}", "price": "1.00", **hold}) for number in range(LINES)]
    tokens = []
    with progress("signing in", buyers) as bar:
        for number in range(buyers):
            with server.client(f"buyer{number}@example.test") as client:
                tokens.append(client.headers["Authorization"].removeprefix("Bearer "))
            bar.show(number + 1)
    trio.run(_buy, options, server.edge, tokens, products)
    running: int = house.ask("fetchval", RUNNING)
    return running


def _hold_s(options: argparse.Namespace) -> int:
    """Longer than it takes to set all of them, with some seconds to see that all are there."""
    return int(options.over) + 5


def _make(seller: httpx.Client, body: dict[str, Any]) -> str:
    answer = seller.post("/api/products", json=body)
    answer.raise_for_status()
    return str(answer.json()["data"]["id"])


async def _buy(options: argparse.Namespace, edge: str, tokens: Sequence[str], products: Sequence[str]) -> None:
    """Evenly over the time, each buyer one product after the other."""
    with progress("setting", options.timers) as bar:
        shoppers = [await connect_shopper(edge, token) for token in tokens]
        began, done = trio.current_time(), 0
        apart_s = options.over / options.timers

        async def buy(number: int, shopper: Shopper) -> None:
            nonlocal done
            for line, product in enumerate(products):
                await trio.sleep_until(began + (line * len(tokens) + number) * apart_s)
                answer = await shopper.ask("cart:add", {"productId": product, "quantity": 1})
                if not answer["ok"]:
                    raise CannotRun(f"an add was answered {answer['errorCode']}")
                done += 1
                bar.show(done)

        async with trio.open_nursery() as nursery:
            for number, shopper in enumerate(shoppers):
                nursery.start_soon(buy, number, shopper)
        for shopper in shoppers:
            shopper.close()


def _kill_in_the_middle(options: argparse.Namespace, house: House) -> Down:
    middle: datetime = house.ask("fetchval", MIDDLE)
    with progress("running out", options.timers) as bar:

        def left() -> int:
            count: int = house.ask("fetchval", LEFT)
            bar.show(options.timers - count)
            return count

        while time.time() < middle.timestamp():
            left()
            time.sleep(min(1.0, max(0.0, middle.timestamp() - time.time())))
        killed_at = time.time()
        house.server.kill()
        house.start_again()
        down = Down(killed_at, time.time())
        eventually(lambda: left() == 0, within_s=options.over + PATIENCE_S)
    return down


def _judge(options: argparse.Namespace, house: House, running: int, down: Down) -> Outcome:
    releases = [(row["due"].timestamp(), row["released"].timestamp()) for row in house.ask("fetch", RELEASES)]
    units = house.ask("fetchrow", UNITS)
    late = [released for due, released in releases if due < down.ready_at and released > down.killed_at]
    caught_up_at = max([down.ready_at, *late])
    lags = [released - due for due, released in releases if released <= down.killed_at or due >= caught_up_at]
    lost = options.timers - len(releases)
    twice = int(units["released"]) - len(releases)
    results = {
        "timers": options.timers,
        "running_at_once": running,
        "lag_p50_ms": percentile(lags, 0.5) * 1e3,
        "lag_p99_ms": percentile(lags, 0.99) * 1e3,
        "lag_max_ms": max(lags, default=0.0) * 1e3,
        "down_s": down.ready_at - down.killed_at,
        "late_by_the_kill": len(late),
        "caught_up_after_ms": (caught_up_at - down.ready_at) * 1e3,
        "lost": lost,
        "twice": twice,
    }
    violations = []
    if lost or units["held"]:
        violations.append(f"{lost} holds did not run out, {units['held']} units are still held")
    if twice:
        violations.append(f"{twice} more units were released than were held")
    if min((released - due for due, released in releases), default=0.0) < 0:
        violations.append("a hold ran out before it was due")
    violations += [f"the ledger: {line}" for line in _verify(house)]
    first = releases[0][0] if releases else 0.0
    series = {"dorami": [(due - first, max(0.1, (released - due) * 1e3)) for due, released in releases]}
    title = f"{options.timers} timers of carts: from due to released, with a kill in the middle"
    return Outcome(results, {}, violations, series, title)


def _verify(house: House) -> list[str]:
    with house.server.client("seller@example.test", role="ADMIN") as seller:
        stream = house.ask("fetchval", "SELECT max(stream_key) FROM catalog.products")
        answer = seller.get(f"/api/admin/shows/{stream}/ledger")
        answer.raise_for_status()
        return verify(answer.json()).problems
