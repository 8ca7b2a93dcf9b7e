"""The edge's child processes: started together, started again when one dies, ended in order, never left behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import attrs
import structlog
import trio

from dorami_core.base.processes import wait_ended
from dorami_core.base.supervision import Backoff
from dorami_core.edge.handover import new_name

log = structlog.get_logger()

STOP_S = 5.0
"""For a child to end in order once its stdin is closed; then it is killed."""
_READY_MAX_BYTES = 4096


class EdgeProcessFailed(RuntimeError):
    """A child ended before it ever served; it has said on stderr why."""


@attrs.frozen
class EdgeProcessStatistics:
    """One place in the row of children. `pid` 0 while nobody fills it; `restarts` since the start."""

    place: str
    pid: int
    serves: bool
    restarts: int


@attrs.define(eq=False)
class _Place:
    number: int
    pid: int = 0
    serves: bool = False
    restarts: int = 0


class EdgeProcesses:
    """`command(name)` is what to run for a child that is to call itself `name` among its neighbours. It says on stdout
    that it serves, by one line, and ends in order when its stdin closes. `bury(name)` hears of each that has ended."""

    def __init__(
        self,
        count: int,
        command: Callable[[str], Sequence[str]],
        environ: Mapping[str, str],
        bury: Callable[[str], None],
    ) -> None:
        self._places = [_Place(number) for number in range(1, count + 1)]
        self._command = command
        self._environ = dict(environ)
        self._bury = bury

    def statistics(self) -> tuple[EdgeProcessStatistics, ...]:
        return tuple(
            EdgeProcessStatistics(f"edge-{place.number}", place.pid, place.serves, place.restarts)
            for place in self._places
        )

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """`started` once all serve; EdgeProcessFailed where one ends before. From then on one that ends is replaced,
        after a pause that doubles up to 30 s. Cancelled: all are told to stop at once, and waited for.
        """
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as starting:
                for place in self._places:
                    starting.start_soon(partial(nursery.start, self._keep, place))
            task_status.started()

    async def _keep(self, place: _Place, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        backoff = Backoff()
        has_served = False

        def serves() -> None:
            nonlocal has_served
            place.serves = True
            if not has_served:
                has_served = True
                task_status.started()

        while True:
            began = trio.current_time()
            status = await self._run_one(place, serves)
            if not has_served:
                raise EdgeProcessFailed(f"edge process {place.number} ended at its start with status {status}")
            place.restarts += 1
            pause_s = backoff.pause_s(trio.current_time() - began)
            log.warning("edge.process_ended", place=place.number, status=status, again_in_s=pause_s)
            await trio.sleep(pause_s)

    async def _run_one(self, place: _Place, serves: Callable[[], None]) -> int:
        name = new_name(f"e{place.number}")
        # From this thread, which is the main one: a parent-death signal follows the thread that starts a child, and
        # the helper thread of trio.run_process ends after 10 s. A session of its own, so that a Ctrl-C at the terminal
        # reaches the parent alone, which ends it in order.
        process = subprocess.Popen(  # noqa: ASYNC220
            self._command(name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environ,
            start_new_session=True,
        )
        place.pid = process.pid
        try:
            if await _says_ready(process):
                serves()
            return await wait_ended(process)
        finally:
            place.pid, place.serves = 0, False
            with trio.CancelScope(shield=True):
                await _end(process)
            self._bury(name)


async def _says_ready(process: subprocess.Popen[bytes]) -> bool:
    """False where it ended, or said anything too long to be that line."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    said = b""
    while b"\n" not in said and len(said) < _READY_MAX_BYTES:
        await trio.lowlevel.wait_readable(process.stdout.fileno())
        data = os.read(process.stdout.fileno(), _READY_MAX_BYTES)
        if not data:
            return False
        said += data
    return True


async def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        with trio.move_on_after(STOP_S):
            await wait_ended(process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
