"""How much later than its publisher a broadcast is at its FLV viewers, each of whom reads every frame."""

from __future__ import annotations

import argparse

from bench.audience import add_audience
from bench.relay import beside_rivals
from bench.report import Outcome
from bench.rivals import add_video_peers

SUMMARY = "delay from publisher to FLV viewers, of each frame at each viewer"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_audience(parser, viewers=100)
    add_video_peers(parser)


def run(options: argparse.Namespace) -> Outcome:
    return beside_rivals(options, sample_every=1)
