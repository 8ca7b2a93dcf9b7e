"""People, not sockets; one push a second. Here no ledger answers, so this process counts for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import Principal
from dorami_core.hooks.sockets import Delivery
from dorami_core.presence.ledger import Change, LedgerState
from dorami_core.presence.viewers import SharedViewers
from dorami_core.testing.clock import ManualClock
from dorami_core.testing.sockets import RecordedConnection, RecordedRooms, guest_principal, user_principal

pytestmark = pytest.mark.plain_trio
KEY = "live-one"


class Unreachable:
    async def sync(self, changes: Sequence[Change]) -> LedgerState:
        await trio.lowlevel.checkpoint()
        raise DoramiError("UNAVAILABLE", service="redis")


class Desk:
    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.rooms = RecordedRooms()
        self.reported: list[tuple[str, int]] = []
        self.viewers = SharedViewers(
            self.rooms,
            clock,
            Unreachable(),
            lease_s=15,
            on_count=lambda key, count: self.reported.append((key, count)),
        )

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
    counts = []
    for change, conn in ((desk.viewers.join, one), (desk.viewers.join, two), (desk.viewers.leave, one)):
        change(conn, KEY)
        counts.append(desk.viewers.count(KEY))
    assert counts == [1, 1, 1]
    desk.viewers.leave(two, KEY)
    assert desk.viewers.count(KEY) == 0


async def test_both_namespaces_count_one_person_once(desk: Desk) -> None:
    person = user_principal("dorami")
    root, streaming = desk.conn(person), desk.conn(person, "/streaming")
    desk.viewers.join(streaming, KEY)
    desk.viewers.join(root, KEY)
    assert desk.viewers.count(KEY) == 1
    await desk.second()
    desk.viewers.leave(root, KEY)
    assert desk.viewers.count(KEY) == 1
    await desk.second()
    assert len(desk.rooms.of("user:joined")) == 1
    assert desk.rooms.of("user:left") == [], "still there in the other namespace"


async def test_guests_are_told_apart_by_their_id(desk: Desk) -> None:
    for name in ("a", "b", "a"):
        desk.viewers.join(desk.conn(guest_principal(name)), KEY)
    desk.viewers.join(desk.conn(user_principal()), KEY)
    assert desk.viewers.count(KEY) == 3


async def test_joining_and_leaving_twice_does_no_harm(desk: Desk) -> None:
    conn = desk.conn(user_principal())
    desk.viewers.join(conn, KEY)
    desk.viewers.join(conn, KEY)
    assert desk.viewers.count(KEY) == 1
    desk.viewers.leave(conn, KEY)
    desk.viewers.leave(conn, KEY)
    await desk.second()
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
    said = [said for said in desk.rooms.said if said.event == "stream:viewer:update"]
    assert {(one.namespace, one.room, one.delivery) for one in said} == {("/streaming", KEY, Delivery.LATEST)}


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
    assert [report for report in desk.reported if report[1] > 0] == [(KEY, 1), (KEY, 5)]
    assert desk.pushes() == [1]


async def test_names_are_told_of_people_who_signed_in_once_each(desk: Desk) -> None:
    person = user_principal("dorami")
    assert person.user is not None
    name = {"userId": str(person.user.id), "displayName": "dorami"}
    tabs = [desk.conn(person) for _ in range(2)]
    for conn in (*tabs, desk.conn(guest_principal("guest"))):
        desk.viewers.join(conn, KEY)
    await desk.second()
    assert desk.rooms.of("user:joined") == [name]
    for conn in tabs:
        desk.viewers.leave(conn, KEY)
        await desk.second()
    assert desk.rooms.of("user:left") == [name]
    assert {(said.namespace, said.delivery) for said in desk.rooms.said if said.event.startswith("user:")} == {
        ("/", Delivery.DROPPABLE)
    }


async def test_above_two_hundred_nobody_is_named(desk: Desk) -> None:
    for number in range(199):
        desk.viewers.join(desk.conn(guest_principal(str(number))), KEY)
    people = [desk.conn(user_principal()) for _ in range(2)]
    for conn in people:
        desk.viewers.join(conn, KEY)
        await desk.second()
    assert len(desk.rooms.of("user:joined")) == 1
    desk.viewers.leave(people[0], KEY)
    await desk.second()
    assert len(desk.rooms.of("user:left")) == 1, "there are 200 again"


async def test_who_comes_and_goes_within_a_second_is_not_named(desk: Desk) -> None:
    desk.viewers.join(desk.conn(guest_principal()), KEY)
    await wait_all_tasks_blocked()
    conn = desk.conn(user_principal())
    desk.viewers.join(conn, KEY)
    desk.viewers.leave(conn, KEY)
    await desk.second()
    assert [said.event for said in desk.rooms.said] == ["stream:viewer:update"]


async def test_nothing_stays_of_a_stream_that_nobody_watches(desk: Desk) -> None:
    for number in range(20):
        conn = desk.conn(user_principal(), "/streaming")
        desk.viewers.join(conn, f"live-{number}")
        await desk.second()
        desk.viewers.leave(conn, f"live-{number}")
        await desk.second()
    await desk.second()
    statistics = desk.viewers.statistics()
    assert (statistics.streams, statistics.viewers, statistics.sockets, statistics.elsewhere) == (0, 0, 0, 0)
    assert statistics.alone
