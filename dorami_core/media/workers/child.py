"""The worker's side: it dies with its parent, and says on stdout, in msgpack, how it is doing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from typing import Any

import msgpack

PARENT = "DORAMI_WORKER_PARENT"
_PR_SET_PDEATHSIG = 1


def follow_parent() -> None:
    """First thing in a worker: default signal actions, since a Python handler does not run while FFmpeg blocks, and
    SIGKILL when the thread that started us ends (Linux prctl(2); it stays over exec)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the line above.
    if os.environ.get(PARENT) not in (None, str(os.getppid())):
        os._exit(1)


def end_with_stdin() -> None:
    """For a worker that reads nothing: a thread that ends the process when stdin closes, where prctl is not there,
    or the supervisor wants an end."""

    def watch() -> None:
        while os.read(0, 4096):
            continue
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def report(**values: Any) -> None:
    """One progress frame: a msgpack map. Blocks while the supervisor does not read."""
    data = msgpack.packb(values)
    while data:
        data = data[os.write(1, data) :]
