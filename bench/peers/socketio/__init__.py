"""Socket.IO 4.8 on Node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.peers import npm
from bench.target import Target

FOLDER = Path(__file__).parent


def install() -> str:
    """The path of Node; CannotRun where the peer cannot be had."""
    return npm.install(FOLDER, "socket.io-client")


@contextmanager
def open_socketio(environ: Mapping[str, str] | None = None) -> Iterator[Target]:
    """Runs the peer on the server's core for as long as the block runs. `environ`: see `server.mjs`."""
    with npm.running(install(), FOLDER, environ) as (pid, (edge,)):
        yield Target("", edge, "", None, pid, "Socket.IO on Node")
