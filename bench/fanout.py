"""Chat to many: one room, a rate of messages, every viewer gets every one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.crowd import Crowd, broken_rules
from bench.ingest import make_seller, make_stream
from bench.loop import LoadClock, Loop, without_collector
from bench.report import Outcome, percentile
from bench.rivals import add_floor, add_peer, beside
from bench.target import CannotRun, Target, add_arguments, need_files, open_target
from bench.viewers import Viewer

SUMMARY = "chat to many viewers in one room: CPU per delivery, latency, completeness, memory"
SETTLE_S = 0.5
FIGURES = ("cpu_us_per_delivery", "latency_p50_ms", "latency_p99_ms", "memory_bytes_per_viewer")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=10.0, help="messages a second into the room")
    parser.add_argument("--seconds", type=float, default=10.0)
    add_senders(parser)
    add_peer(parser)
    add_floor(parser)


def add_senders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--stream", help="the key of a broadcast (default: one is made)")
    parser.add_argument(
        "--tokens", type=Path, help="a file of access tokens, one a line: the senders of a named target"
    )


def run(options: argparse.Namespace) -> Outcome:
    need_files(options.viewers + options.senders)
    with open_target(options) as target:
        tokens, stream = list(sender_tokens(options, target)), find_stream(options, target)
        ours = _load(options, target, stream, tokens)
    guests = [None] * options.senders
    return beside(options, ours, lambda rival: _load(options, rival, "bench", guests), FIGURES)


def sender_tokens(options: argparse.Namespace, target: Target) -> Iterator[str]:
    """Of those who write: the named ones, or people made for it."""
    if options.tokens:
        yield from filter(None, options.tokens.read_text("utf-8").split())
    elif target.server is None:
        raise CannotRun("a named target needs --tokens")
    else:
        for number in range(options.senders):
            with target.server.client(f"bench{number}@example.test", role="ADMIN") as client:
                yield client.headers["Authorization"].removeprefix("Bearer ")


def find_stream(options: argparse.Namespace, target: Target) -> str:
    """The key of the named broadcast, or of a new one."""
    if options.stream is not None:
        return str(options.stream)
    with make_seller(options, target) as seller:
        return str(make_stream(seller)["streamKey"])


def _load(options: argparse.Namespace, target: Target, stream: str, tokens: Sequence[str | None]) -> Outcome:
    loop = Loop()
    crowd = Crowd(loop, target.edge, stream)
    try:
        loop.run_for(SETTLE_S)
        idle_bytes = target.resident_bytes()
        crowd.join(options.viewers)
        loop.run_for(SETTLE_S)
        joined_bytes = target.resident_bytes()
        crowd.join_senders(tokens)
        with without_collector():
            cpu_s, clock = target.cpu_s(), LoadClock()
            crowd.chat(options.rate, options.seconds, f"chatting: {target.name}")
            crowd.drain()
            cpu_s, load_cores, took_s = target.cpu_s() - cpu_s, clock.cores_busy(), clock.passed_s()
        violations = broken_rules(crowd, crowd.everybody)
        latencies_ms = [ms for _, ms in timeline(crowd.viewers)]
        deliveries = sum(viewer.received for viewer in crowd.everybody)
    finally:
        crowd.close()
        loop.close()
    results: dict[str, float | int | str] = {
        "viewers": options.viewers,
        "messages": crowd.sent,
        "deliveries": deliveries,
        "seconds": took_s,
        "latency_p50_ms": percentile(latencies_ms, 0.5),
        "latency_p99_ms": percentile(latencies_ms, 0.99),
        "load_cores_busy": load_cores,
    }
    if target.pid is not None:
        results["cpu_us_per_delivery"] = cpu_s / max(deliveries, 1) * 1e6
        results["server_cores_busy"] = cpu_s / took_s
        results["memory_bytes_per_viewer"] = (joined_bytes - idle_bytes) / max(options.viewers, 1)
    title = f"chat: {options.viewers} viewers, {options.rate:g} messages/s, from sender to viewer"
    return Outcome(results, {}, violations, {target.name: timeline(crowd.viewers)}, title)


def timeline(viewers: Sequence[Viewer]) -> list[tuple[float, float]]:
    """Of the samples among them: when a message was sent, in s since the first one, and its latency in ms."""
    samples = sorted(sample for viewer in viewers for sample in viewer.samples)
    return [((sent_ns - samples[0][0]) / 1e9, latency_ns / 1e6) for sent_ns, latency_ns in samples]
