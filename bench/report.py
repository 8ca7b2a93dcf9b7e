"""What a bench shows: progress while it runs, a table at its end, and last a JSON line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import attrs
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

console = Console(stderr=True)
RIVALS = ("peer", "floor", "srs")
"""What may run beside ours; its figures have its name in front."""


Series = Sequence[tuple[float, float]]
"""What was measured, and when: seconds since the beginning, milliseconds."""


@attrs.frozen
class Bound:
    """One figure beside what is asked of it."""

    figure: str
    value: float
    most: float

    @property
    def is_held(self) -> bool:
        return self.value <= self.most


@attrs.frozen
class Outcome:
    """`results`: what was measured, unit in the name; `ratios`: ours divided by a peer's of the same run; `violations`:
    rules that were broken, each a sentence; `series`: for the picture, by who was measured."""

    results: Mapping[str, float | int | str]
    ratios: Mapping[str, float] = attrs.field(factory=dict)
    violations: Sequence[str] = ()
    series: Mapping[str, Series] = attrs.field(factory=dict)
    title: str = ""
    """Of the picture."""
    bounds: Sequence[Bound] = ()


class Bar:
    """Progress of one thing; drawn only when told, so that no thread draws into what is measured."""

    def __init__(self, shown: Progress, total: float) -> None:
        self._shown = shown
        self._task = shown.add_task("", total=total)

    def show(self, done: float) -> None:
        self._shown.update(self._task, completed=done)
        if self._shown.console.is_terminal:
            self._shown.refresh()


@contextmanager
def progress(title: str, total: float) -> Iterator[Bar]:
    """A bar on stderr."""
    columns = (
        TextColumn(title),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, auto_refresh=False, transient=not console.is_terminal) as shown:
        yield Bar(shown, total)


def show(name: str, params: Mapping[str, Any], outcome: Outcome) -> None:
    """The tables on stderr, the JSON line on stdout."""
    _show_figures(name, outcome)
    if outcome.bounds:
        _show_bounds(outcome.bounds)
    for sentence in outcome.violations:
        console.print(f"[bold red]broken:[/] {sentence}")
    line = {
        "bench": name,
        "version": version("dorami"),
        "params": dict(params),
        "results": dict(outcome.results),
        "ratios": dict(outcome.ratios),
        "bounds": [
            {"figure": bound.figure, "value": bound.value, "most": bound.most, "held": bound.is_held}
            for bound in outcome.bounds
        ],
        "violations": list(outcome.violations),
    }
    print(json.dumps(line, ensure_ascii=False), file=sys.stdout, flush=True)


def _show_figures(name: str, outcome: Outcome) -> None:
    """A column for ours, and for each rival one with its figures and one with the ratio to it."""
    rivals = [rival for rival in RIVALS if any(key.startswith(f"{rival}_") for key in outcome.results)]
    table = Table(title=f"bench {name}")
    table.add_column("what")
    table.add_column("dorami", justify="right")
    for rival in rivals:
        table.add_column(rival, justify="right")
        table.add_column(f"/ {rival}", justify="right")
    for key, value in outcome.results.items():
        if not key.startswith(tuple(f"{rival}_" for rival in rivals)):
            row = [key, _short(value)]
            for rival in rivals:
                row += [
                    _short(outcome.results.get(f"{rival}_{key}", "")),
                    _short(outcome.ratios.get(f"{key} / {rival}", "")),
                ]
            table.add_row(*row)
    console.print(table)
    for rival in rivals:
        if broken := outcome.results.get(f"{rival}_violations"):
            console.print(f"{rival} broke: {broken}")


def _show_bounds(bounds: Sequence[Bound]) -> None:
    table = Table(title="bounds")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("at most", justify="right")
    table.add_column("")
    for bound in bounds:
        held = "held" if bound.is_held else "[bold red]not held[/]"
        table.add_row(bound.figure, _short(bound.value), _short(bound.most), held)
    console.print(table)


def _short(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of them lie; 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
