"""`python -m bench NAME`: one load test. Exit code 1: a rule was broken; 2: it could not run."""

from __future__ import annotations

import argparse
import sys
from types import ModuleType

from bench import core, fanout, flashsale, ingest
from bench.report import console, show
from bench.target import CannotRun

BENCHES: dict[str, ModuleType] = {"core": core, "fanout": fanout, "flashsale": flashsale, "ingest": ingest}
"""Each module has `SUMMARY`, `arguments(parser)` and `run(options) -> Outcome`."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="bench", required=True, metavar="NAME")
    for name, bench in BENCHES.items():
        bench.arguments(commands.add_parser(name, help=bench.SUMMARY, description=bench.SUMMARY))
    options = parser.parse_args()
    try:
        outcome = BENCHES[options.bench].run(options)
    except (CannotRun, OSError) as error:
        console.print(f"[bold red]could not run:[/] {error}")
        return 2
    params = {
        key: str(value) if value is not None and not isinstance(value, (int, float, str, bool)) else value
        for key, value in vars(options).items()
        if key not in ("bench", "tokens")
    }
    show(options.bench, params, outcome)
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
