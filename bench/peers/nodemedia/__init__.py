"""node-media-server 4.4 on Node."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers import npm
from bench.target import Target

FOLDER = Path(__file__).parent


@contextmanager
def open_nodemedia() -> Iterator[Target]:
    """Runs the peer on the server's core for as long as the block runs; it takes any stream key."""
    program = npm.install(FOLDER, "node-media-server")
    with (
        tempfile.TemporaryDirectory(prefix="dorami-bench-") as data,
        npm.running(program, FOLDER, {"BENCH_DATA": data}) as (pid, (edge, rtmp)),
    ):
        yield Target("", edge, rtmp, None, pid, "node-media-server")
