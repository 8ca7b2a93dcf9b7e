"""One answer for many who ask, never older than the question."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from dorami_core.base.coalescing import Coalesced
from dorami_core.base.errors import DoramiError

pytestmark = pytest.mark.plain_trio


class Desk:
    """Makes an answer when the test lets it: the number of how many were begun before."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.answers: list[str] = []
        self.problem: Exception | None = None
        self.coalesced = Coalesced(self.make)
        self._send, self._go = trio.open_memory_channel[None](100)

    async def make(self, key: str) -> str:
        self.begun.append(key)
        answer = f"{key} {len(self.begun)}"
        await self._go.receive()
        if self.problem is not None:
            raise self.problem
        return answer

    async def ask(self, key: str = "a") -> None:
        self.answers.append(await self.coalesced.get(key))

    async def let_go(self) -> None:
        self._send.send_nowait(None)
        await wait_all_tasks_blocked()


async def test_who_asks_during_an_answer_shares_the_next_one() -> None:
    desk = Desk()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.ask)
        await wait_all_tasks_blocked()
        for _ in range(1000):
            nursery.start_soon(desk.ask)
        await wait_all_tasks_blocked()
        assert desk.begun == ["a"], "one at a time"
        await desk.let_go()
        assert desk.answers == ["a 1"]
        for _ in range(5):
            nursery.start_soon(desk.ask)
        await wait_all_tasks_blocked()
        await desk.let_go()
        assert desk.answers == ["a 1"] + ["a 2"] * 1000
        await desk.let_go()
        assert desk.answers[-5:] == ["a 3"] * 5
    assert (desk.coalesced.statistics().asked, desk.coalesced.statistics().made) == (1006, 3)


async def test_an_answer_never_begins_before_the_question() -> None:
    desk = Desk()
    async with trio.open_nursery() as nursery:
        for number in range(1, 6):
            nursery.start_soon(desk.ask)
            await wait_all_tasks_blocked()
            await desk.let_go()
            assert desk.answers[-1] == f"a {number}"


async def test_keys_do_not_wait_for_each_other() -> None:
    desk = Desk()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.ask, "a")
        nursery.start_soon(desk.ask, "b")
        await wait_all_tasks_blocked()
        assert sorted(desk.begun) == ["a", "b"]
        await desk.let_go()
        await desk.let_go()


async def test_one_who_goes_away_leaves_the_work_to_the_next() -> None:
    desk = Desk()
    async with trio.open_nursery() as nursery:
        gone = trio.CancelScope()

        async def leader() -> None:
            with gone:
                await desk.ask()

        nursery.start_soon(leader)
        await wait_all_tasks_blocked()
        waiting = trio.CancelScope()

        async def impatient() -> None:
            with waiting:
                await desk.ask()

        nursery.start_soon(impatient)
        nursery.start_soon(desk.ask)
        await wait_all_tasks_blocked()
        waiting.cancel()
        gone.cancel()
        await wait_all_tasks_blocked()
        await desk.let_go()
        assert desk.answers == ["a 2"]


@pytest.mark.parametrize(
    ("problem", "code"), [(DoramiError("CONFLICT", why="x"), "CONFLICT"), (RuntimeError("bug"), "UNAVAILABLE")]
)
async def test_a_failure_is_made_once_and_heard_by_all(problem: Exception, code: str) -> None:
    desk = Desk()
    heard: list[Exception] = []

    async def ask() -> None:
        try:
            await desk.ask()
        except Exception as error:
            heard.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        desk.problem = problem
        await desk.let_go()
    assert len(desk.begun) == 1
    assert len(heard) == 10
    assert heard[0] is problem
    assert [error.code for error in heard[1:] if isinstance(error, DoramiError)] == [code] * 9
    assert len(set(map(id, heard))) == 10, "each raises its own"
    desk.problem = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.ask)
        await wait_all_tasks_blocked()
        await desk.let_go()
    assert desk.answers == ["a 2"]
