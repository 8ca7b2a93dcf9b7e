"""One task for everybody's times; the clock is the test's."""

from __future__ import annotations

import pytest
import trio

from dorami_core.edge.wheel import TimerWheel

pytestmark = pytest.mark.plain_trio


class Alarm:
    def __init__(self, again: list[float]) -> None:
        self.again = again
        self.rang: list[float] = []

    def on_time(self, now: float) -> float | None:
        self.rang.append(now)
        return self.again.pop(0) if self.again else None


async def test_never_early_and_at_most_a_tick_late(autojump_clock: trio.testing.MockClock) -> None:
    wheel = TimerWheel(0.5)
    start = trio.current_time()
    alarms = {at: Alarm([]) for at in (0.1, 0.5, 0.7, 3.2)}
    for at, alarm in alarms.items():
        wheel.enter(alarm, start + at)
    with trio.move_on_after(10):
        await wheel.run()
    for at, alarm in alarms.items():
        assert len(alarm.rang) == 1
        assert at <= alarm.rang[0] - start <= at + 0.51


async def test_coming_back_and_entering_late(autojump_clock: trio.testing.MockClock) -> None:
    wheel = TimerWheel(0.5)
    start = trio.current_time()
    alarm, past = Alarm([start + 2, start]), Alarm([])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wheel.run)
        wheel.enter(alarm, start + 1)
        await trio.sleep(5)
        wheel.enter(past, start)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert [round(rang - start, 1) for rang in alarm.rang] == [1.0, 2.0, 2.5]
    assert len(past.rang) == 1


async def test_many_at_once_let_others_run() -> None:
    wheel = TimerWheel(0.01)
    alarms = [Alarm([]) for _ in range(1000)]
    at = trio.current_time()
    for alarm in alarms:
        wheel.enter(alarm, at)
    seen = set()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wheel.run)
            while len(alarms[-1].rang) == 0:
                await trio.lowlevel.checkpoint()
                seen.add(sum(len(alarm.rang) for alarm in alarms))
            nursery.cancel_scope.cancel()
    assert len(seen.intersection({200, 400, 600, 800})) >= 2
