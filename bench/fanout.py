"""Chat to many: one room, a rate of messages, every viewer gets every one."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import trio

from bench.ingest import make_seller, make_stream
from bench.peers.socketio import open_socketio
from bench.report import Outcome, percentile, progress
from bench.target import CannotRun, Target, add_arguments, open_target
from bench.viewers import Viewer, connect

SUMMARY = "chat to many viewers in one room: CPU per delivery, latency, completeness"
SAMPLE_EVERY = 20
JOINING = 64
DRAIN_S = 5.0


def arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=10.0, help="messages a second into the room")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--stream", help="the key of a broadcast (default: one is made)")
    parser.add_argument("--peer", action="store_true", help="the same load on Socket.IO 4.8 on Node, beside ours")
    parser.add_argument(
        "--tokens", type=Path, help="a file of access tokens, one a line: the senders of a named target"
    )


def run(options: argparse.Namespace) -> Outcome:
    with open_target(options) as target:
        tokens = list(_tokens(options, target))
        stream = options.stream
        if stream is None:
            with make_seller(options, target) as seller:
                stream = make_stream(seller)["streamKey"]
        ours = trio.run(_load, options, target, stream, tokens)
    if not options.peer:
        return ours
    with open_socketio() as target:
        peer = trio.run(_load, options, target, "bench", [None] * options.senders)
    return compare(ours, peer)


def compare(ours: Outcome, peer: Outcome) -> Outcome:
    """Our outcome with the peer's figures as `peer_*`, and ours divided by them as ratios; below 1 is better."""
    figures = {f"peer_{name}": value for name, value in peer.results.items()}
    ratios = {
        name: float(ours.results[name]) / float(peer.results[name])
        for name in ("cpu_us_per_delivery", "latency_p50_ms", "latency_p99_ms", "memory_bytes_per_viewer")
        if name in ours.results and float(peer.results.get(name, 0))
    }
    return Outcome({**ours.results, **figures}, ratios, ours.violations)


def _tokens(options: argparse.Namespace, target: Target) -> Iterator[str]:
    if options.tokens:
        yield from filter(None, options.tokens.read_text("utf-8").split())
    elif target.server is None:
        raise CannotRun("a named target needs --tokens")
    else:
        for number in range(options.senders):
            with target.server.client(f"bench{number}@example.test", role="ADMIN") as client:
                yield client.headers["Authorization"].removeprefix("Bearer ")


async def _load(options: argparse.Namespace, target: Target, stream: str, tokens: Sequence[str | None]) -> Outcome:
    viewers: list[Viewer] = []
    idle_bytes = target.resident_bytes()
    async with trio.open_nursery() as nursery:
        with progress("joining", options.viewers) as bar:
            gate = trio.CapacityLimiter(JOINING)

            async def join(number: int) -> None:
                async with gate:
                    viewers.append(await connect(target.edge, stream, samples=number % SAMPLE_EVERY == 0))
                bar.update(bar.task_ids[0], completed=len(viewers))

            began = time.monotonic()
            async with trio.open_nursery() as joining:
                for number in range(options.viewers):
                    joining.start_soon(join, number)
            join_s = time.monotonic() - began
        senders = [await connect(target.edge, stream, token=token) for token in tokens]
        for viewer in (*viewers, *senders):
            nursery.start_soon(viewer.listen)
        joined_bytes = target.resident_bytes()

        cpu_s, began = target.cpu_s(), time.monotonic()
        sent = await _send(options, stream, senders)
        with trio.move_on_after(DRAIN_S):
            while any(viewer.received < sent for viewer in viewers):
                await trio.sleep(0.05)
        cpu_s, took_s = target.cpu_s() - cpu_s, time.monotonic() - began
        nursery.cancel_scope.cancel()

    deliveries = sum(viewer.received for viewer in viewers)
    latencies_s = [latency for viewer in viewers for latency in viewer.latencies_s]
    results = {
        "viewers": len(viewers),
        "messages": sent,
        "deliveries": deliveries,
        "seconds": took_s,
        "join_s": join_s,
        "latency_p50_ms": percentile(latencies_s, 0.5) * 1e3,
        "latency_p99_ms": percentile(latencies_s, 0.99) * 1e3,
    }
    if target.pid is not None:
        results["cpu_us_per_delivery"] = cpu_s / max(deliveries, 1) * 1e6
        results["server_cores_busy"] = cpu_s / took_s
        results["memory_bytes_per_viewer"] = (joined_bytes - idle_bytes) / max(len(viewers), 1)
    violations = []
    expected = sent * len(viewers)
    if deliveries != expected:
        violations.append(f"{expected} deliveries were due, {deliveries} arrived")
    if any(not _in_order(viewer.numbers, len(senders)) for viewer in viewers):
        violations.append("a viewer got messages of one sender out of order")
    return Outcome(results, {}, violations)


def _in_order(numbers: list[int], senders: int) -> bool:
    """Whether each sender's messages came in his order; those of two may overtake each other."""
    return all(own == sorted(own) for own in ([n for n in numbers if n % senders == who] for who in range(senders)))


async def _send(options: argparse.Namespace, stream: str, senders: list[Viewer]) -> int:
    total = int(options.rate * options.seconds)
    began = time.monotonic()
    turns = cycle(senders)
    with progress("chatting", total) as bar:
        for number in range(total):
            await trio.sleep(max(0.0, began + number / options.rate - time.monotonic()))
            text = f"bench:{number}:{time.monotonic_ns()}"
            await next(turns).send("42/chat," + json.dumps(["chat:send-message", {"liveId": stream, "message": text}]))
            bar.update(bar.task_ids[0], completed=number + 1)
    return total
