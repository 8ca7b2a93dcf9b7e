"""`python -m bench NAME`: one load test. Exit code 1: a rule was broken; 2: it could not run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import ModuleType

from bench import (
    clips,
    core,
    expiry,
    fanout,
    flashsale,
    hls,
    ingest,
    joinstorm,
    latency,
    reconnect,
    relay,
    slow_consumers,
)
from bench.bounds import with_bounds
from bench.picture import NoPillow, draw
from bench.report import Outcome, console, show
from bench.target import CannotRun, raise_file_limit
from dorami_core.ingest.client import PublishFailed

BENCHES: dict[str, ModuleType] = {
    "core": core,
    "fanout": fanout,
    "joinstorm": joinstorm,
    "reconnect": reconnect,
    "slow-consumers": slow_consumers,
    "flashsale": flashsale,
    "expiry": expiry,
    "ingest": ingest,
    "relay": relay,
    "latency": latency,
    "hls": hls,
    "clips": clips,
}
"""Each module has `SUMMARY`, `arguments(parser)` and `run(options) -> Outcome`."""


EXPECTED = (CannotRun, PublishFailed, OSError)
"""What a target or this machine may do to us: told in one sentence, without a traceback."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="bench", required=True, metavar="NAME")
    for name, bench in BENCHES.items():
        command = commands.add_parser(name, help=bench.SUMMARY, description=bench.SUMMARY)
        bench.arguments(command)
        command.add_argument("--artefacts", type=Path, default=Path("artefacts"), help="where pictures are left")
    options = parser.parse_args()
    raise_file_limit()
    try:
        outcome = BENCHES[options.bench].run(options)
    except EXPECTED as error:
        return _give_up(error)
    except BaseExceptionGroup as group:
        expected, rest = group.split(EXPECTED)
        if rest is not None or expected is None:
            raise
        return _give_up(expected)
    outcome = with_bounds(options.bench, options, outcome)
    _draw(options, outcome)
    params = {
        key: str(value) if value is not None and not isinstance(value, (int, float, str, bool)) else value
        for key, value in vars(options).items()
        if key not in ("bench", "tokens", "artefacts")
    }
    show(options.bench, params, outcome)
    return 1 if outcome.violations else 0


def _give_up(error: BaseException) -> int:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    console.print(f"[bold red]could not run:[/] {str(error) or type(error).__name__}")
    return 2


def _draw(options: argparse.Namespace, outcome: Outcome) -> None:
    if not outcome.series:
        return
    file = options.artefacts / f"bench-{options.bench}.png"
    try:
        draw(outcome.title or options.bench, outcome.series, file)
    except NoPillow as error:
        console.print(f"no picture: {error}")
    else:
        console.print(f"picture: {file}")


if __name__ == "__main__":
    sys.exit(main())
