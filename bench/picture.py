"""Latency over time as a picture: of each second the median and the 99th percentile, of ours and of who ran beside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from bench.report import Series, percentile

SCALE = 2
"""Drawn so much larger and then reduced, which smooths the lines."""
WIDTH, HEIGHT = 1000 * SCALE, 520 * SCALE
LEFT, RIGHT, TOP, BOTTOM = 80 * SCALE, 30 * SCALE, 84 * SCALE, 60 * SCALE
INK, FAINT, PAPER = (40, 40, 48), (222, 222, 228), (255, 255, 255)
COLOURS = ((214, 40, 90), (30, 110, 200), (110, 120, 130), (20, 150, 110))
_STEPS = (1, 2, 5)


class NoPillow(Exception):
    """There is nothing here to draw with."""


def draw(title: str, series: Mapping[str, Series], file: Path, unit: str = "ms") -> None:
    """Writes a PNG. The vertical axis is logarithmic: what is beside ours may be a hundred times slower."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise NoPillow("it needs Pillow, which is among the development dependencies") from error
    lines = {name: _by_second(points) for name, points in series.items() if points}
    if not lines:
        return
    last_s = max(max(seconds) for seconds, _, _ in lines.values()) + 1
    low = min(min(medians) for _, medians, _ in lines.values())
    high = max(max(tails) for _, _, tails in lines.values())
    ticks = _decades(low, high)
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    pen = ImageDraw.Draw(image)
    small, large = ImageFont.load_default(13 * SCALE), ImageFont.load_default(18 * SCALE)

    def place(second: float, value: float) -> tuple[float, float]:
        share = _log(value, ticks[0], ticks[-1])
        return LEFT + second / last_s * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    pen.text((LEFT, 14 * SCALE), title, INK, large)
    for tick in ticks:
        _, y = place(0, tick)
        pen.line((LEFT, y, WIDTH - RIGHT, y), FAINT, SCALE)
        pen.text((LEFT - 8 * SCALE, y), f"{tick:g} {unit}", INK, small, anchor="rm")
    for second in _marks(last_s):
        x, bottom = place(second, ticks[0])
        pen.line((x, bottom, x, bottom + 5 * SCALE), INK, SCALE)
        pen.text((x, bottom + 10 * SCALE), f"{second:g} s", INK, small, anchor="ma")
    pen.line((LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM), INK, SCALE)
    x = float(LEFT)
    for (name, (seconds, medians, tails)), colour in zip(lines.items(), COLOURS, strict=False):
        for values, width, label in ((medians, SCALE, f"{name} p50"), (tails, 3 * SCALE, f"{name} p99")):
            points = [place(second + 0.5, value) for second, value in zip(seconds, values, strict=True)]
            pen.line(points, colour, width)
            for px, py in points:
                pen.ellipse((px - width, py - width, px + width, py + width), colour)
            y = 56.0 * SCALE
            pen.line((x, y, x + 22 * SCALE, y), colour, width)
            pen.text((x + 28 * SCALE, y), label, INK, small, anchor="lm")
            x += 44 * SCALE + pen.textlength(label, small)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.resize((WIDTH // SCALE, HEIGHT // SCALE), Image.Resampling.LANCZOS).save(file)


def _by_second(points: Series) -> tuple[list[int], list[float], list[float]]:
    """Seconds in which something was measured, and of each the median and the 99th percentile."""
    found: dict[int, list[float]] = {}
    for second, value in points:
        found.setdefault(int(second), []).append(value)
    seconds = sorted(found)
    return (
        seconds,
        [percentile(found[second], 0.5) for second in seconds],
        [percentile(found[second], 0.99) for second in seconds],
    )


def _decades(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20, ... from at most `low` to at least `high`, two at least."""
    floor = max(low, 0.01)
    scale = [step * 10.0**power for power in range(-2, 7) for step in _STEPS]
    first = max(index for index, tick in enumerate(scale) if tick <= floor)
    last = next((index for index, tick in enumerate(scale) if tick >= high), len(scale) - 1)
    return scale[first : max(last, first + 1) + 1]


def _log(value: float, low: float, high: float) -> float:
    return math.log(max(value, low) / low) / math.log(high / low)


def _marks(last_s: float) -> list[float]:
    step = next(step for step in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 3600) if last_s / step <= 12 or step == 3600)
    return [float(second) for second in range(0, int(last_s) + 1, step)]
