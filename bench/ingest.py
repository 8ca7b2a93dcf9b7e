"""Publishers over RTMP and viewers of their FLV: CPU per megabit, delay from publisher to viewer."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio

from bench.report import Outcome, percentile, progress
from bench.target import CannotRun, Target, add_arguments, open_target
from bench.video import publish, watch
from dorami_core.media.packets import MediaKind, MediaPacket

SUMMARY = "RTMP publishers and FLV viewers: CPU per megabit taken in, delay, first key frame"
STEP_S = 0.1
SETTLE_S = 1.5
"""Past the first key frames and the start of the HLS workers."""
KEPT_PACKETS = 400


def arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument("--publishers", type=int, default=8)
    parser.add_argument("--viewers", type=int, default=1, help="of each publisher")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--tokens", type=Path, help="a file whose first line is an ADMIN's access token")


@attrs.define
class Measured:
    """When each packet was sent (the same one to every publisher), and how long it took to the viewers."""

    sent_at: dict[tuple[MediaKind, int], float] = attrs.field(factory=dict)
    bytes_sent: int = 0
    delays_s: list[float] = attrs.field(factory=list)
    first_key_frames_s: list[float] = attrs.field(factory=list)

    def sent(self, packet: MediaPacket) -> None:
        self.sent_at[packet.kind, hash(packet.payload)] = time.monotonic()
        self.bytes_sent += len(packet.payload)
        if len(self.sent_at) > KEPT_PACKETS:  # the clip comes again; keep only what can still be on its way
            del self.sent_at[next(iter(self.sent_at))]

    def viewer(self) -> Callable[[MediaPacket], None]:
        """Takes the packets of one viewer who asks now."""
        asked_at = time.monotonic()
        is_first = True

        def on_packet(packet: MediaPacket) -> None:
            nonlocal is_first
            now = time.monotonic()
            if is_first and packet.is_keyframe:
                is_first = False
                self.first_key_frames_s.append(now - asked_at)
            sent_at = self.sent_at.get((packet.kind, hash(packet.payload)))
            # What was sent before the request comes from the GOP cache: its age is no delay of the way.
            if sent_at is not None and sent_at > asked_at and packet.kind is MediaKind.VIDEO:
                self.delays_s.append(now - sent_at)

        return on_packet


def run(options: argparse.Namespace) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="dorami-bench-") as folder, open_target(options) as target:
        client = make_seller(options, target)
        with client:
            streams = [make_stream(client) for _ in range(options.publishers)]
        return trio.run(_load, options, target, Path(folder), streams)


def make_seller(options: argparse.Namespace, target: Target) -> httpx.Client:
    """A client that may make broadcasts: of our own server, or with the first of `--tokens`."""
    if target.server is not None:
        return target.server.client("bench@example.test", role="ADMIN")
    if not options.tokens:
        raise CannotRun("a named target needs --tokens with an ADMIN's access token")
    token = options.tokens.read_text("utf-8").split()[0]
    return httpx.Client(base_url=target.web, headers={"Authorization": f"Bearer {token}"})


def make_stream(client: httpx.Client) -> dict[str, Any]:
    answer = client.post("/api/streams", json={"title": "bench"})
    if answer.status_code != 201:
        raise CannotRun(f"no broadcast could be made: {answer.text[:200]}")
    data: dict[str, Any] = answer.json()["data"]
    return data


async def _load(options: argparse.Namespace, target: Target, folder: Path, streams: list[dict[str, Any]]) -> Outcome:
    measured = Measured()
    count = len(streams)
    async with trio.open_nursery() as nursery:
        keys = [stream["publish"]["key"] for stream in streams]
        with progress("first packets", 1):
            await nursery.start(publish, target.rtmp, keys, folder, measured.sent)
            await trio.sleep(SETTLE_S)
        for stream in streams:
            for _ in range(options.viewers):
                await nursery.start(watch, target.edge, stream["streamKey"], measured.viewer())
        cpu_s, began, bytes_before = target.cpu_s(), time.monotonic(), measured.bytes_sent
        with progress("publishing", options.seconds) as bar:
            while (passed_s := time.monotonic() - began) < options.seconds:
                bar.show(passed_s)
                await trio.sleep(STEP_S)
        cpu_s, took_s = target.cpu_s() - cpu_s, time.monotonic() - began
        megabits = (measured.bytes_sent - bytes_before) * count * 8 / 1e6
        nursery.cancel_scope.cancel()

    results: dict[str, float | int | str] = {
        "publishers": count,
        "viewers": count * options.viewers,
        "megabits_in_per_s": megabits / took_s,
        "delay_p50_ms": percentile(measured.delays_s, 0.5) * 1e3,
        "delay_p99_ms": percentile(measured.delays_s, 0.99) * 1e3,
        "first_key_frame_p50_ms": percentile(measured.first_key_frames_s, 0.5) * 1e3,
        "first_key_frame_p99_ms": percentile(measured.first_key_frames_s, 0.99) * 1e3,
    }
    if target.pid is not None:
        results["cpu_ms_per_megabit_in"] = cpu_s / megabits * 1e3
        results["server_cores_busy"] = cpu_s / took_s
    missing = count * options.viewers - len(measured.first_key_frames_s)
    return Outcome(results, {}, [f"{missing} viewers saw no key frame"] if missing else [])
