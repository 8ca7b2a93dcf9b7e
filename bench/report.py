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


@attrs.frozen
class Outcome:
    """`results`: what was measured, unit in the name; `ratios`: beside a peer of the same run; `violations`: rules
    that were broken, each a sentence."""

    results: Mapping[str, float | int | str]
    ratios: Mapping[str, float] = attrs.field(factory=dict)
    violations: Sequence[str] = ()


@contextmanager
def progress(title: str, total: float) -> Iterator[Progress]:
    """A bar on stderr; call `bar.update(0, completed=n)` on what this yields."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=not console.is_terminal) as bar:
        bar.add_task(title, total=total)
        yield bar


def show(name: str, params: Mapping[str, Any], outcome: Outcome) -> None:
    """The table on stderr, the JSON line on stdout."""
    table = Table(title=f"bench {name}")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for rows in (outcome.results, outcome.ratios):
        for key, value in rows.items():
            table.add_row(key, f"{value:.4g}" if isinstance(value, float) else str(value))
    console.print(table)
    for sentence in outcome.violations:
        console.print(f"[bold red]broken:[/] {sentence}")
    line = {
        "bench": name,
        "version": version("dorami"),
        "params": dict(params),
        "results": dict(outcome.results),
        "ratios": dict(outcome.ratios),
        "violations": list(outcome.violations),
    }
    print(json.dumps(line, ensure_ascii=False), file=sys.stdout, flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of them lie; 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
