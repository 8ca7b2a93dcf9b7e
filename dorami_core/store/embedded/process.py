"""Children that are servers: started once, found again after a crash, never left behind.

Starting and stopping are written once, as generators of waits in seconds; `block_on` drives one with `time.sleep`
(test sessions, which have no event loop) and `wait_on` with `trio.sleep`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import attrs
import trio

T = TypeVar("T")
Steps = Generator[float, None, T]
"""Yields seconds to wait, returns a T."""

POLL_S = 0.005
START_LIMIT_S = 120.0
"""Recovery after a crash may take long on a slow disk."""
LOG_LIMIT_BYTES = 10_000_000
MAX_SOCKET_BYTES = 107
"""`sockaddr_un.sun_path` of Linux is 108 bytes with its final zero."""


class EmbeddedServerError(RuntimeError):
    """An embedded server cannot run here; the message says why and where its log is."""


@attrs.define(eq=False)
class RunningServer:
    """A server that is ready. `url` is what its client library takes."""

    url: str
    process: subprocess.Popen[bytes]
    _signals: Sequence[tuple[signal.Signals, float]]
    _cleanup: ExitStack

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        """Ends the server cleanly, harder after its grace; blocks until it is gone. A second call does nothing."""
        block_on(self.stopping())

    def stopping(self) -> Steps[None]:
        try:
            yield from end_process(self.process, self._signals)
        finally:
            self._cleanup.close()


def block_on(steps: Steps[T]) -> T:
    """Drives the steps in this thread."""
    try:
        while True:
            time.sleep(next(steps))
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        steps.close()


async def wait_on(steps: Steps[T]) -> T:
    """Drives the steps in Trio; a cancellation closes them, and what they had started is killed."""
    try:
        while True:  # noqa: ASYNC110 - a child's readiness has no event to wait for
            await trio.sleep(next(steps))
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        steps.close()


def spawn(command: Sequence[str], *, log: Path, death_signal: signal.Signals | None = None) -> subprocess.Popen[bytes]:
    """Starts a child of its own session with its output in `log`.

    `death_signal` is sent to it when this process dies, however it dies. On Linux that signal follows the thread
    that started the child, so this must be the main one; raises RuntimeError elsewhere.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("embedded servers are started from the main thread: they would end with another one")
    prepare: Callable[[], None] | None = None
    command = list(command)
    if death_signal is not None and sys.platform == "linux":
        if (setpriv := shutil.which("setpriv")) is not None:
            command = _with_death_signal(command, setpriv, death_signal)
        else:
            prepare = _death_signal_setter(int(death_signal))
    with open(log, "ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=_environment(),
            start_new_session=True,
            preexec_fn=prepare,
        )


def _with_death_signal(command: list[str], setpriv: str, death_signal: signal.Signals) -> list[str]:
    wanted = [setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG")]
    # A changed user or user namespace clears the signal, so it is set after that, right before the server.
    if "--" in command:
        cut = command.index("--")
        return [*command[:cut], *wanted, *command[cut + 1 :]]
    return [*wanted, *command]


def _death_signal_setter(number: int) -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h

    def prepare() -> None:
        prctl(set_parent_death_signal, number, 0, 0, 0)

    return prepare


def _environment() -> dict[str, str]:
    """Ours without what would steer PostgreSQL from outside (PGDATA, PGHOST, ...), in the C locale."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**ours, "LC_ALL": "C", "TZ": "UTC"}


def end_process(process: subprocess.Popen[bytes], signals: Sequence[tuple[signal.Signals, float]]) -> Steps[None]:
    """Sends each signal and waits its seconds, then kills; returns when the child has been waited for."""
    for number, grace_s in signals:
        if process.poll() is not None:
            return
        process.send_signal(number)
        limit = time.monotonic() + grace_s
        while process.poll() is None and time.monotonic() < limit:
            yield POLL_S
    kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a child of `spawn`, and what it has started in its session (initdb runs postgres), and waits for it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def await_ready(process: subprocess.Popen[bytes], ready: Callable[[], bool], *, name: str, log: Path) -> Steps[None]:
    """Waits until `ready()`. A child that ends before, or takes over `START_LIMIT_S`, raises EmbeddedServerError;
    then, and when the steps are closed, the child is killed."""
    limit = time.monotonic() + START_LIMIT_S
    try:
        while not ready():
            if process.poll() is not None:
                raise EmbeddedServerError(
                    f"{name} ended at its start with status {process.returncode}; its log {log} ends with:\n{tail(log)}"
                )
            if time.monotonic() > limit:
                raise EmbeddedServerError(f"{name} was not ready after {START_LIMIT_S:.0f} s; see {log}")
            yield POLL_S
    except BaseException:
        kill(process)
        raise


def end_orphans(folder: Path, number: signal.Signals, *, name: str) -> Steps[None]:
    """Waits for processes of a former run that still work in `folder`, which the caller has locked.

    They got their death signal when their parent died, or get `number` here; Linux only, elsewhere nothing is found.
    A zombie does not count: it holds nothing, though its number still looks alive to PostgreSQL.
    """
    limit = time.monotonic() + 30.0
    asked: set[int] = set()
    while found := processes_in(folder):
        if time.monotonic() > limit:
            raise EmbeddedServerError(f"an older {name} (process {min(found)}) still runs in {folder} and does not end")
        leader = min(found)
        if leader not in asked:
            asked.add(leader)
            try:
                os.kill(leader, number)
            except ProcessLookupError:
                continue
        yield 0.02


def processes_in(folder: Path) -> set[int]:
    """Living processes whose working directory is `folder`; both servers change into their data at start."""
    target = os.path.realpath(folder)
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "cwd") == target:
                found.add(int(entry.name))
        except OSError:
            continue  # it has ended, is a zombie, or is not ours to look at
    found.discard(os.getpid())
    return found


def socket_path(folder: Path, file: str) -> Path:
    """Raises EmbeddedServerError where the path of the socket would be longer than the kernel takes."""
    path = folder / file
    if len(os.fsencode(path)) > MAX_SOCKET_BYTES:
        room = MAX_SOCKET_BYTES - len(file) - 1
        raise EmbeddedServerError(
            f"the path of the data directory {folder} is too long for a unix socket: "
            f"{len(os.fsencode(folder))} bytes, at most {room}"
        )
    return path


def open_log(folder: Path, name: str) -> Path:
    """`<folder>/log/<name>.log`; one that has grown over 10 MB becomes `<name>.log.1`."""
    logs = folder / "log"
    logs.mkdir(mode=0o700, exist_ok=True)
    log = logs / f"{name}.log"
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_name(log.name + ".1"))
    return log


def tail(log: Path, size: int = 2000) -> str:
    """The last `size` bytes of a log, as text."""
    with open(log, "rb") as stream:
        stream.seek(max(0, log.stat().st_size - size))
        return stream.read().decode("utf-8", "replace").strip()
