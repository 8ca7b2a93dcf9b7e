"""Socket.IO 4.8 on Node, installed from npm at its first use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.target import CannotRun, Target, split_cores
from dorami_core.testing.node import node

FOLDER = Path(__file__).parent


def install() -> str:
    """The path of Node; CannotRun where the peer cannot be had."""
    try:
        program = node()
    except RuntimeError as error:
        raise CannotRun(str(error)) from error
    if not (FOLDER / "node_modules" / "socket.io-client").exists():
        install = [str(Path(program).with_name("npm")), "ci", "--loglevel=error"]
        installed = subprocess.run(install, cwd=FOLDER, capture_output=True, text=True, check=False)
        if installed.returncode:
            raise CannotRun(f"the peer could not be installed: {installed.stderr[-300:]}")
    return program


@contextmanager
def open_socketio(environ: Mapping[str, str] | None = None) -> Iterator[Target]:
    """Runs the peer on the server's core for as long as the block runs. `environ`: see `server.mjs`."""
    program = install()
    theirs, ours = split_cores()
    with subprocess.Popen(
        [program, "server.mjs"],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environ or {})},
        preexec_fn=lambda: os.sched_setaffinity(0, theirs),
    ) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline().split()
            if len(ready) != 2:
                raise CannotRun("the peer did not start")
            os.sched_setaffinity(0, ours)
            yield Target("", ready[1], "", None, process.pid, "Socket.IO on Node")
        finally:
            process.terminate()
