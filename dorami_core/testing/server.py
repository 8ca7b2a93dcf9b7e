"""A whole Dorami in processes of its own, for tests that use it from outside, and for benches."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import httpx

T = TypeVar("T")
READY = re.compile(r"^dorami ready(?: web=(\S+))?(?: edge=(\S+))?(?: rtmp=(\S+))?$", re.MULTILINE)
START_LIMIT_S = 60.0


@attrs.define
class RunningDorami:
    """A started `dorami up`, `web` or `edge`: its addresses ("" for what it does not serve), its process, its data
    directory."""

    web: str
    edge: str
    rtmp: str
    process: subprocess.Popen[bytes]
    data: Path
    log: Path

    def stop(self) -> int:
        """SIGTERM, then the exit code; SIGKILL after 15 s."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def client(self, email: str | None = None, *, role: str = "USER", name: str | None = None) -> httpx.Client:
        """An HTTP client of the web listener, signed in as `email` where one is given."""
        headers = {}
        if email is not None:
            name = name or email.partition("@")[0]
            body = {"email": email, "name": name, "instagramId": name, "role": role}
            answer = httpx.post(f"{self.web}/api/auth/dev-login", json=body, timeout=60)
            answer.raise_for_status()
            headers["Authorization"] = f"Bearer {answer.json()['data']['accessToken']}"
        return httpx.Client(base_url=self.web, headers=headers, timeout=60)

    def metric(self, name: str) -> float:
        """A value of /metrics, of all processes and labels together; KeyError where there is none."""
        found = [
            float(line.rpartition(" ")[2])
            for line in httpx.get(f"{self.web or self.edge}/metrics").text.splitlines()
            if line.startswith(name) and line[len(name)] in " {"
        ]
        if not found:
            raise KeyError(name)
        return sum(found)


def eventually(check: Callable[[], T], *, within_s: float = 60.0) -> T:
    """The first true answer; for what happens in another process, of which one can only ask again and again."""
    deadline = time.monotonic() + within_s
    while not (answer := check()):
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.05)
    return answer


def start_dorami(
    data: Path,
    *options: str,
    role: str = "up",
    environ: Mapping[str, str] | None = None,
    cores: Sequence[int] | None = None,
) -> RunningDorami:
    """Starts `dorami up`, or another role, on free ports and waits for its ready line; RuntimeError with its log where
    none comes. A role that is found by others gets a port of its own by an option.

    `cores` pins the process and what it starts to these CPUs.
    """
    data.parent.mkdir(parents=True, exist_ok=True)
    log = data.parent / (f"{data.name}.log" if role == "up" else f"{data.name}.{role}.{time.monotonic_ns()}.log")
    command = [sys.executable, "-m", "dorami_core.cli", role, "--data", str(data)]
    command += ["--web-port", "0", "--edge-port", "0", "--rtmp-port", "0", *options]
    pin: dict[str, Any] = {"preexec_fn": lambda: os.sched_setaffinity(0, cores)} if cores else {}
    with log.open("ab") as sink:
        start = log.stat().st_size
        process = subprocess.Popen(
            command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, env={**os.environ, **(environ or {})}, **pin
        )
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        text = log.read_bytes()[start:].decode("utf-8", "replace")
        if ready := READY.search(text):
            return RunningDorami(ready[1] or "", ready[2] or "", ready[3] or "", process, data, log)
        if process.poll() is not None:
            break
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise RuntimeError(f"dorami did not start:\n{log.read_text('utf-8', 'replace')[-4000:]}")


@contextmanager
def running_dorami(data: Path, *options: str, **how: Any) -> Iterator[RunningDorami]:
    """`start_dorami`, stopped at the end, whatever happened."""
    server = start_dorami(data, *options, **how)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
