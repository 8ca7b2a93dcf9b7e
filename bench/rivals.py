"""What a bench runs beside ours, after it in the same run and under the same load."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import attrs

from bench.floor import NoCompiler, open_floor
from bench.peers.nodemedia import open_nodemedia
from bench.peers.socketio import open_socketio
from bench.peers.srs import open_srs
from bench.report import Outcome, console
from bench.target import Target

Load = Callable[[Target], Outcome]
Rival = tuple[str, AbstractContextManager[Target]]
"""The prefix of its figures, and what runs it."""


def add_peer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peer", action="store_true", help="the same load on Socket.IO 4.8 on Node, after ours")


def add_floor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--floor", action="store_true", help="the same load on a bare C loop of send(2), after ours")


def add_video_peers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peer", action="store_true", help="the same load on node-media-server on Node, after ours")
    parser.add_argument("--peer-srs", type=Path, metavar="PATH", help="the same load on this SRS 6 binary, after ours")


def video_rivals(options: argparse.Namespace) -> Iterator[Rival]:
    if options.peer:
        yield "peer", open_nodemedia()
    if options.peer_srs is not None:
        yield "srs", open_srs(options.peer_srs, options.interval)


def beside(
    options: argparse.Namespace,
    ours: Outcome,
    load: Load,
    figures: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
) -> Outcome:
    """`compare` with those of a chat bench."""
    rivals: list[Rival] = []
    if options.peer:
        rivals.append(("peer", open_socketio(environ)))
    if getattr(options, "floor", False):
        rivals.append(("floor", open_floor()))
    return compare(ours, load, figures, rivals)


def compare(ours: Outcome, load: Load, figures: Sequence[str], rivals: Iterable[Rival]) -> Outcome:
    """Our outcome with the rivals' figures as `peer_*`, `floor_*` and `srs_*`, and as ratios ours divided by theirs,
    below 1 being better for us. Rules that a rival breaks are told as a figure of its own."""
    for prefix, opened in rivals:
        try:
            with opened as target:
                theirs = load(target)
        except NoCompiler as error:
            console.print(f"no floor: {error}")
            continue
        ours = _compare(ours, theirs, prefix, figures)
    return ours


def _compare(ours: Outcome, theirs: Outcome, prefix: str, figures: Sequence[str]) -> Outcome:
    results = dict(ours.results)
    results.update({f"{prefix}_{name}": value for name, value in theirs.results.items()})
    results[f"{prefix}_violations"] = "; ".join(theirs.violations) or 0
    return attrs.evolve(
        ours,
        results=results,
        ratios={**ours.ratios, **dict(_ratios(ours, theirs, prefix, figures))},
        series={**ours.series, **theirs.series},
    )


def _ratios(ours: Outcome, theirs: Outcome, prefix: str, figures: Sequence[str]) -> Iterator[tuple[str, float]]:
    for name in figures:
        if name in ours.results and float(theirs.results.get(name, 0)) > 0:
            yield f"{name} / {prefix}", float(ours.results[name]) / float(theirs.results[name])
