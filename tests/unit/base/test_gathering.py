"""Wishes that gather: in order, each with an answer of its own, and nobody left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from dorami_core.base import gathering
from dorami_core.base.errors import DoramiError
from dorami_core.base.gathering import Gathering

PRODUCT = uuid4()


class Decider:
    """Answers a wish with itself in capitals; holds the first batch until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go, self.begun = trio.Event(), trio.Event()
        self.begun.set()
        self.is_gone = False

    async def __call__(self, take: Callable[[], Sequence[str]]) -> list[str | DoramiError]:
        await self.begun.wait()
        if self.is_gone:
            raise DoramiError("UNAVAILABLE")
        wishes = take()
        self.batches.append(list(wishes))
        await self.go.wait()
        if "broken" in wishes:
            raise RuntimeError("broken")
        if "gone" in wishes:
            raise DoramiError("UNAVAILABLE")
        return [DoramiError("INSUFFICIENT_STOCK") if wish == "short" else wish.upper() for wish in wishes]


class Crowd:
    """Asks one after another, and keeps what each was answered."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.decider = Decider()
        self.gathering: Gathering[str, str] = Gathering(self.decider)
        self.answers: dict[str, str] = {}
        self._nursery = nursery

    async def ask(self, wish: str, key: object = None, product: UUID = PRODUCT) -> trio.CancelScope:
        scope = trio.CancelScope()
        self._nursery.start_soon(self._ask, scope, wish, key, product)
        await wait_all_tasks_blocked()
        return scope

    async def _ask(self, scope: trio.CancelScope, wish: str, key: object, product: UUID) -> None:
        with scope:
            try:
                self.answers[wish] = await self.gathering.ask(product, key, wish)
            except DoramiError as error:
                self.answers[wish] = error.code
            except RuntimeError as error:
                self.answers[wish] = str(error)

    async def let_go(self) -> None:
        self.decider.go.set()
        await wait_all_tasks_blocked()


async def test_who_comes_meanwhile_is_decided_together_in_order() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(nursery)
        for wish in ("a", "b", "short", "c"):
            await crowd.ask(wish)
        await crowd.ask("elsewhere", product=uuid4())
        assert crowd.decider.batches == [["a"], ["elsewhere"]]
        await crowd.let_go()
        assert crowd.decider.batches[2:] == [["b", "short", "c"]]
        assert crowd.answers == {"a": "A", "b": "B", "short": "INSUFFICIENT_STOCK", "c": "C", "elsewhere": "ELSEWHERE"}
        statistics = crowd.gathering.statistics()
        assert (statistics.decided, statistics.batches, statistics.waiting) == (5, 3, 0)


async def test_who_comes_while_the_transaction_begins_is_decided_in_it() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(nursery)
        crowd.decider.begun = trio.Event()
        for wish in ("a", "b", "c"):
            await crowd.ask(wish)
        crowd.decider.begun.set()
        await crowd.let_go()
        assert crowd.decider.batches == [["a", "b", "c"]]
        assert crowd.answers == {"a": "A", "b": "B", "c": "C"}


async def test_where_none_can_begin_all_are_told() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(nursery)
        crowd.decider.begun, crowd.decider.is_gone = trio.Event(), True
        for wish in ("a", "b"):
            await crowd.ask(wish)
        crowd.decider.begun.set()
        await wait_all_tasks_blocked()
        assert crowd.answers == {"a": "UNAVAILABLE", "b": "UNAVAILABLE"}
        assert crowd.gathering.statistics().waiting == 0


async def test_the_same_name_is_never_twice_in_a_batch() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(nursery)
        for wish in ("first", "one", "two", "three"):
            await crowd.ask(wish, key="tap" if wish in ("one", "two") else None)
        await crowd.let_go()
        assert crowd.decider.batches == [["first"], ["one", "three"], ["two"]]


async def test_one_that_breaks_the_batch_breaks_alone() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(nursery)
        for wish in ("a", "b", "broken", "c"):
            await crowd.ask(wish)
        await crowd.let_go()
        assert crowd.answers == {"a": "A", "b": "B", "broken": "broken", "c": "C"}


async def test_a_database_that_is_gone_is_told_to_all_at_once() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(nursery)
        for wish in ("a", "gone", "b"):
            await crowd.ask(wish)
        await crowd.let_go()
        assert crowd.answers == {"a": "A", "gone": "UNAVAILABLE", "b": "UNAVAILABLE"}
        assert len(crowd.decider.batches) == 2


async def test_who_goes_away_leaves_nobody_waiting() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(nursery)
        leader = await crowd.ask("a")
        follower = await crowd.ask("b")
        await crowd.ask("c")
        leader.cancel()
        follower.cancel()
        await wait_all_tasks_blocked()
        await crowd.let_go()
        assert crowd.decider.batches == [["a"], ["c"]]
        assert crowd.answers["c"] == "C"
        assert crowd.gathering.statistics().waiting == 0


async def test_a_line_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "WAITING_BOUND", 2)
    monkeypatch.setattr(gathering, "BATCH", 1)
    async with trio.open_nursery() as nursery:
        crowd = Crowd(nursery)
        for wish in ("a", "b", "c"):
            await crowd.ask(wish)
        assert crowd.answers == {"c": "UNAVAILABLE"}
        await crowd.let_go()
        assert crowd.decider.batches == [["a"], ["b"]]
