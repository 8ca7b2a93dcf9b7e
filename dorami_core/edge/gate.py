"""Where what is said in a busy room gathers, to be decided together right before the room's next round."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

EARLY_S = 0.005
"""It opens so long before the round, which is about what it takes to decide."""
LATE_S = 0.025
"""A round waits no longer than this for who was let in."""
HEARD_S = 0.001
"""What was decided is heard so much later, at the latest."""

Work = Callable[[], Awaitable[None]]


class Gate:
    """A thousand sends push all else out of the processor's caches, and what is done once after them is slow; five
    together cost less than two one by one. In a calm room nobody waits."""

    __slots__ = ("_held", "_inside", "_quiet")

    def __init__(self) -> None:
        self._held: list[Work] = []
        self._inside = 0
        self._quiet: trio.Event | None = None

    def hold(self, pause_s: float, work: Work, nursery: trio.Nursery) -> None:
        """Runs `work` when the gate opens, or now where it is open. `pause_s`: until the next round."""
        if not self._held and pause_s <= EARLY_S:
            self._let_in(work, nursery)
            return
        if not self._held:
            nursery.start_soon(self._open, pause_s - EARLY_S, nursery)
        self._held.append(work)

    async def _open(self, after_s: float, nursery: trio.Nursery) -> None:
        await trio.sleep(after_s)
        held, self._held = self._held, []
        for work in held:
            self._let_in(work, nursery)

    def _let_in(self, work: Work, nursery: trio.Nursery) -> None:
        self._inside += 1
        nursery.start_soon(self._run, work)

    async def _run(self, work: Work) -> None:
        try:
            await work()
        finally:
            self._inside -= 1
            if self._quiet is not None and not self._inside:
                self._quiet.set()
                self._quiet = None

    async def wait_quiet(self) -> None:
        """Until nobody who was let in is at work, or LATE_S."""
        if self._inside:
            self._quiet = self._quiet or trio.Event()
            with trio.move_on_after(LATE_S):
                await self._quiet.wait()
                await trio.sleep(HEARD_S)
