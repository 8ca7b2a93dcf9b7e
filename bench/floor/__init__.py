"""A bare C loop of `send(2)`: the least that a fan-out can cost on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.target import CannotRun, Target, split_cores

SOURCE = Path(__file__).with_name("floor.c")


class NoCompiler(Exception):
    """There is nothing here to compile it with."""


@contextmanager
def open_floor() -> Iterator[Target]:
    """Compiles it, and runs it on the server's core for as long as the block runs. NoCompiler: there is no `cc`."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("no C compiler (cc, gcc or clang) on PATH")
    theirs, ours = split_cores()
    with tempfile.TemporaryDirectory(prefix="dorami-floor-") as folder:
        program = Path(folder) / "floor"
        built = subprocess.run(
            [compiler, "-O2", "-o", str(program), str(SOURCE)], capture_output=True, text=True, check=False
        )
        if built.returncode:
            raise CannotRun(f"the floor did not compile: {built.stderr[-300:]}")
        with subprocess.Popen(
            [program], stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, theirs)
        ) as process:
            try:
                assert process.stdout is not None
                ready = process.stdout.readline().split()
                if len(ready) != 2:
                    raise CannotRun("the floor did not start")
                os.sched_setaffinity(0, ours)
                yield Target("", ready[1], "", None, process.pid, "bare C")
            finally:
                process.terminate()
