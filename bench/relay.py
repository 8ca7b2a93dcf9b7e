"""One broadcast to many FLV viewers."""

from __future__ import annotations

import argparse

from bench.audience import add_audience, find_broadcast, measure, open_clip, own_settings
from bench.report import Outcome
from bench.rivals import add_video_peers, compare, video_rivals
from bench.target import need_files, open_target

SUMMARY = "one broadcast to many FLV viewers: CPU per viewer-second, delay, first video frame, stalls"
SAMPLE_EVERY = 20
FIGURES = (
    "cpu_s_per_viewer_second",
    "delay_p50_ms",
    "delay_p99_ms",
    "first_frame_p99_ms",
    "memory_bytes_per_viewer",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_audience(parser, viewers=500)
    add_video_peers(parser)


def run(options: argparse.Namespace) -> Outcome:
    return beside_rivals(options, SAMPLE_EVERY)


def beside_rivals(options: argparse.Namespace, sample_every: int) -> Outcome:
    need_files(options.viewers)
    with open_clip(options) as clip:
        with open_target(options, environ=own_settings(options)) as target:
            names = find_broadcast(options, target)
            ours = measure(options, target, clip, names, sample_every=sample_every)
        return compare(
            ours,
            lambda rival: measure(options, rival, clip, ("bench", "bench"), sample_every=sample_every),
            FIGURES,
            video_rivals(options),
        )
