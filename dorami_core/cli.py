"""The `dorami` command: parses, and calls."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from dorami_core import runtime
from dorami_core.app import EdgeOptions, Options, UpOptions, edge, up, web
from dorami_core.base.errors import DoramiError
from dorami_core.base.logging import configure_logging
from dorami_core.base.settings import SettingsError
from dorami_core.check import check
from dorami_core.edge.processes import EdgeProcessFailed
from dorami_core.hooks.loader import PluginError
from dorami_core.store.datadir import DataDirectoryBusy
from dorami_core.store.embedded.process import EmbeddedServerError
from dorami_core.store.migrations import MigrationError

EXPECTED = (
    SettingsError,
    PluginError,
    DataDirectoryBusy,
    EmbeddedServerError,
    EdgeProcessFailed,
    MigrationError,
    DoramiError,
    OSError,
)
"""What a person can mend: told in one sentence, without a traceback."""

MAX_EDGES = 32
PORTS = (("web", 8000, "pages and API"), ("edge", 8080, "sockets and video"), ("rtmp", 1935, "RTMP"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: ended as asked; 1: could not start, or `check` found something wrong; 2: wrong usage."""
    options = _parser().parse_args(arguments)
    if hasattr(options, "run"):
        return int(options.run(options))
    settings_file = _settings_file(options.config)
    if options.command == "check":
        return _run(lambda: check(options.data, settings_file))
    wish: dict[str, Any] = {
        name: getattr(options, name) for name in ("data", "host", "web_port", "edge_port", "rtmp_port")
    }
    wish["settings_file"] = settings_file
    if options.command == "web":
        return _run(partial(web, Options(**wish)))
    if options.command == "edge":
        return _run(partial(edge, EdgeOptions(**wish)))
    return _run(partial(up, UpOptions(**wish, demo=options.demo, edges=options.edges)))


def run_edge_child(wish: str) -> int:
    """`EdgeOptions` as JSON; the same exit codes."""
    found = json.loads(wish)
    for name in ("data", "settings_file"):
        found[name] = Path(found[name]) if found[name] is not None else None
    return _run(partial(edge, EdgeOptions(**found, is_child=True)))


def _run(command: Callable[[], Awaitable[int | None]]) -> int:
    configure_logging(production=os.environ.get("APP_ENV") == "production")
    try:
        return runtime.run(command) or 0
    except BaseExceptionGroup as group:
        expected, rest = group.split(EXPECTED)
        if rest is not None or expected is None:
            raise
        return _tell(expected)
    except EXPECTED as error:
        return _tell(error)


def _tell(error: BaseException) -> int:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, DoramiError) and error.code == "UNAVAILABLE":
        service = error.details.get("service", "a server")
        print(f"dorami: {service} cannot be reached; `dorami check` says more", file=sys.stderr)
        return 1
    print(f"dorami: {error}", file=sys.stderr)
    return 1


def _settings_file(named: Path | None) -> Path | None:
    if named is not None:
        return named
    usual = Path("config/dorami.toml")
    return usual if usual.exists() else None


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port (0 to 65535)")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) > MAX_EDGES:
        raise argparse.ArgumentTypeError(f"{text} is no number of processes (0 to {MAX_EDGES})")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dorami", description="Live commerce for one-person sellers.")
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, default=Path("data"), help="the data directory (default: ./data)")
    shared.add_argument("--config", type=Path, help="the settings file (default: ./config/dorami.toml if it is there)")

    listening = argparse.ArgumentParser(add_help=False)
    listening.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    for name, port, what in PORTS:
        note = f"{what} (default: {port}; 0 picks one where it is listened on)"
        listening.add_argument(f"--{name}-port", type=_port, default=port, help=note)

    start = commands.add_parser("up", parents=[shared, listening], help="everything in one process tree")
    start.add_argument("--demo", action="store_true", help="with a seller, products and a moving picture")
    start.add_argument(
        "--edges", type=_count, default=0, help="so many processes for sockets, on one port (default: 0)"
    )
    commands.add_parser("web", parents=[shared, listening], help="pages and API alone; as many as wanted")
    commands.add_parser("edge", parents=[shared, listening], help="sockets alone; as many as wanted")
    commands.add_parser("check", parents=[shared], help="what is configured, and what is reachable")
    _add_commands_of_plugins(commands)
    return parser


def _add_commands_of_plugins(commands: Any) -> None:
    """Entry points of the group `dorami.commands`: modules with `add_arguments(parser)` and `run(options)`."""
    for entry in entry_points(group="dorami.commands"):
        module = entry.load()
        parser = commands.add_parser(entry.name, help=(module.__doc__ or "").partition("\n")[0].partition(": ")[2])
        module.add_arguments(parser)
        parser.set_defaults(run=module.run)


if __name__ == "__main__":
    sys.exit(main())
