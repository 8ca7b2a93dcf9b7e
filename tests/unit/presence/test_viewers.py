"""People, not sockets; one push a second."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import Principal
from dorami_core.hooks.sockets import Delivery
from dorami_core.presence.viewers import LocalViewers
from dorami_core.testing.clock import ManualClock
from dorami_core.testing.sockets import RecordedConnection, RecordedRooms, guest_principal, user_principal

pytestmark = pytest.mark.plain_trio
KEY = "live-one"


class Desk:
    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.rooms = RecordedRooms()
        self.reported: list[tuple[str, int]] = []
        self.viewers = LocalViewers(self.rooms, clock, lambda key, count: self.reported.append((key, count)))

    def conn(self, principal: Principal, namespace: str = "/") -> RecordedConnection:
        return RecordedConnection(self.rooms, namespace, principal)

    def pushes(self) -> list[int]:
        return [data["viewerCount"] for data in self.rooms.of("stream:viewer:update")]

    async def second(self) -> None:
        self.clock.advance(1)
        await wait_all_tasks_blocked()


@pytest.fixture
async def desk(manual_clock: ManualClock) -> AsyncIterator[Desk]:
    made = Desk(manual_clock)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.viewers.run)
        yield made
        nursery.cancel_scope.cancel()


async def test_two_tabs_are_one_and_closing_one_keeps_the_other(desk: Desk) -> None:
    person = user_principal()
    one, two = desk.conn(person), desk.conn(person)
    assert desk.viewers.join(one, KEY)
    assert not desk.viewers.join(two, KEY)
    assert desk.viewers.count(KEY) == 1
    assert not desk.viewers.leave(one, KEY)
    assert desk.viewers.count(KEY) == 1
    assert desk.viewers.leave(two, KEY)
    assert desk.viewers.count(KEY) == 0


async def test_both_namespaces_count_one_person_once(desk: Desk) -> None:
    person = user_principal()
    root, streaming = desk.conn(person), desk.conn(person, "/streaming")
    assert desk.viewers.join(streaming, KEY)
    assert desk.viewers.join(root, KEY), "the first in its own namespace"
    assert desk.viewers.count(KEY) == 1
    assert desk.viewers.leave(root, KEY)
    assert desk.viewers.count(KEY) == 1


async def test_guests_are_told_apart_by_their_id(desk: Desk) -> None:
    for name in ("a", "b", "a"):
        desk.viewers.join(desk.conn(guest_principal(name)), KEY)
    desk.viewers.join(desk.conn(user_principal()), KEY)
    assert desk.viewers.count(KEY) == 3


async def test_joining_and_leaving_twice_does_no_harm(desk: Desk) -> None:
    conn = desk.conn(user_principal())
    desk.viewers.join(conn, KEY)
    assert not desk.viewers.join(conn, KEY)
    desk.viewers.leave(conn, KEY)
    assert not desk.viewers.leave(conn, KEY)
    assert desk.viewers.statistics().sockets == 0
    assert desk.viewers.statistics().streams == 0


async def test_a_socket_joins_so_many_streams_and_no_more(desk: Desk) -> None:
    conn = desk.conn(user_principal())
    for number in range(32):
        desk.viewers.join(conn, f"live-{number}")
    desk.viewers.join(conn, "live-0")
    with pytest.raises(DoramiError, match="CONFLICT"):
        desk.viewers.join(conn, "live-32")
    assert desk.viewers.count("live-32") == 0


async def test_at_most_one_push_a_second_and_the_last_number_is_right(desk: Desk) -> None:
    conns = [desk.conn(user_principal()) for _ in range(50)]
    desk.viewers.join(conns[0], KEY)
    await wait_all_tasks_blocked()
    assert desk.pushes() == [1], "the first is told at once"
    for conn in conns[1:]:
        desk.viewers.join(conn, KEY)
        await wait_all_tasks_blocked()
    assert desk.pushes() == [1]
    await desk.second()
    assert desk.pushes() == [1, 50]
    for conn in conns:
        desk.viewers.leave(conn, KEY)
    await desk.second()
    assert desk.pushes() == [1, 50, 0]
    assert desk.rooms.said[0].namespace == "/streaming"
    assert desk.rooms.said[0].delivery is Delivery.LATEST


async def test_nothing_is_pushed_where_nothing_changed(desk: Desk) -> None:
    conn, other = desk.conn(user_principal()), desk.conn(user_principal())
    desk.viewers.join(conn, KEY)
    await desk.second()
    desk.viewers.join(other, KEY)
    desk.viewers.leave(other, KEY)
    await desk.second()
    await desk.second()
    assert desk.pushes() == [1]


async def test_a_second_tab_in_streaming_gets_the_number_too(desk: Desk) -> None:
    person = user_principal()
    for _ in range(2):
        desk.viewers.join(desk.conn(person, "/streaming"), KEY)
        await desk.second()
    assert desk.pushes() == [1, 1]


async def test_the_peak_between_two_pushes_is_reported(desk: Desk) -> None:
    stay = desk.conn(user_principal())
    desk.viewers.join(stay, KEY)
    await desk.second()
    short = [desk.conn(user_principal()) for _ in range(4)]
    for conn in short:
        desk.viewers.join(conn, KEY)
    for conn in short:
        desk.viewers.leave(conn, KEY)
    await desk.second()
    assert desk.reported == [(KEY, 1), (KEY, 5)]
    assert desk.pushes() == [1]
