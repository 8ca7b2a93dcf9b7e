"""A worker for the supervisor's tests: its argument says how it behaves."""

from __future__ import annotations

import os
import signal
import sys
import time

from dorami_core.media.workers.child import follow_parent, report


def main(mode: str) -> None:
    follow_parent()
    report(started=os.getpid())
    if mode == "count":
        total = 0
        while data := os.read(0, 65536):
            total += len(data)
        report(total=total)
    elif mode == "fail":
        sys.stderr.write("first line\nthe reason\n")
        sys.exit(3)
    elif mode == "deaf":
        signal.sigwait([signal.SIGUSR1])
    elif mode == "stubborn":
        while True:
            time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1])
