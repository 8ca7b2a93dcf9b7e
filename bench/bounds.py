"""What is asked of each bench under the loads that the figures are stated for; another load has none.

Figures of the server's own are asked of this machine's run; `... / peer`, `... / floor` and `... / srs` only where
these ran.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import attrs

from bench.report import Bound, Outcome

_KIB = 1024

_Load = tuple[str, Mapping[str, float], Mapping[str, float]]
"""Of which bench, under which parameters, which figure at most."""
LIMITS: tuple[_Load, ...] = (
    (
        "fanout",
        {"viewers": 1000, "rate": 100},
        {"cpu_us_per_delivery / peer": 0.25, "latency_p99_ms": 80},
    ),
    (
        "fanout",
        {"viewers": 1000, "rate": 10},
        {"cpu_us_per_delivery / peer": 0.65, "cpu_us_per_delivery / floor": 1.6, "latency_p99_ms": 25},
    ),
    (
        "fanout",
        {"viewers": 5000, "rate": 10},
        {"cpu_us_per_delivery / peer": 0.55, "memory_bytes_per_viewer": 8 * _KIB},
    ),
    ("fanout", {"viewers": 10_000, "rate": 5}, {"latency_p99_ms": 250}),
    ("joinstorm", {"viewers": 5000, "rate": 1000}, {"join_p99_ms": 60, "failures": 0}),
    (
        "slow-consumers",
        {"viewers": 1000, "stalled": 200},
        {
            "others_p99_after_by_before": 1.10,
            "process_bytes_per_stalled": 256 * _KIB,
            "kernel_bytes_per_stalled": 256 * _KIB,
        },
    ),
    ("flashsale", {"buyers": 400, "stock": 30}, {"answer_p99_ms": 250}),
    ("expiry", {"timers": 10_000}, {"lag_p99_ms": 250, "lost": 0, "twice": 0}),
    ("hls", {"seconds": 30, "keyframe_s": 1}, {"low_latency_behind_max_ms": 2000, "plain_behind_max_ms": 4000}),
    ("clips", {"clips": 10, "seconds": 5}, {"ready_most_s": 15}),
    (
        "reconnect",
        {"clients": 500, "messages": 1000, "gap": 20},
        {"gaps": 0, "duplicates": 0, "disordered": 0, "not_recovered": 0},
    ),
    (
        "relay",
        {"viewers": 500, "kbps": 2500},
        {
            "cpu_s_per_viewer_second / peer": 0.3,
            "delay_p99_ms / peer": 1.0,
            "cpu_s_per_viewer_second / srs": 0.6,
            "first_frame_p99_ms": 50,
            "stalls": 0,
        },
    ),
    ("latency", {"viewers": 100, "kbps": 2500, "interval": 0.05}, {"delay_p99_ms": 75}),
)


def with_bounds(bench: str, options: argparse.Namespace, outcome: Outcome) -> Outcome:
    """Which of the figures are within what is asked."""
    figures: dict[str, float | int | str] = {**outcome.results, **outcome.ratios}
    params = vars(options)
    found = [
        Bound(figure, float(figures[figure]), most)
        for name, load, limits in LIMITS
        if name == bench and all(params[key] == value for key, value in load.items())
        for figure, most in limits.items()
        if figure in figures
    ]
    return attrs.evolve(outcome, bounds=found)
