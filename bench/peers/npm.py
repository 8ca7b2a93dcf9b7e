"""A peer that runs on Node, installed from npm at its first use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.target import CannotRun, split_cores
from dorami_core.testing.node import node


def install(folder: Path, package: str) -> str:
    """The path of Node, once `package` is among the folder's modules; CannotRun where it cannot be had."""
    try:
        program = node()
    except RuntimeError as error:
        raise CannotRun(str(error)) from error
    if not (folder / "node_modules" / package).exists():
        command = [str(Path(program).with_name("npm")), "ci", "--loglevel=error"]
        installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if installed.returncode:
            raise CannotRun(f"the peer could not be installed: {installed.stderr[-300:]}")
    return program


@contextmanager
def running(program: str, folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[tuple[int, list[str]]]:
    """Runs the folder's `server.mjs` on the server's core and moves this process to the other; gives its pid and what
    its line `ready ...` names."""
    theirs, ours = split_cores()
    with subprocess.Popen(
        [program, "server.mjs"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environ or {})},
        preexec_fn=lambda: os.sched_setaffinity(0, theirs),
    ) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline().split()
            if ready[:1] != ["ready"]:
                raise CannotRun("the peer did not start")
            os.sched_setaffinity(0, ours)
            yield process.pid, ready[1:]
        finally:
            process.terminate()
