from __future__ import annotations

import pytest
import trio
import trio.testing

from dorami_core.base.both import both


async def test_they_run_beside_each_other() -> None:
    heard = trio.Event()

    async def ask() -> int:
        await heard.wait()
        return 1

    async def answer() -> str:
        heard.set()
        return "two"

    assert await both(ask, answer) == (1, "two")
    heard = trio.Event()
    assert await both(answer, ask) == ("two", 1)


@pytest.mark.parametrize("number", [0, 1])
async def test_an_error_ends_the_other_and_comes_alone(number: int) -> None:
    ended: list[str] = []

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise LookupError("none")

    async def wait() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("wait")

    with pytest.raises(LookupError, match="none"):
        await (both(fail, wait) if number == 0 else both(wait, fail))
    assert ended == ["wait"]


async def test_a_cancellation_ends_both() -> None:
    ended: list[int] = []

    async def wait() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(both, wait, wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert ended == [1, 1]
