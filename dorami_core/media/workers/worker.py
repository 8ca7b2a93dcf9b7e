"""The supervisor of one worker process: starts it, feeds it, listens to it, never leaves it behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import structlog
import trio

from dorami_core.media.workers.child import PARENT

log = structlog.get_logger(__name__)

Progress = Mapping[str, Any]
READ_BYTES = 65536
MAX_FRAME_BYTES = 1 << 24
STDERR_LINES = 20
LAST_WORDS_S = 1.0
STALLED_AFTER_S = 10.0
"""A worker that takes nothing of what it is fed for so long is taken for stuck."""


class WorkerFailed(Exception):
    """The worker ended by itself with an error, was killed by somebody else, or stuck. `stderr` are its last lines."""

    def __init__(self, module: str, reason: str, stderr: str) -> None:
        super().__init__(f"{module}: {reason}" + (f"\n{stderr}" if stderr else ""))
        self.module = module
        self.reason = reason
        self.stderr = stderr


class Worker:
    """A running process; its stdin and stdout are Trio streams."""

    def __init__(self, module: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.module = module
        self._process = process
        # The Popen's own file objects must not close the descriptors a second time.
        self.stdin = trio.lowlevel.FdStream(_taken(process.stdin))
        self.stdout = trio.lowlevel.FdStream(_taken(process.stdout))
        self._stderr = trio.lowlevel.FdStream(_taken(process.stderr))
        self.stderr_read = trio.Event()
        self._lines: deque[str] = deque(maxlen=STDERR_LINES)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stderr_tail(self) -> str:
        """The last STDERR_LINES lines that it wrote to stderr."""
        return "\n".join(self._lines)

    async def wait(self) -> int:
        """Its exit status, negative for a signal; returns once it has ended."""
        if self._process.poll() is None:
            try:
                descriptor = os.pidfd_open(self.pid)
            except ProcessLookupError:
                return self._process.wait()
            try:
                await trio.lowlevel.wait_readable(descriptor)
            finally:
                os.close(descriptor)
        return self._process.wait()

    def failed(self, reason: str) -> WorkerFailed:
        return WorkerFailed(self.module, reason, self.stderr_tail)

    async def ended_with(self, status: int) -> WorkerFailed:
        """The error for a worker that has ended; its last lines may still be in the pipe."""
        with trio.move_on_after(LAST_WORDS_S):
            await self.stderr_read.wait()
        return self.failed(f"exit status {status}")

    async def read_stderr(self) -> None:
        """Keeps the last lines; the supervisor runs this. `stderr_read` is set at the end of file."""
        rest = b""
        async with self._stderr:
            while data := await self._stderr.receive_some(READ_BYTES):
                *lines, rest = (rest + data).splitlines(keepends=True)
                if rest.endswith(b"\n") or len(rest) > 4096:
                    lines, rest = [*lines, rest], b""
                self._lines.extend(line.decode("utf-8", "replace").rstrip()[:500] for line in lines)
            if rest:
                self._lines.append(rest.decode("utf-8", "replace").rstrip()[:500])
        self.stderr_read.set()

    async def finish(self, grace_s: float) -> None:
        """Closes its stdin, gives it `grace_s` to end and kills it then. Is not cancelled, so it is bounded."""
        with trio.CancelScope(shield=True):
            try:
                await self.stdin.aclose()
                with trio.move_on_after(grace_s):
                    await self.wait()
            finally:
                self._process.kill()
                self._process.wait()
                await self.stdout.aclose()


def _taken(file: Any) -> int:
    descriptor = os.dup(file.fileno())
    os.set_inheritable(descriptor, False)
    file.close()
    return descriptor


@asynccontextmanager
async def open_worker(module: str, arguments: Sequence[str] = (), *, grace_s: float = 2.0) -> AsyncIterator[Worker]:
    """`python -m module arguments...` while the block runs; then stdin closes, and `grace_s` later it is killed.

    It is started from this thread and gets SIGKILL when this thread ends, so this must be the main one. It is a
    session of its own: a Ctrl-C at the terminal is for the parent alone, which ends it in order.
    """
    # Not trio.open_process: its helper thread ends after 10 s, and with it the child.
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, PARENT: str(os.getpid())},
        start_new_session=True,
    )
    worker = Worker(module, process)
    problem: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.read_stderr)
        try:
            yield worker
        except Exception as error:
            problem = error  # raised below, so that it leaves bare and not in the nursery's group
        finally:
            await worker.finish(grace_s)
            nursery.cancel_scope.cancel()
    if problem is not None:
        raise problem


async def run_worker(
    module: str,
    arguments: Sequence[str] = (),
    *,
    feed: AsyncIterable[bytes] | None = None,
    on_start: Callable[[int], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    grace_s: float = 2.0,
) -> None:
    """Runs a worker to its end: writes `feed` to its stdin and closes it after, hands each msgpack map that it
    writes to stdout to `on_progress`; `on_start` gets its pid.

    Returns when it has ended well, or was killed `grace_s` after the feed's end. WorkerFailed otherwise. Cancelling
    closes stdin, so that it can finish its files within `grace_s`, then kills it.
    """
    failure: WorkerFailed | None = None
    fed = trio.Event()
    async with open_worker(module, arguments, grace_s=grace_s) as worker, trio.open_nursery() as nursery:
        if on_start is not None:
            on_start(worker.pid)

        async def write() -> None:
            nonlocal failure
            if feed is None:
                return
            try:
                async for data in feed:
                    with trio.fail_after(STALLED_AFTER_S):
                        await worker.stdin.send_all(data)
                await worker.stdin.aclose()
            except trio.BrokenResourceError:
                return  # it has ended; `wait` below says how
            except trio.TooSlowError:
                failure = worker.failed(f"took nothing for {STALLED_AFTER_S:g} s")
                nursery.cancel_scope.cancel()
                return
            fed.set()
            await trio.sleep(grace_s)
            nursery.cancel_scope.cancel()

        async def read() -> None:
            unpacker = msgpack.Unpacker(max_buffer_size=MAX_FRAME_BYTES)
            while data := await worker.stdout.receive_some(READ_BYTES):
                unpacker.feed(data)
                for frame in unpacker:
                    if on_progress is not None and isinstance(frame, dict):
                        on_progress(frame)
            all_read.set()

        all_read = trio.Event()
        nursery.start_soon(write)
        nursery.start_soon(read)
        status = await worker.wait()
        with trio.move_on_after(LAST_WORDS_S):
            await all_read.wait()  # its last frames may still be in the pipe
        if status != 0 and not fed.is_set():
            failure = await worker.ended_with(status)
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
