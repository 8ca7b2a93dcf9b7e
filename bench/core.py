"""The timings that everything else rests on: start, crossing, cancellation, commit to socket, packet to viewer."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import trio

from bench.crowd import Crowd
from bench.ingest import Measured, make_stream
from bench.loop import Loop
from bench.report import Outcome, percentile, progress
from bench.shoppers import connect_shopper
from bench.target import CannotRun, split_cores
from bench.video import publish, watch
from dorami_core import runtime
from dorami_core.events.codec import EventCodec
from dorami_core.events.outbox import OutboxWriter
from dorami_core.store.embedded.postgres import embedded_postgres
from dorami_core.store.postgres import open_database
from dorami_core.testing.server import RunningDorami, start_dorami

SUMMARY = (
    "single timings: start, a query, a cancelled query, an add, an expiry, a chat line, a change of a product, a frame"
)
HOLD_S = 3.0
STEPS = 7


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=200, help="of each short timing")


def run(options: argparse.Namespace) -> Outcome:
    results: dict[str, float | int | str] = {}
    with tempfile.TemporaryDirectory(prefix="dorami-bench-") as folder, progress("timing", STEPS) as bar:
        data = Path(folder) / "data"

        done = count(1)

        def step() -> None:
            bar.show(next(done))

        began = time.monotonic()
        server = start_dorami(data, "--demo", environ={"DORAMI_CART__HOLD_S": str(HOLD_S)})
        results["start_first_s"] = time.monotonic() - began
        step()
        server.stop()
        began = time.monotonic()
        server = start_dorami(data, "--demo", cores=split_cores()[0], environ={"DORAMI_CART__HOLD_S": str(HOLD_S)})
        results["start_again_s"] = time.monotonic() - began
        step()
        try:
            results.update(_sell(server, options.rounds))
            step()
            results.update(trio.run(_watch, server, Path(folder) / "clip"))
            step()
            results.update(_chat(server, options.rounds))
            step()
            results.update(trio.run(_show, server, options.rounds))
            step()
        finally:
            began = time.monotonic()
            server.stop()
            results["stop_s"] = time.monotonic() - began
        results.update(runtime.run(lambda: _store(Path(folder) / "store", options.rounds)))
        step()
    violations = []
    for figure, bound in {
        "start_again_s": 5.0,
        "stop_s": 10.0,
        "cancel_query_max_ms": 50.0,
        "expiry_lag_ms": 500.0,
        "product_shown_p99_ms": 200.0,
        "frame_to_viewer_p99_ms": 100.0,
        "first_key_frame_p99_ms": 300.0,
    }.items():
        if float(results[figure]) > bound:
            violations.append(f"{figure} is {results[figure]:.4g}, allowed are {bound:g}")
    return Outcome(results, {}, violations)


def _sell(server: RunningDorami, rounds: int) -> dict[str, float]:
    """An add by HTTP, and how late an item's time-out gives its stock back."""
    with server.client("bench@example.test", role="ADMIN") as client:
        body = {"name": "bench", "price": "1.00", "quantity": 10_000, "streamKey": "demo"}
        product = client.post("/api/products", json=body).json()["data"]["id"]
        adds_s = []
        for _ in range(rounds):
            began = time.monotonic()
            client.post("/api/cart", json={"productId": product, "quantity": 1}).raise_for_status()
            adds_s.append(time.monotonic() - began)
        body["name"] = "bench expiry"
        product = client.post("/api/products", json=body).json()["data"]["id"]
        added = client.post("/api/cart", json={"productId": product, "quantity": 1})
        added.raise_for_status()
        due = time.monotonic() + HOLD_S
        while _available(client, product) < 10_000:
            time.sleep(0.005)
        return {
            "add_to_cart_p50_ms": percentile(adds_s, 0.5) * 1e3,
            "add_to_cart_p99_ms": percentile(adds_s, 0.99) * 1e3,
            "expiry_lag_ms": (time.monotonic() - due) * 1e3,
        }


def _available(client: httpx.Client, product: str) -> int:
    return int(client.get(f"/api/products/{product}").json()["data"]["available"])


async def _watch(server: RunningDorami, folder: Path) -> dict[str, float]:
    """A frame's way from its publisher to viewers, and the first key frame after a request."""
    with server.client("bench@example.test", role="ADMIN") as client:
        stream = make_stream(client)
    measured = Measured()
    async with trio.open_nursery() as nursery:
        await nursery.start(publish, server.rtmp, [stream["publish"]["key"]], folder, measured.sent)
        await trio.sleep(1.5)
        for _ in range(20):
            await nursery.start(watch, server.edge, stream["streamKey"], measured.viewer())
            await trio.sleep(0.15)
        nursery.cancel_scope.cancel()
    return {
        "frame_to_viewer_p50_ms": percentile(measured.delays_s, 0.5) * 1e3,
        "frame_to_viewer_p99_ms": percentile(measured.delays_s, 0.99) * 1e3,
        "first_key_frame_p99_ms": percentile(measured.first_key_frames_s, 0.99) * 1e3,
    }


def _chat(server: RunningDorami, rounds: int) -> dict[str, float]:
    """A line of chat, from its sender back to him."""
    with server.client("bench@example.test", role="ADMIN") as client:
        token = client.headers["Authorization"].removeprefix("Bearer ")
    loop = Loop()
    crowd = Crowd(loop, server.edge, "demo")
    crowd.join_senders([token])
    trips_s = []
    for _ in range(rounds):
        began = time.monotonic()
        crowd.say()
        if not crowd.drain(every_s=0):
            raise CannotRun("a line of chat did not come back")
        trips_s.append(time.monotonic() - began)
    crowd.close()
    loop.close()
    return {"chat_p50_ms": percentile(trips_s, 0.5) * 1e3, "chat_p99_ms": percentile(trips_s, 0.99) * 1e3}


async def _show(server: RunningDorami, rounds: int) -> dict[str, float]:
    """A change of a product, from the seller's request to the event at a viewer."""
    shown_s = []
    with server.client("bench@example.test", role="ADMIN") as client:
        body = {"name": "bench", "price": "1.00", "quantity": 5, "streamKey": "demo"}
        path = "/api/products/" + client.post("/api/products", json=body).json()["data"]["id"]
        viewer = await connect_shopper(server.edge, client.headers["Authorization"].removeprefix("Bearer "))
        await viewer.ask("join:stream", {"streamKey": "demo"})
        for number in range(rounds):
            name, began = f"bench {number}", time.monotonic()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, partial(_rename, client, path, name))
                while (await viewer.hear("live:product:updated"))["name"] != name:
                    pass
                shown_s.append(time.monotonic() - began)
        viewer.close()
    return {
        "product_shown_p50_ms": percentile(shown_s, 0.5) * 1e3,
        "product_shown_p99_ms": percentile(shown_s, 0.99) * 1e3,
    }


def _rename(client: httpx.Client, path: str, name: str) -> None:
    client.patch(path, json={"name": name}).raise_for_status()


async def _store(folder: Path, rounds: int) -> dict[str, float]:
    """A query over the crossing, and how soon a cancelled one is back."""
    folder.mkdir()
    async with (
        embedded_postgres(folder) as url,
        open_database(url, outbox_writer=OutboxWriter(EventCodec())) as db,
    ):
        query_s = [await _timed(lambda: db.fetchval("SELECT 1")) for _ in range(rounds)]
        cancels_s = []
        for _ in range(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(db.fetchval, "SELECT pg_sleep(5)")
                await trio.sleep(0.02)
                began = time.monotonic()
                nursery.cancel_scope.cancel()
            cancels_s.append(time.monotonic() - began)
        await db.fetchval("SELECT 1")
    return {
        "query_p50_us": percentile(query_s, 0.5) * 1e6,
        "query_p99_us": percentile(query_s, 0.99) * 1e6,
        "cancel_query_p50_ms": percentile(cancels_s, 0.5) * 1e3,
        "cancel_query_max_ms": max(cancels_s) * 1e3,
    }


async def _timed(call: Callable[[], Awaitable[Any]]) -> float:
    began = time.monotonic()
    await call()
    return time.monotonic() - began
