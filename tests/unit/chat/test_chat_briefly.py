from __future__ import annotations

import pytest
import trio
import trio.testing

from dorami_core.chat.briefly import KEYS_KEPT, Briefly
from dorami_core.testing.clock import ManualClock


class Slow:
    """Answers with the number of the question, once it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = trio.Event()

    async def __call__(self, key: str) -> int:
        self.asked += 1
        number = self.asked
        await self.may_answer.wait()
        if key == "bad":
            raise ValueError(key)
        return number


async def test_a_crowd_asks_once(manual_clock: ManualClock) -> None:
    slow = Slow()
    briefly = Briefly(slow, manual_clock, 1.0)
    answers: list[int] = []

    async def ask() -> None:
        answers.append(await briefly.get("a"))

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        slow.may_answer.set()
    assert answers == [1] * 100
    manual_clock.advance(0.99)
    assert await briefly.get("a") == 1
    manual_clock.advance(0.01)
    assert await briefly.get("a") == 2
    assert await briefly.get("b") == 3


async def test_what_was_asked_before_a_clear_is_not_remembered(manual_clock: ManualClock) -> None:
    slow = Slow()
    briefly = Briefly(slow, manual_clock, 1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(briefly.get, "a")
        await trio.testing.wait_all_tasks_blocked()
        briefly.clear()
        slow.may_answer.set()
    assert await briefly.get("a") == 2
    briefly.clear()
    assert await briefly.get("a") == 3


async def test_an_error_is_not_remembered(manual_clock: ManualClock) -> None:
    slow = Slow()
    slow.may_answer.set()
    briefly = Briefly(slow, manual_clock, 1.0)
    for asked in (1, 2):
        with pytest.raises(ValueError, match="bad"):
            await briefly.get("bad")
        assert slow.asked == asked


async def test_who_waited_for_a_question_that_was_cancelled_asks_himself(manual_clock: ManualClock) -> None:
    slow = Slow()
    briefly = Briefly(slow, manual_clock, 1.0)
    scope = trio.CancelScope()
    answers: list[int] = []

    async def ask_and_go() -> None:
        with scope:
            await briefly.get("a")

    async def ask() -> None:
        answers.append(await briefly.get("a"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_and_go)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert slow.asked == 1
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        slow.may_answer.set()
    assert answers == [2]


async def test_no_more_than_its_bound_is_kept(manual_clock: ManualClock) -> None:
    slow = Slow()
    slow.may_answer.set()
    briefly = Briefly(slow, manual_clock, 1.0)
    for number in range(KEYS_KEPT + 1):
        await briefly.get(str(number))
    assert await briefly.get("0") == KEYS_KEPT + 2
    assert await briefly.get(str(KEYS_KEPT)) == KEYS_KEPT + 1
