"""SIGINT and SIGTERM end a process cleanly, also while asyncio work is pending."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RECEIVER = """
import asyncio, signal, trio
from dorami_core.runtime import run, to_asyncio

async def main():
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(to_asyncio, asyncio.sleep, 60)
            print("ready", flush=True)
            async for number in signals:
                print("got", signal.Signals(number).name, flush=True)
                nursery.cancel_scope.cancel()
                break
    print("clean", flush=True)

run(main)
"""

RUN_AND_TELL = """
try:
    run(main)
except BaseException as error:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    print(type(error).__name__, flush=True)
"""

BARE = """
import asyncio, signal, trio
from dorami_core.runtime import run, to_asyncio

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it from birth

async def main():
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(to_asyncio, asyncio.sleep, 60)
            print("ready", flush=True)
            await trio.sleep_forever()
    finally:
        print("clean", flush=True)
"""

ELSEWHERE = """
import os, signal, trio
from dorami_core.runtime import run

signal.signal(signal.SIGINT, signal.default_int_handler)

async def busy():
    os.kill(os.getpid(), signal.SIGINT)
    print("done", flush=True)

async def main():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(busy)
        await trio.sleep_forever()
"""


def _signalled(program: str, number: signal.Signals) -> tuple[list[str], int]:
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        try:
            lines, _ = child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
        return lines.split("\n")[:-1], child.returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_receiver_ends_the_process_cleanly(number: signal.Signals) -> None:
    assert _signalled(RECEIVER, number) == ([f"got {number.name}", "clean"], 0)


def test_an_interrupt_without_receiver_still_runs_finally() -> None:
    assert _signalled(BARE + RUN_AND_TELL, signal.SIGINT) == (["clean", "KeyboardInterrupt"], 0)


def test_an_interrupt_leaves_what_another_task_is_about_whole() -> None:
    command = [sys.executable, "-c", ELSEWHERE + RUN_AND_TELL]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True).stdout
    assert said.split() == ["done", "KeyboardInterrupt"]
