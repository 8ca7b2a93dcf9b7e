"""What is loaded: a Dorami of the bench's own, or one that is named."""

from __future__ import annotations

import argparse
import ipaddress
import os
import resource
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from dorami_core.testing.server import RunningDorami, running_dorami

CORES = sorted(os.sched_getaffinity(0))
"""Read before anything is pinned."""
TICKS_S = 1 / os.sysconf("SC_CLK_TCK")


class CannotRun(Exception):
    """The bench could not run at all; exit code 2."""


@attrs.frozen
class Target:
    """`server` is None for one that was not started here; without a `pid` there is no CPU to read."""

    web: str
    edge: str
    rtmp: str
    server: RunningDorami | None
    pid: int | None = None
    name: str = "dorami"

    def cpu_s(self) -> float:
        """CPU seconds of the main process so far, its threads included, its children not; 0 for a named target."""
        if self.pid is None:
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICKS_S

    def resident_bytes(self) -> int:
        """Resident memory of the main process; 0 for a named target."""
        if self.pid is None:
            return 0
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", metavar="URL", help="the web address of a running Dorami (default: start one here)")
    parser.add_argument("--edge", metavar="URL", help="its edge, where that is not port 8080 of the same host")
    parser.add_argument("--rtmp", metavar="URL", help="its RTMP address, where that is not port 1935 of the same host")
    parser.add_argument("--i-own-this-target", action="store_true", help="needed for a target off this machine")


def split_cores() -> tuple[list[int], list[int]]:
    """For the server and for the load: one core each where there are two, else the same for both."""
    return (CORES[:1], CORES[1:2]) if len(CORES) > 1 else (CORES, CORES)


def raise_file_limit() -> int:
    """As many open files as the system allows, for this process and those that it starts; how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def need_files(count: int) -> None:
    """CannotRun where a process may not have that many connections and what it has besides."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft != resource.RLIM_INFINITY and soft < count + 200:
        raise CannotRun(f"{count} connections need more open files than the {soft} that are allowed (ulimit -Hn)")


@contextmanager
def open_target(
    options: argparse.Namespace,
    *up_options: str,
    environ: dict[str, str] | None = None,
    shares_cores: bool = False,
) -> Iterator[Target]:
    """Starts a Dorami on one core and moves this process to the other, or both on all; or checks the named one."""
    if options.target:
        host = urlsplit(options.target).hostname or ""
        if not options.i_own_this_target and not _is_here(host):
            raise CannotRun(f"{host} is not this machine; add --i-own-this-target if it is yours to load")
        edge = options.edge or f"http://{host}:8080"
        yield Target(options.target.rstrip("/"), edge, options.rtmp or f"rtmp://{host}:1935/live", None)
        return
    theirs, ours = (CORES, CORES) if shares_cores else split_cores()
    with tempfile.TemporaryDirectory(prefix="dorami-bench-") as folder:
        data = Path(folder) / "data"
        exempt = {"DORAMI_LIMITS__EXEMPT_ADDRESSES": '["127.0.0.1"]'}
        try:
            with running_dorami(data, *up_options, cores=theirs, environ={**exempt, **(environ or {})}) as server:
                os.sched_setaffinity(0, ours)
                yield Target(server.web, server.edge, server.rtmp, server, server.process.pid)
        except RuntimeError as error:
            raise CannotRun(str(error)) from error


def _is_here(host: str) -> bool:
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise CannotRun(f"{host} cannot be found") from error
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)
