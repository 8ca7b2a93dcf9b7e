"""One broadcast and its FLV viewers: what a relay costs, how late it is, how soon a picture is there."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.client import Address
from bench.clip import make_clip
from bench.flv_viewers import FlvViewer
from bench.ingest import make_seller, make_stream
from bench.loop import LoadClock, Loop, without_collector
from bench.publisher import publishing
from bench.report import Outcome, percentile, progress
from bench.target import CannotRun, Target, add_arguments

SETTLE_S = 1.0
_TICK_S = 0.02
_JOIN_LIMIT_S = 30.0
_SHOW_S = 0.5


def add_audience(parser: argparse.ArgumentParser, viewers: int) -> None:
    add_arguments(parser)
    parser.add_argument("--viewers", type=int, default=viewers)
    parser.add_argument("--kbps", type=int, default=2500, help="of the picture")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--join-rate", type=float, default=100.0, help="viewers who come in a second")
    parser.add_argument(
        "--interval", type=float, default=0.05, help="media.flv_interval_s of ours, mw_latency of SRS, in seconds"
    )
    parser.add_argument("--tokens", type=Path, help="a file whose first line is an ADMIN's access token")


def own_settings(options: argparse.Namespace) -> dict[str, str]:
    """The environment of a Dorami that is started for it."""
    return {"DORAMI_MEDIA__FLV_INTERVAL_S": str(options.interval)}


@contextmanager
def open_clip(options: argparse.Namespace) -> Iterator[Path]:
    """The file of the clip for as long as the block runs; made before anything is measured."""
    with tempfile.TemporaryDirectory(prefix="dorami-bench-") as folder:
        file = Path(folder) / "clip.flv"
        with progress("encoding the broadcast", 1):
            make_clip(file, options.kbps)
        yield file


def find_broadcast(options: argparse.Namespace, target: Target) -> tuple[str, str]:
    """The name to watch and what goes into OBS, of a broadcast made for it."""
    with make_seller(options, target) as seller:
        stream = make_stream(seller)
    return str(stream["streamKey"]), str(stream["publish"]["key"])


class Audience:
    """Every `sample_every`-th viewer is a sample."""

    def __init__(self, target: Target, name: str, sample_every: int) -> None:
        self.loop = Loop()
        self.viewers: list[FlvViewer] = []
        self.losses: Counter[str] = Counter()
        self._where = Address.of(target.edge)
        self._path = f"/live/{name}.flv"
        self._sample_every = sample_every
        self._name = target.name

    @property
    def samples(self) -> list[FlvViewer]:
        return [viewer for viewer in self.viewers if viewer.is_sample]

    def join(self, count: int, rate: float) -> None:
        """`rate` viewers a second; CannotRun where one sees nothing within 30 s of the last."""
        began = time.monotonic()

        def come() -> None:
            due = min(count, int((time.monotonic() - began) * rate) + 1)
            while len(self.viewers) < due:
                is_sample = len(self.viewers) % self._sample_every == 0
                self.viewers.append(
                    FlvViewer(self.loop, self._where, self._path, is_sample=is_sample, on_lost=self._lost)
                )

        def is_done() -> bool:
            return len(self.viewers) == count and all(viewer.first_frame_s is not None for viewer in self.viewers)

        self.loop.every(_TICK_S, come, lambda: len(self.viewers) == count)
        with progress("joining", count) as bar:
            self.loop.every(_SHOW_S, lambda: bar.show(len(self.viewers)), lambda: len(self.viewers) == count)
            self.loop.run(lambda: len(self.viewers) == count, count / rate + _JOIN_LIMIT_S)
            self.loop.run(lambda: bool(self.losses) or is_done(), _JOIN_LIMIT_S)
        if self.losses or not is_done():
            blind = sum(viewer.first_frame_s is None for viewer in self.viewers)
            raise CannotRun(f"{blind} of {count} viewers of {self._name} saw nothing: {dict(self.losses)}")

    def watch(self, seconds: float, title: str) -> None:
        for viewer in self.viewers:
            viewer.begin_count()
        ends = time.monotonic() + seconds
        with progress(title, seconds) as bar:
            self.loop.every(
                _SHOW_S, lambda: bar.show(seconds - ends + time.monotonic()), lambda: time.monotonic() >= ends
            )
            self.loop.run_for(seconds)
        for viewer in self.viewers:
            if viewer.is_open:
                viewer.end_count()

    def close(self) -> None:
        for viewer in self.viewers:
            viewer.close()
        self.loop.close()

    def _lost(self, viewer: FlvViewer, reason: str) -> None:
        self.losses[reason] += 1


def measure(
    options: argparse.Namespace, target: Target, clip: Path, names: tuple[str, str], *, sample_every: int
) -> Outcome:
    """All viewers join a broadcast of the clip, then watch for `--seconds`."""
    name, key = names
    with publishing(clip, target.rtmp, key):
        audience = Audience(target, name, sample_every)
        try:
            idle_bytes = target.resident_bytes()
            with without_collector():
                audience.join(options.viewers, options.join_rate)
                audience.loop.run_for(SETTLE_S)
                cpu_s, clock = target.cpu_s(), LoadClock()
                audience.watch(options.seconds, f"watching: {target.name}")
                cpu_s, load_cores, took_s = target.cpu_s() - cpu_s, clock.cores_busy(), clock.passed_s()
            joined_bytes = target.resident_bytes()
        finally:
            audience.close()
    viewers = audience.viewers
    delays_ms = [delay_ns / 1e6 for viewer in audience.samples for _, delay_ns in viewer.samples]
    first_ms = [(viewer.first_frame_s or 0.0) * 1e3 for viewer in viewers]
    viewer_s = len(viewers) * took_s
    results: dict[str, float | int | str] = {
        "viewers": len(viewers),
        "seconds": took_s,
        "megabits_out_per_s": sum(viewer.bytes_in for viewer in viewers) * 8 / 1e6 / took_s,
        "delay_p50_ms": percentile(delays_ms, 0.5),
        "delay_p99_ms": percentile(delays_ms, 0.99),
        "first_frame_p50_ms": percentile(first_ms, 0.5),
        "first_frame_p99_ms": percentile(first_ms, 0.99),
        "stalls": sum(viewer.stalls for viewer in viewers),
        "missing_frames": sum(missing_frames(viewer.numbers) for viewer in audience.samples),
        "load_cores_busy": load_cores,
    }
    if target.pid is not None:
        results["cpu_s_per_viewer_second"] = cpu_s / viewer_s
        results["server_cores_busy"] = cpu_s / took_s
        results["memory_bytes_per_viewer"] = (joined_bytes - idle_bytes) / max(len(viewers), 1)
    violations = [f"{count} viewers were lost: {reason}" for reason, count in audience.losses.items()]
    for figure in ("stalls", "missing_frames"):
        if results[figure]:
            violations.append(f"{results[figure]} {figure.replace('_', ' ')}")
    title = f"{len(viewers)} FLV viewers of {options.kbps} kbit/s: from publisher to viewer, each frame"
    return Outcome(results, {}, violations, {target.name: timeline(audience.samples)}, title)


def missing_frames(numbers: list[int]) -> int:
    """Frames of the publisher between the first and the last seen that were not seen once each."""
    return abs(numbers[-1] - numbers[0] + 1 - len(numbers)) if numbers else 0


def timeline(samples: list[FlvViewer]) -> list[tuple[float, float]]:
    """When each frame was sent, in s since the first one, and its delay in ms."""
    found = sorted(sample for viewer in samples for sample in viewer.samples)
    return [((sent_ns - found[0][0]) / 1e9, delay_ns / 1e6) for sent_ns, delay_ns in found]
