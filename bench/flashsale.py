"""Four hundred buyers, thirty units, one moment: what each was answered, how soon, and whether it was right."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio
import trio.testing
from dorami_catalog.verify import verify

from bench import selling
from bench.ingest import make_stream
from bench.report import Outcome, percentile, progress
from bench.shoppers import Shopper, connect_shopper
from bench.target import CannotRun, Target, open_target
from dorami_core import runtime

SUMMARY = "a rush for the last units: who won, who waits, the answers' delay; adds a second beside pgbench"
JOINING = 32
BOUNDS = {"service_hot": 2.0, "service_spread": 0.35, "socket_hot": 0.7}
"""What each may be at least, as a share of what pgbench reaches with one whole add per transaction."""

MIXED = ("answer_p50_ms", "answer_p99_ms", "http_answer_p99_ms")
"""What is told of the crowd of which a part comes by HTTP."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--buyers", type=int, default=400)
    parser.add_argument("--stock", type=int, default=30)
    parser.add_argument(
        "--http", type=float, default=0.1, help="the share of a second crowd's buyers who come by HTTP (default: 0.1)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement of adds a second")
    parser.add_argument("--rush-only", action="store_true", help="without the adds a second")
    parser.set_defaults(target=None, edge=None, rtmp=None, i_own_this_target=False)


@attrs.define
class Rush:
    """What the buyers were answered."""

    delays_s: list[float] = attrs.Factory(list)
    won: int = 0
    numbers: list[int] = attrs.Factory(list)
    """In the order in which the answers came."""
    other: list[str] = attrs.Factory(list)


def run(options: argparse.Namespace) -> Outcome:
    if not 0 <= options.http <= 1 or options.buyers < 1 or options.stock < 1:
        raise CannotRun("give at least one buyer and one unit, and a share of 0 to 1")
    with open_target(options, shares_cores=True) as target:
        assert target.server is not None
        with target.server.client("seller@example.test", role="ADMIN") as seller:
            stream = make_stream(seller)["streamKey"]
            tokens = _sign_in(options, target)
            results, violations = trio.run(_rush, options, target, seller, stream, tokens, 0)
            if by_http := round(options.http * len(tokens)):
                mixed, broken = trio.run(_rush, options, target, seller, stream, tokens, by_http)
                results |= {f"mixed_{name}": mixed[name] for name in MIXED}
                violations += broken
            if not options.rush_only:
                results["socket_hot_per_s"] = trio.run(_sustain, options, target, seller, stream, tokens)
            violations += [f"the ledger: {line}" for line in _verify(seller, stream)]
    if options.rush_only:
        return Outcome(results, {}, violations)
    with tempfile.TemporaryDirectory(prefix="dorami-bench-") as folder, progress("adding", 1):
        rates, broken = runtime.run(lambda: selling.measure(Path(folder) / "store", options.seconds))
    results.update(rates)
    violations += [f"the ledger: {line}" for line in broken]
    ratios = {
        name: float(results[f"{name}_per_s"]) / float(results[f"pgbench_{name.rpartition('_')[2]}_per_s"])
        for name in BOUNDS
    }
    violations += [
        f"{name} is {ratios[name]:.3g} of pgbench, at least {bound:g} is due"
        for name, bound in BOUNDS.items()
        if ratios[name] < bound
    ]
    return Outcome(results, ratios, violations)


def _sign_in(options: argparse.Namespace, target: Target) -> list[str]:
    tokens = []
    with httpx.Client(base_url=target.web, timeout=20) as client, progress("signing in", options.buyers) as bar:
        for number in range(options.buyers):
            name = f"buyer{number}"
            body = {"email": f"{name}@example.test", "name": name, "instagramId": name}
            answer = client.post("/api/auth/dev-login", json=body)
            answer.raise_for_status()
            client.cookies.clear()
            tokens.append(answer.json()["data"]["accessToken"])
            bar.show(number + 1)
    return tokens


def _make_product(seller: httpx.Client, stream: str, quantity: int) -> str:
    body = {"name": "flash", "price": "1.00", "quantity": quantity, "streamKey": stream}
    answer = seller.post("/api/products", json=body)
    answer.raise_for_status()
    return str(answer.json()["data"]["id"])


async def _join(edge: str, tokens: list[str]) -> list[Shopper]:
    shoppers: list[Shopper] = []
    gate = trio.CapacityLimiter(JOINING)

    async def join(token: str) -> None:
        async with gate:
            shoppers.append(await connect_shopper(edge, token))

    with progress("joining", len(tokens)):
        async with trio.open_nursery() as nursery:
            for token in tokens:
                nursery.start_soon(join, token)
    return shoppers


async def _rush(
    options: argparse.Namespace, target: Target, seller: httpx.Client, stream: str, tokens: list[str], by_http: int
) -> tuple[dict[str, Any], list[str]]:
    product = _make_product(seller, stream, options.stock)
    shoppers = await _join(target.edge, tokens[by_http:])
    rush, http_rush, begin = Rush(), Rush(), trio.Event()
    async with httpx.AsyncClient(base_url=target.web, timeout=20, limits=httpx.Limits(max_connections=64)) as client:
        async with trio.open_nursery() as nursery:
            for number, shopper in enumerate(shoppers):
                nursery.start_soon(_tap, shopper, product, f"{product}-{number}", begin, rush)
            for token in tokens[:by_http]:
                nursery.start_soon(_post, client, token, product, begin, http_rush)
            await trio.testing.wait_all_tasks_blocked()
            began = time.monotonic()
            begin.set()
        took_s = time.monotonic() - began
    for shopper in shoppers:
        shopper.close()
    numbers = sorted(rush.numbers + http_rush.numbers)
    won = rush.won + http_rush.won
    violations = [*rush.other, *http_rush.other]
    expected = min(options.stock, len(tokens))
    if won != expected:
        violations.append(f"{won} won, {expected} units there were")
    if numbers != list(range(1, len(tokens) - expected + 1)):
        violations.append(f"{len(numbers)} were numbered, but not 1 to {len(tokens) - expected} without a hole")
    results = {
        "buyers": len(tokens),
        "won": won,
        "waiting": len(numbers),
        "rush_s": took_s,
        "answer_p50_ms": percentile(rush.delays_s, 0.5) * 1e3,
        "answer_p99_ms": percentile(rush.delays_s, 0.99) * 1e3,
    }
    if by_http:
        results["http_answer_p99_ms"] = percentile(http_rush.delays_s, 0.99) * 1e3
    return results, violations


async def _tap(shopper: Shopper, product: str, name: str, begin: trio.Event, rush: Rush) -> None:
    await begin.wait()
    began = time.monotonic()
    wish = {"productId": product, "quantity": 1, "wait": True, "clientId": name}
    answer = await shopper.ask("cart:add", wish)
    rush.delays_s.append(time.monotonic() - began)
    data = answer.get("data") or {}
    if "item" in data:
        rush.won += 1
    elif "reservation" in data:
        rush.numbers.append(data["reservation"]["reservationNumber"])
    else:
        rush.other.append(f"a buyer was answered {answer.get('errorCode')}")


async def _post(client: httpx.AsyncClient, token: str, product: str, begin: trio.Event, rush: Rush) -> None:
    """Into the cart, and where nothing is left into the queue."""
    await begin.wait()
    began = time.monotonic()
    how: dict[str, Any] = {
        "headers": {"Authorization": f"Bearer {token}"},
        "json": {"productId": product, "quantity": 1},
    }
    answer = await client.post("/api/cart", **how)
    if answer.status_code == 201:
        rush.won += 1
    else:
        answer = await client.post("/api/reservations", **how)
        if answer.status_code == 201:
            rush.numbers.append(answer.json()["data"]["reservationNumber"])
        else:
            rush.other.append(f"a buyer by HTTP was answered {answer.status_code}")
    rush.delays_s.append(time.monotonic() - began)


async def _sustain(
    options: argparse.Namespace, target: Target, seller: httpx.Client, stream: str, tokens: list[str]
) -> float:
    """Adds a second to one product by socket, each buyer asking again as soon as he is answered."""
    product = _make_product(seller, stream, selling.STOCK)
    shoppers = await _join(target.edge, tokens[: selling.BUYERS])
    added, began = 0, time.monotonic()

    async def buy(shopper: Shopper) -> None:
        nonlocal added
        while time.monotonic() - began < options.seconds:
            answer = await shopper.ask("cart:add", {"productId": product, "quantity": 1})
            if not answer["ok"]:
                raise CannotRun(f"an add was answered {answer['errorCode']}")
            added += 1

    async with trio.open_nursery() as nursery:
        for shopper in shoppers:
            nursery.start_soon(buy, shopper)
    return added / (time.monotonic() - began)


def _verify(seller: httpx.Client, stream: str) -> list[str]:
    answer = seller.get(f"/api/admin/shows/{stream}/ledger")
    answer.raise_for_status()
    return verify(answer.json()).problems
