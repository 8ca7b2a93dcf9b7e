"""Clips of products: from the unpin until the clip can be watched."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import httpx

from bench.ingest import make_seller
from bench.report import Outcome, percentile, progress
from bench.target import CannotRun, add_arguments, open_target

SUMMARY = "a product shown in the demo's broadcast: how long after its unpin its clip is there"
POLL_S = 0.05
START_S = 60.0
GIVEN_UP_S = 60.0


def arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each product is shown")
    parser.add_argument("--stream", default="demo", help="the key of a broadcast that is on air and has products")
    parser.add_argument("--tokens", type=Path, help="a file whose first line is an ADMIN's access token")


def run(options: argparse.Namespace) -> Outcome:
    with open_target(options, "--demo") as target, make_seller(options, target) as seller:
        _wait_for_video(seller, options.stream)
        products = _data(seller, f"/api/products?streamKey={options.stream}")["items"]
        if not products:
            raise CannotRun(f"{options.stream} has no products")
        took_s: list[float] = []
        with progress("clips", options.clips) as bar:
            for number in range(options.clips):
                took = _clip(seller, options, products[number % len(products)]["id"])
                took_s += [] if took is None else [took]
                bar.show(number + 1)
    missing = options.clips - len(took_s)
    results: dict[str, float | int | str] = {
        "clips": len(took_s),
        "ready_p50_s": percentile(took_s, 0.5),
        "ready_most_s": max(took_s, default=0.0),
    }
    return Outcome(results, {}, [f"{missing} clips were not there after {GIVEN_UP_S:g} s"] if missing else [])


def _clip(seller: httpx.Client, options: argparse.Namespace, product_id: str) -> float | None:
    """Seconds from the unpin until it can be read; None for never."""
    path = f"/api/products/{product_id}/clips"
    known = {clip["id"] for clip in _data(seller, path)["items"]}
    _pin(seller, options.stream, product_id)
    time.sleep(options.seconds)
    _pin(seller, options.stream, None)
    began = time.monotonic()
    while time.monotonic() - began < GIVEN_UP_S:
        fresh = [clip for clip in _data(seller, path)["items"] if clip["id"] not in known]
        if fresh and seller.get(fresh[0]["url"], headers={"Range": "bytes=0-99"}).status_code == 206:
            return time.monotonic() - began
        time.sleep(POLL_S)
    return None


def _wait_for_video(seller: httpx.Client, stream: str) -> None:
    began = time.monotonic()
    while not any(part["durationMs"] for part in _data(seller, f"/api/recordings?streamKey={stream}")["items"]):
        if time.monotonic() - began > START_S:
            raise CannotRun(f"{stream} is not recorded")
        time.sleep(POLL_S)


def _pin(seller: httpx.Client, stream: str, product_id: str | None) -> None:
    answer = seller.put(f"/api/streams/{stream}/pin", json={"productId": product_id})
    if answer.status_code != 200:
        raise CannotRun(f"nothing could be pinned: {answer.text[:200]}")


def _data(seller: httpx.Client, path: str) -> Any:
    answer = seller.get(path)
    if answer.status_code != 200:
        raise CannotRun(f"{path}: {answer.text[:200]}")
    return answer.json()["data"]
