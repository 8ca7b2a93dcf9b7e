"""Socket.IO 4.8 on Node, installed from npm at its first use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.target import CannotRun, Target, split_cores
from dorami_core.testing.node import node

FOLDER = Path(__file__).parent


@contextmanager
def open_socketio() -> Iterator[Target]:
    """Runs the peer on the server's core for as long as the block runs."""
    program = node()
    if not (FOLDER / "node_modules" / "socket.io").exists():
        install = [str(Path(program).with_name("npm")), "ci", "--loglevel=error"]
        installed = subprocess.run(install, cwd=FOLDER, capture_output=True, text=True, check=False)
        if installed.returncode:
            raise CannotRun(f"the peer could not be installed: {installed.stderr[-300:]}")
    theirs, ours = split_cores()
    with subprocess.Popen(
        [program, "server.mjs"],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, theirs),
    ) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline().split()
            if len(ready) != 2:
                raise CannotRun("the peer did not start")
            os.sched_setaffinity(0, ours)
            yield Target("", ready[1], "", None, process.pid)
        finally:
            process.terminate()
