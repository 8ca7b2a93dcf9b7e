"""A launch crowd: connections at a rate, each measured from connect() to the acknowledged `join:stream`."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from functools import partial
from pathlib import Path

import httpx

from bench.client import Address
from bench.ingest import make_seller, make_stream
from bench.loop import LoadClock, Loop, without_collector
from bench.polling import PollingViewer
from bench.report import Outcome, percentile, progress
from bench.rivals import add_peer, beside
from bench.scripts import join_stream
from bench.target import CannotRun, Target, add_arguments, need_files, open_target
from bench.viewers import Viewer

SUMMARY = "viewers who come all at once: from TCP connect to the acknowledged join, CPU and memory of each"
PRODUCTS = 6
SETTLE_S = 0.5
LAST_ANSWER_S = 20.0
"""As long as the official client waits by default."""
_SHOW_S = 0.5
FIGURES = ("join_p50_ms", "join_p99_ms", "cpu_ms_per_join", "memory_bytes_per_viewer")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument("--viewers", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=1000.0, help="new connections a second")
    parser.add_argument("--stay", type=float, default=5.0, metavar="SECONDS", help="how long all stay afterwards")
    parser.add_argument("--polling", action="store_true", help="over long polling, not WebSocket")
    parser.add_argument("--stream", help="the key of a broadcast (default: one is made, with six products)")
    parser.add_argument("--tokens", type=Path, help="a file whose first line is an ADMIN's access token")
    add_peer(parser)


def run(options: argparse.Namespace) -> Outcome:
    need_files(options.viewers)
    with open_target(options) as target:
        stream = options.stream
        if stream is None:
            with make_seller(options, target) as seller:
                stream = make_stream(seller)["streamKey"]
                _fill_shelves(seller, stream)
        storm = Storm(options, target, stream)
        ours = storm.run()
    environ = {"BENCH_SNAPSHOT": json.dumps(storm.snapshot)}
    return beside(options, ours, lambda rival: Storm(options, rival, "bench").run(), FIGURES, environ=environ)


def _fill_shelves(seller: httpx.Client, stream: str) -> None:
    for number in range(PRODUCTS):
        body = {"name": f"bench {number}", "price": "12.50", "quantity": 100, "streamKey": stream}
        answer = seller.post("/api/products", json=body)
        if answer.status_code != 201:
            raise CannotRun(f"no product could be made: {answer.text[:200]}")


class Storm:
    """One run against one target. `snapshot` is what the first one was answered."""

    def __init__(self, options: argparse.Namespace, target: Target, stream: str) -> None:
        self._options = options
        self._target = target
        self._loop = Loop()
        self._where = Address.of(target.edge)
        self._script = partial(join_stream, stream=stream)
        self._viewers: list[Viewer | PollingViewer] = []
        self._joined: list[Viewer | PollingViewer] = []
        self._failures: Counter[str] = Counter()
        self._left: Counter[str] = Counter()
        self.snapshot: object = None

    def run(self) -> Outcome:
        try:
            return self._measure()
        finally:
            for viewer in self._viewers:
                viewer.close()
            self._loop.close()

    def _measure(self) -> Outcome:
        options, target = self._options, self._target
        self._loop.run_for(SETTLE_S)
        idle_bytes = target.resident_bytes()
        with without_collector():
            cpu_s, clock = target.cpu_s(), LoadClock()
            began = self._storm()
            cpu_s, load_cores, took_s = target.cpu_s() - cpu_s, clock.cores_busy(), clock.passed_s()
        with progress("staying", options.stay) as bar:
            until = time.monotonic() + options.stay
            while (left_s := until - time.monotonic()) > 0:
                self._loop.run_for(min(left_s, _SHOW_S))
                bar.show(options.stay - left_s)
        joins_ms = [
            (viewer.began - began, (viewer.joined_at - viewer.began) * 1e3)
            for viewer in self._joined
            if viewer.joined_at
        ]
        results: dict[str, float | int | str] = {
            "viewers": options.viewers,
            "joined": len(self._joined),
            "failures": sum(self._failures.values()),
            "seconds": took_s,
            "join_p50_ms": percentile([ms for _, ms in joins_ms], 0.5),
            "join_p99_ms": percentile([ms for _, ms in joins_ms], 0.99),
            "snapshot_bytes": len(json.dumps(self.snapshot, separators=(",", ":"), ensure_ascii=False).encode()),
            "load_cores_busy": load_cores,
        }
        if target.pid is not None:
            results["cpu_ms_per_join"] = cpu_s / max(len(self._joined), 1) * 1e3
            results["server_cores_busy"] = cpu_s / took_s
            results["memory_bytes_per_viewer"] = (target.resident_bytes() - idle_bytes) / max(len(self._joined), 1)
        violations = [f"{count} could not join: {reason}" for reason, count in self._failures.items()]
        violations += [f"{count} did not stay: {reason}" for reason, count in self._left.items()]
        title = f"joins: {options.viewers} viewers at {options.rate:g}/s, from connect() to the acknowledged join"
        return Outcome(results, {}, violations, {target.name: sorted(joins_ms)}, title)

    def _storm(self) -> float:
        """Starts them all and waits for the last answer; when it began."""
        options, loop = self._options, self._loop
        began = time.monotonic()
        total: int = options.viewers

        def start() -> None:
            # one timer may be late, so whoever is due by now comes at once
            due = min(total, int((time.monotonic() - began) * options.rate) + 1)
            while len(self._viewers) < due:
                self._viewers.append(self._come())
            if len(self._viewers) < total:
                loop.at(began + len(self._viewers) / options.rate, start)

        def is_over() -> bool:
            return len(self._joined) + sum(self._failures.values()) >= total

        loop.at(began, start)
        with progress(f"joining: {self._target.name}", total) as bar:
            loop.every(_SHOW_S, lambda: bar.show(len(self._joined)), is_over)
            loop.run(is_over, total / options.rate + LAST_ANSWER_S)
        if missing := total - len(self._joined) - sum(self._failures.values()):
            self._failures["no answer"] += missing
        return began

    def _come(self) -> Viewer | PollingViewer:
        kind = PollingViewer if self._options.polling else Viewer
        return kind(self._loop, self._where, self._script, on_joined=self._on_joined, on_lost=self._on_lost)

    def _on_joined(self, viewer: Viewer | PollingViewer) -> None:
        if self.snapshot is None:
            self.snapshot = json.loads(viewer.answer[viewer.answer.index("[") :])[0].get("data")
        self._joined.append(viewer)

    def _on_lost(self, viewer: Viewer | PollingViewer, reason: str) -> None:
        (self._failures if viewer.joined_at is None else self._left)[reason] += 1
