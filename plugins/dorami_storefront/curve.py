"""The curve of a broadcast's viewers as the points of a picture; the template draws it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs

from dorami_core.hooks import ViewerMinute

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 8, 632, 28, 168
"""The edges of the plot within the picture; above and below it stand the numbers."""
SHORTEST_MINUTES = 10
_MINUTE = timedelta(minutes=1)


@attrs.frozen
class Curve:
    """`highest`: one line, as SVG points, for each run of minutes without a hole; `average`: the areas below, as SVG
    points; `peak`: where the highest minute is; `top`: how many the upper edge stands for, 0 being the lower one."""

    highest: list[str]
    average: list[str]
    peak: tuple[float, float]
    peak_viewers: int
    top: int
    begins_at: datetime
    ends_at: datetime
    """The end of the last minute."""


def draw(minutes: Sequence[ViewerMinute]) -> Curve | None:
    """None without any minute."""
    if not minutes:
        return None
    begin, last = minutes[0].minute, minutes[-1].minute
    length = max((last - begin) / _MINUTE, SHORTEST_MINUTES)
    top = _round_up(max(one.highest for one in minutes))

    def at(minute: ViewerMinute, value: float) -> tuple[float, float]:
        x = LEFT + (RIGHT - LEFT) * ((minute.minute - begin) / _MINUTE) / length
        return round(x, 1), round(BOTTOM - (BOTTOM - TOP) * value / top, 1)

    runs = _runs(minutes)
    best = max(minutes, key=lambda one: one.highest)
    return Curve(
        # A line needs two points to be seen.
        highest=[_points([at(one, one.highest) for one in run] * (1 if run[1:] else 2)) for run in runs],
        average=[_points([(at(run[0], 0)), *(at(one, one.average) for one in run), at(run[-1], 0)]) for run in runs],
        peak=at(best, best.highest),
        peak_viewers=best.highest,
        top=top,
        begins_at=begin,
        ends_at=last + _MINUTE,
    )


def _runs(minutes: Sequence[ViewerMinute]) -> list[list[ViewerMinute]]:
    runs: list[list[ViewerMinute]] = []
    for one in minutes:
        if runs and one.minute - runs[-1][-1].minute <= _MINUTE:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _round_up(value: int) -> int:
    """To 5 at least, then to a number that is easily read."""
    step = 1
    while True:
        for factor in (5, 6, 8, 10, 15, 20, 30, 40):
            if factor * step >= value:
                return factor * step
        step *= 10
