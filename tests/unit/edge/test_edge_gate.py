"""What is said in a busy room is decided together, right before the room's round."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from edge_harness import running_edge

from dorami_core.base.principal import Access
from dorami_core.edge.gate import EARLY_S, HEARD_S, LATE_S, Gate
from dorami_core.edge.sockets import SocketRegistry
from dorami_core.hooks.sockets import EventHandler, SocketConnection

HOURS_S = 10_000.0


class Entrance:
    """A gate and who went through it; each works until it is told to go."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.gate = Gate()
        self.nursery = nursery
        self.inside: list[str] = []
        self.may_go = trio.Event()

    def come(self, name: str, pause_s: float) -> None:
        async def work() -> None:
            self.inside.append(name)
            await self.may_go.wait()

        self.gate.hold(pause_s, work, self.nursery)


@pytest.fixture
async def entrance(mock_clock: trio.testing.MockClock) -> AsyncIterator[Entrance]:
    async with trio.open_nursery() as nursery:
        yield Entrance(nursery)
        nursery.cancel_scope.cancel()


async def test_who_comes_between_two_rounds_is_let_in_with_the_others(
    entrance: Entrance, mock_clock: trio.testing.MockClock
) -> None:
    entrance.come("first", 0.05)
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(0.02)
    entrance.come("second", 0.03)
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(0.0299 - EARLY_S)
    await trio.testing.wait_all_tasks_blocked()
    assert entrance.inside == []
    mock_clock.jump(0.0002)
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(entrance.inside) == ["first", "second"]
    entrance.come("late", EARLY_S / 2)
    await trio.testing.wait_all_tasks_blocked()
    assert entrance.inside[2:] == ["late"], "it is open until the round"


@pytest.mark.parametrize("is_done", [True, False])
async def test_the_round_waits_for_who_was_let_in_and_not_for_long(
    entrance: Entrance, mock_clock: trio.testing.MockClock, is_done: bool
) -> None:
    begun = False

    async def play() -> None:
        nonlocal begun
        await entrance.gate.wait_quiet()
        begun = True

    entrance.come("one", 0.0)
    entrance.nursery.start_soon(play)
    await trio.testing.wait_all_tasks_blocked()
    assert not begun
    if is_done:
        entrance.may_go.set()
        await trio.testing.wait_all_tasks_blocked()
        assert not begun, "what was decided has still to be heard"
        mock_clock.jump(HEARD_S)
    else:
        mock_clock.jump(LATE_S)
    await trio.testing.wait_all_tasks_blocked()
    assert begun


async def test_a_round_waits_for_nobody_where_nobody_is_inside(entrance: Entrance) -> None:
    await entrance.gate.wait_quiet()  # with a clock that stands still


class Scene:
    """An edge with a room, and in it what is said (`say`, which gathers) and asked (`ask`)."""

    def __init__(self) -> None:
        self.sockets = SocketRegistry(("/",))
        self.heard: list[str] = []
        self.sockets.on("/", "join", self._join, payload=None, access=Access.PUBLIC)
        for name in ("say", "ask"):
            self.sockets.on("/", name, self._note(name), payload=None, access=Access.PUBLIC, gathers=name == "say")

    async def _join(self, conn: SocketConnection, _: list[Any]) -> list[Any]:
        await conn.join("live")
        return [True]

    def _note(self, name: str) -> EventHandler:
        async def handler(conn: SocketConnection, _: list[Any]) -> list[Any]:
            self.heard.append(name)
            return [True]

        return handler


async def test_in_a_calm_room_what_is_said_is_taken_up_at_once(tmp_path: Path) -> None:
    scene = Scene()
    async with running_edge(tmp_path, scene.sockets, gather_max_s=HOURS_S) as edge:
        talker = await edge.viewer()
        await talker.call("join")
        await talker.call("say")
        assert scene.heard == ["say"]


async def test_in_a_busy_room_what_is_said_waits_for_the_round_and_what_is_asked_does_not(tmp_path: Path) -> None:
    scene = Scene()
    async with running_edge(tmp_path, scene.sockets, gather_max_s=HOURS_S) as edge:
        talker, asker = await edge.viewer(), await edge.viewer()
        for viewer in (talker, asker):
            await viewer.call("join")
        room = edge.rooms._spaces["/"].rooms["live"]
        room._cost_s = room._busy = HOURS_S  # as if a round took so long
        room._flushed_at = trio.current_time()
        await talker.send('421["say"]')
        with trio.fail_after(60):
            while not room.gate._held:
                await trio.lowlevel.checkpoint()
        await asker.call("ask")
        assert scene.heard == ["ask"]
        await talker.send('422["ask"]')
        await asker.call("ask")
        assert scene.heard == ["ask", "ask"], "who has said something is heard in his own order"
