"""Some viewers stop reading: what the others notice, what it costs in memory, and whether those are cut."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from bench.crowd import Crowd, broken_rules
from bench.fanout import SETTLE_S, add_senders, find_stream, sender_tokens, timeline
from bench.loop import LoadClock, Loop, without_collector
from bench.memory import receiving_bytes, tcp_bytes
from bench.metrics import read_disconnects
from bench.report import Outcome, percentile
from bench.rivals import add_peer, beside
from bench.target import CannotRun, Target, add_arguments, need_files, open_target
from bench.viewers import Viewer

SUMMARY = "viewers who stop reading: the others' latency, memory held for each, when they are cut and why"
BOUND_BYTES = 256 * 1024
"""Of the process, and of the kernel on the server's side, for each who stalls."""
OLDEST_S = 20.0
"""Whose oldest unsent byte is older is cut."""
_SLACK_S = 5.0
_FRAME_BYTES = 250
"""Of a message, besides its text."""
_LOOK_S = 0.25
FIGURES = ("latency_p99_before_ms", "latency_p99_after_ms", "process_bytes_per_stalled", "kernel_bytes_per_stalled")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument("--viewers", type=int, default=1000, help="in all")
    parser.add_argument("--stalled", type=int, default=200, help="of them stop reading")
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second into the room")
    parser.add_argument("--bytes", type=int, default=400, help="added to each message, so that buffers fill")
    parser.add_argument("--seconds", type=float, default=10.0, help="before they stop")
    parser.add_argument(
        "--stall", type=float, default=60.0, metavar="SECONDS", help="how long they do not read, at most"
    )
    parser.add_argument(
        "--receive-buffer", type=int, default=4096, help="SO_RCVBUF of every other one of the stalled; 0: the system's"
    )
    add_senders(parser)
    add_peer(parser)


def run(options: argparse.Namespace) -> Outcome:
    need_files(options.viewers + options.senders)
    if not 0 < options.stalled < options.viewers:
        raise CannotRun("some must stall, and some must not")
    with open_target(options) as target:
        tokens, stream = list(sender_tokens(options, target)), find_stream(options, target)
        ours = _load(options, target, stream, tokens)
    guests = [None] * options.senders
    return beside(options, ours, lambda rival: _load(options, rival, "bench", guests), FIGURES)


class Watch:
    """The most that was held since the stall began, and when each was cut."""

    def __init__(self, target: Target, stalled: Sequence[Viewer]) -> None:
        self.began = time.monotonic()
        self.process_bytes = self.kernel_bytes = 0
        """Above what was held before; the kernel's without what it holds for us who do not read."""
        self.cut_after_s: list[float] = []
        self._target, self._stalled = target, stalled
        self._process_before, self._kernel_before = target.resident_bytes(), tcp_bytes()

    def look(self) -> None:
        self.process_bytes = max(self.process_bytes, self._target.resident_bytes() - self._process_before)
        ours = sum(receiving_bytes(viewer.sock) for viewer in self._stalled if viewer.is_open)
        self.kernel_bytes = max(self.kernel_bytes, tcp_bytes() - self._kernel_before - ours)

    def on_cut(self, viewer: Viewer, reason: str) -> None:
        if viewer in self._stalled:
            self.cut_after_s.append(time.monotonic() - self.began)

    def is_over(self) -> bool:
        return len(self.cut_after_s) == len(self._stalled)


def _load(options: argparse.Namespace, target: Target, stream: str, tokens: Sequence[str | None]) -> Outcome:
    loop = Loop()
    crowd = Crowd(loop, target.edge, stream, options.bytes)
    try:
        small = [options.receive_buffer if number % 2 else 0 for number in range(options.stalled)]
        crowd.join(options.viewers, small)
        crowd.join_senders(tokens)
        stalled, others = crowd.viewers[: options.stalled], crowd.viewers[options.stalled :] + crowd.senders
        with without_collector():
            clock = LoadClock()
            crowd.chat(options.rate, options.seconds, f"all read: {target.name}")
            crowd.drain()
            loop.run_for(SETTLE_S)
            reasons, stalled_ns = read_disconnects(target), time.monotonic_ns()
            watch = _stall(options, crowd, Watch(target, stalled), stalled)
            crowd.drain(others)
            load_cores = clock.cores_busy()
        reasons = read_disconnects(target) - reasons
        violations = broken_rules(crowd, others)
    finally:
        crowd.close()
        loop.close()
    samples = [sample for viewer in others for sample in viewer.samples]
    before_ms, after_ms = (
        percentile([took / 1e6 for sent, took in samples if (sent > stalled_ns) is is_after], 0.99)
        for is_after in (False, True)
    )
    results: dict[str, float | int | str] = {
        "viewers": options.viewers,
        "stalled": options.stalled,
        "messages": crowd.sent,
        "latency_p99_before_ms": before_ms,
        "latency_p99_after_ms": after_ms,
        "others_p99_after_by_before": after_ms / before_ms if before_ms else 0.0,
        "kernel_bytes_per_stalled": watch.kernel_bytes / options.stalled,
        "cut": len(watch.cut_after_s),
        "cut_after_min_s": min(watch.cut_after_s, default=0.0),
        "cut_after_max_s": max(watch.cut_after_s, default=0.0),
        "load_cores_busy": load_cores,
    }
    if target.pid is not None:
        results["process_bytes_per_stalled"] = watch.process_bytes / options.stalled
    results.update({f"ended_as_{reason}": count for reason, count in reasons.items()})
    violations += _broken(options, target, watch, sum(reasons.values()))
    title = f"chat: {options.stalled} of {options.viewers} viewers stop reading after {options.seconds:g} s; the others"
    return Outcome(results, {}, violations, {target.name: timeline(others)}, title)


def _stall(options: argparse.Namespace, crowd: Crowd, watch: Watch, stalled: Sequence[Viewer]) -> Watch:
    """Chats on until all have been cut, and then as long as before, so that both p99 are of as many messages."""
    crowd.is_excused = set(stalled).__contains__
    crowd.on_lost = watch.on_cut
    for viewer in stalled:
        viewer.stall()
    ended_at = watch.began + options.stall
    enough_at = watch.began + min(options.seconds, options.stall)

    def is_over() -> bool:
        now = time.monotonic()
        return now >= ended_at or (now >= enough_at and watch.is_over())

    crowd.loop.every(_LOOK_S, watch.look, is_over)
    crowd.chat(options.rate, options.stall, f"{len(stalled)} stopped reading", is_over)
    return watch


def _broken(options: argparse.Namespace, target: Target, watch: Watch, counted: int) -> list[str]:
    found = []
    for what, held in (("process", watch.process_bytes), ("kernel", watch.kernel_bytes)):
        if held > BOUND_BYTES * options.stalled:
            each = held // options.stalled
            found.append(f"the {what} held {each} bytes for each who stalled, allowed are {BOUND_BYTES}")
    cut, due_s = len(watch.cut_after_s), _cut_due_s(options)
    late = options.stalled - sum(after_s <= due_s for after_s in watch.cut_after_s)
    if options.stall >= due_s and late:
        found.append(f"{late} of {options.stalled} who stalled were not cut within {due_s:.0f} s")
    if target.server is not None and counted < cut:
        found.append(f"{cut} were cut, the counters know of {counted}")
    return found


def _cut_due_s(options: argparse.Namespace) -> float:
    """By when whoever stalls must have been cut: when the kernel's buffers are full, and then the oldest unsent byte is
    too old. A shorter run does not ask."""
    filling_s: float = BOUND_BYTES / (options.rate * (options.bytes + _FRAME_BYTES))
    return filling_s + OLDEST_S + _SLACK_S
