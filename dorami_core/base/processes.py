"""What a process owes its system and its parent. Linux; elsewhere the parent's pipe has to do."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import subprocess
import sys

import trio

_PR_SET_PDEATHSIG = 1


def raise_file_limit() -> None:
    """Sets the soft limit of open files to the hard one: each viewer is one of them. Children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def calm_garbage_collection() -> None:
    """Once all is loaded. What lives as long as the process is never looked at again, and the rest seldom: a full
    collection beside a thousand viewers stops everything for more than 50 ms, and reference counts free nearly all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def die_with_parent(parent: int) -> None:
    """SIGKILL when the thread of `parent` that started us ends (prctl(2)); at once where it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


async def wait_ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit status, negative for a signal."""
    if process.poll() is None:
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return process.wait()
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)
    return process.wait()
