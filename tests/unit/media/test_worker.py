"""The supervisor with real processes: how they are fed, how they end, and that none stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from dorami_core.media.workers import worker as worker_module
from dorami_core.media.workers.worker import WorkerFailed, open_worker, run_worker

ECHO = "echo_worker"
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.fixture(autouse=True)
def _module_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(HERE), str(ROOT))))


def alive(pid: int) -> bool:
    """A zombie is not; it only waits for whoever is to read its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def wait_gone(pid: int) -> None:
    with trio.fail_after(60):
        while alive(pid):
            await trio.sleep(0.01)


async def parts(*data: bytes) -> AsyncIterator[bytes]:
    for part in data:
        yield part


async def test_it_is_fed_to_the_end_and_its_progress_is_heard() -> None:
    frames: list[Any] = []
    await run_worker(ECHO, ["count"], feed=parts(b"a" * 100_000, b"b" * 100_000), on_progress=frames.append)
    assert [frame.get("total") for frame in frames] == [None, 200_000]
    assert not alive(frames[0]["started"])


@pytest.mark.plain_trio
async def test_an_exit_status_is_an_error_with_its_last_lines() -> None:
    with pytest.raises(WorkerFailed) as caught:
        await run_worker(ECHO, ["fail"])
    assert caught.value.reason == "exit status 3"
    assert caught.value.stderr.splitlines()[-1] == "the reason"


async def test_a_worker_killed_from_outside_is_an_error() -> None:
    def kill(frame: Any) -> None:
        os.kill(frame["started"], signal.SIGKILL)

    with pytest.raises(WorkerFailed, match="exit status -9"):
        await run_worker(ECHO, ["stubborn"], on_progress=kill)


async def test_one_that_takes_nothing_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "STALLED_AFTER_S", 0.3)
    pids: list[int] = []
    with pytest.raises(WorkerFailed, match="took nothing"):
        await run_worker(ECHO, ["deaf"], feed=parts(bytes(1_000_000)), on_start=pids.append, grace_s=0.1)
    assert not alive(pids[0])


async def test_one_that_does_not_end_with_its_feed_is_killed_after_the_grace() -> None:
    pids: list[int] = []
    with trio.fail_after(60):
        await run_worker(ECHO, ["stubborn"], feed=parts(b"x"), on_start=pids.append, grace_s=0.1)
    assert not alive(pids[0])


@pytest.mark.plain_trio
async def test_cancelling_lets_it_finish_by_closing_stdin() -> None:
    frames: list[Any] = []

    async def endless() -> AsyncIterator[bytes]:
        yield b"some"
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:

        def started(frame: Any) -> None:
            frames.append(frame)
            nursery.cancel_scope.cancel()

        async def run() -> None:
            await run_worker(ECHO, ["count"], feed=endless(), on_progress=started, grace_s=5)

        nursery.start_soon(run)
    assert not alive(frames[0]["started"])


async def test_an_error_in_the_block_leaves_bare_and_the_worker_ends() -> None:
    with pytest.raises(LookupError, match="mine"):
        async with open_worker(ECHO, ["stubborn"], grace_s=0.1) as worker:
            await worker.stdout.receive_some()
            raise LookupError("mine")
    assert not alive(worker.pid)


PARENT = """
import os, sys, trio
from dorami_core.media.workers.worker import run_worker
async def main():
    await run_worker("echo_worker", ["stubborn"], on_progress=lambda frame: print(frame["started"], flush=True))
trio.run(main)
"""


async def test_it_dies_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        pid = int(await trio.to_thread.run_sync(parent.stdout.readline))
        assert alive(pid)
        parent.kill()
        await wait_gone(pid)
    finally:
        parent.kill()
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()
