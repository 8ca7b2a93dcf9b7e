"""The crossing from Trio to asyncio."""

from __future__ import annotations

import asyncio
import contextvars
import traceback
from collections.abc import AsyncIterator

import pytest
import trio

from dorami_core.runtime import AsyncioCancelled, run, to_asyncio

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


async def test_a_result_comes_back() -> None:
    async def add(left: int, right: int) -> int:
        await asyncio.sleep(0)
        return left + right

    assert await to_asyncio(add, 2, 3) == 5


async def test_an_exception_keeps_its_traceback() -> None:
    async def the_guilty_one() -> None:
        await asyncio.sleep(0)
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad") as caught:
        await to_asyncio(the_guilty_one)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "the_guilty_one" in names
    assert "to_asyncio" in names


async def test_a_function_that_fails_before_its_first_await() -> None:
    def broken() -> asyncio.Future[None]:
        raise LookupError("at once")

    with pytest.raises(LookupError, match="at once"):
        await to_asyncio(broken)


async def test_context_variables_go_in_and_stay_in() -> None:
    async def read_and_change() -> str:
        seen = colour.get()
        colour.set("red")
        return seen

    colour.set("blue")
    assert await to_asyncio(read_and_change) == "blue"
    assert colour.get() == "blue"


async def test_a_cancelled_scope_waits_for_the_end_of_the_task() -> None:
    steps: list[str] = []
    started = trio.Event()

    async def slow() -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned")

    async def call() -> None:
        with scope:
            await to_asyncio(slow)
        steps.append("left")

    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await started.wait()
        scope.cancel()
    assert scope.cancelled_caught
    assert steps == ["cleaned", "left"]


async def test_a_task_that_finishes_in_spite_of_cancellation_counts() -> None:
    started = trio.Event()
    results: list[str] = []

    async def stubborn() -> str:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "finished"
        return "slept"

    async def call() -> None:
        results.append(await to_asyncio(stubborn))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await started.wait()
        nursery.cancel_scope.cancel()
    assert results == ["finished"]


async def test_a_cancelled_scope_does_not_start_the_call() -> None:
    called = False

    async def mark() -> None:
        nonlocal called
        called = True

    with trio.CancelScope() as scope:
        scope.cancel()
        await to_asyncio(mark)
    assert not called


async def test_a_call_that_is_cancelled_before_asyncio_has_begun_it_ends() -> None:
    """Both run in one batch of Trio's, in either order."""
    called = ended = 0

    async def mark() -> None:
        nonlocal called
        called += 1

    async def call(scope: trio.CancelScope) -> None:
        nonlocal ended
        with scope:
            await to_asyncio(mark)
        ended += 1

    async def cancel(scope: trio.CancelScope) -> None:
        scope.cancel()

    for _ in range(50):
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, scope)
            nursery.start_soon(cancel, scope)
    assert (called, ended) == (0, 50)


async def test_asyncio_that_cancels_itself_is_an_ordinary_error() -> None:
    async def cancel_myself() -> None:
        raise asyncio.CancelledError

    with pytest.raises(AsyncioCancelled) as caught:
        await to_asyncio(cancel_myself)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


async def test_many_at_once() -> None:
    results: list[int] = []

    async def echo(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def call(number: int) -> None:
        results.append(await to_asyncio(echo, number))

    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(call, number)
    assert sorted(results) == list(range(200))


def test_outside_the_runtime_it_says_so() -> None:
    async def main() -> None:
        await to_asyncio(asyncio.sleep, 0)

    with pytest.raises(RuntimeError, match=r"dorami_core\.runtime\.run"):
        trio.run(main)


def test_the_result_and_the_error_of_main() -> None:
    async def value() -> int:
        await trio.lowlevel.checkpoint()
        return 7

    async def error() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("main")

    assert run(value) == 7
    with pytest.raises(KeyError, match="main"):
        run(error)


def test_leftover_asyncio_tasks_are_ended_after_trio() -> None:
    order: list[str] = []

    async def background() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            order.append("asyncio task")

    async def start() -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(background())
        await asyncio.sleep(0)
        return task

    async def main() -> None:
        try:
            leftover = await to_asyncio(start)
            assert not leftover.done()
        finally:
            order.append("trio")

    run(main)
    assert order == ["trio", "asyncio task"]


def test_generators_are_closed() -> None:
    closed: list[str] = []

    async def count() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.append("generator")

    kept = count()

    async def main() -> None:
        await to_asyncio(kept.__anext__)

    run(main)
    assert closed == ["generator"]
