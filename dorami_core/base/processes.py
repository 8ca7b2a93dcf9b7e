"""What a process owes its system and its parent. Linux; elsewhere the parent's pipe has to do."""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import resource
import signal
import subprocess
import sys

import trio

_PR_SET_PDEATHSIG = 1
_FILES = 65_536


def make_room_for_files() -> None:
    """Each viewer is an open file. The soft limit becomes the hard one, which children inherit; and the kernel's table
    of files is made large now, up to 65,536 of 8 bytes: each time that it doubles under a crowd, a process with threads
    stands still for some 15 ms, in accept(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    highest = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    with open(os.devnull) as any_file:
        os.close(fcntl.fcntl(any_file, fcntl.F_DUPFD_CLOEXEC, highest - 1))


def calm_garbage_collection() -> None:
    """Once all is loaded. What lives as long as the process is never looked at again, what has lived for a while
    seldom: a full collection beside a thousand viewers stops everything for more than 50 ms, and reference counts free
    nearly all. What is young is looked at while it is in the processor's caches: 2,000 objects take a millisecond or
    two, 20,000 took 20."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 500, 100)


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
