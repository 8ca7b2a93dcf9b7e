"""Rooms over real sockets: encoded once, joined into one send, in order."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from edge_harness import server_frame
from trio.testing import wait_all_tasks_blocked

from dorami_core.base.ids import ViewerId
from dorami_core.edge.counters import EdgeCounters
from dorami_core.edge.outbox import Outbox, OutboxLimits
from dorami_core.edge.room import Member
from dorami_core.edge.rooms import RoomIndex
from dorami_core.edge.wire import SOCKET_IO_TEXT, Chunk, Place, SocketIoText
from dorami_core.hooks.sockets import Delivery

pytestmark = pytest.mark.plain_trio


class CountingWire(SocketIoText):
    def __init__(self) -> None:
        self.encoded = 0

    def event(self, namespace: str, event: str, data: Any, place: Place | None = None) -> bytes:
        self.encoded += 1
        return super().event(namespace, event, data, place)


class CountingSocket:
    """A socket that counts its sends."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sends = 0

    def send(self, data: bytes) -> int:
        self.sends += 1
        return self.sock.send(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class Viewer:
    def __init__(self, member: Member, ours: CountingSocket, theirs: socket.socket) -> None:
        self.member = member
        self.ours = ours
        self.theirs = theirs
        self.buffer = bytearray()

    def heard(self) -> list[Any]:
        """Arguments of the events that arrived so far; raw text of other frames."""
        try:
            while data := self.theirs.recv(1_000_000):
                self.buffer += data
        except BlockingIOError:
            pass
        found: list[Any] = []
        while (frame := server_frame(self.buffer)) is not None:
            text = frame[1].decode()
            found.append(json.loads(text[text.index("[") :])[1] if "[" in text else text)
        return found


class Hall:
    """A RoomIndex with viewers."""

    def __init__(self) -> None:
        self.rooms = RoomIndex(0.05)
        self.wire = CountingWire()
        self.counters = EdgeCounters()
        self.sockets: list[socket.socket] = []
        self.nursery: trio.Nursery | None = None

    def open(self, nursery: trio.Nursery) -> Hall:
        self.rooms.bind(nursery)
        self.nursery = nursery
        return self

    async def viewer(
        self,
        *rooms: str,
        name: str = "g:1",
        namespace: str = "/",
        wire: SocketIoText | None = None,
        queue: int = 1_000_000,
    ) -> Viewer:
        assert self.nursery is not None
        ours, theirs = socket.socketpair()
        self.sockets += [ours, theirs]
        for sock in (ours, theirs):
            sock.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        counting = CountingSocket(ours)
        outbox = Outbox(counting, self.nursery, OutboxLimits(queue), self.counters)  # type: ignore[arg-type]
        member = Member(namespace, ViewerId(name), wire or self.wire, outbox)
        await self.rooms.enter(member)
        for room in rooms:
            await self.rooms.join(member, room)
        return Viewer(member, counting, theirs)


@pytest.fixture
def hall() -> Iterator[Hall]:
    found = Hall()
    yield found
    for sock in found.sockets:
        sock.close()


async def test_a_message_is_encoded_once_and_everybody_hears_it(hall: Hall) -> None:
    async with trio.open_nursery() as nursery:
        hall.open(nursery)
        inside = [await hall.viewer("live") for _ in range(300)]
        outside = await hall.viewer("other")
        hall.rooms.emit("/", "live", "say", 1)
    assert hall.wire.encoded == 1
    assert all(viewer.heard() == [1] for viewer in inside)
    assert outside.heard() == []
    statistics = hall.rooms.statistics()
    assert (statistics.encodes, statistics.deliveries, statistics.flushes) == (1, 300, 1)
    assert (statistics.rooms, statistics.members, statistics.sockets) == (2, 301, 301)


async def test_one_encoding_for_each_format(hall: Hall) -> None:
    async with trio.open_nursery() as nursery:
        hall.open(nursery)
        other = CountingWire()
        viewers = [
            await hall.viewer("live"),
            await hall.viewer("live", wire=other),
            await hall.viewer("live", wire=other),
        ]
        hall.rooms.emit("/", "live", "say", 1)
        late = await hall.viewer("live", wire=SOCKET_IO_TEXT)
        hall.rooms.emit("/", "live", "say", 2)
    assert [viewer.heard() for viewer in viewers] == [[1, 2]] * 3
    assert late.heard() == [2]
    assert (hall.wire.encoded, other.encoded) == (2, 2)


async def test_an_empty_room_costs_nothing(hall: Hall) -> None:
    async with trio.open_nursery() as nursery:
        hall.open(nursery)
        hall.rooms.emit("/", "nobody", "say", 1)
        hall.rooms.emit_to_all("/", "say", 1)
        hall.rooms.emit_to_viewer("/", ViewerId("g:9"), "say", 1)
    assert hall.rooms.statistics().encodes == 0


async def test_what_gathered_goes_out_in_one_send(hall: Hall) -> None:
    async with trio.open_nursery() as nursery:
        hall.open(nursery)
        viewers = [await hall.viewer("live") for _ in range(3)]
        for number in range(50):
            hall.rooms.emit("/", "live", "say", number)
    for viewer in viewers:
        assert viewer.ours.sends == 1
        assert viewer.heard() == list(range(50))
    assert hall.rooms.statistics().sends == 3


async def test_an_idle_room_sends_at_once(hall: Hall, mock_clock: trio.testing.MockClock) -> None:
    """The clock stands still, so anything that waited for time would never come."""
    async with trio.open_nursery() as nursery:
        viewer = await hall.open(nursery).viewer("live")
        for number in range(3):
            hall.rooms.emit("/", "live", "say", number)
            await trio.testing.wait_all_tasks_blocked()
            assert viewer.heard() == [number]


async def test_a_busy_room_gathers_and_no_longer_than_allowed(hall: Hall, mock_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        viewer = await hall.open(nursery).viewer("live")
        room = viewer.member.joined["live"]
        for number in range(20):
            room._cost_s = 0.02  # as if rounds took 20 ms
            hall.rooms.emit("/", "live", "say", number)
            await trio.testing.wait_all_tasks_blocked()
        early = viewer.heard()
        assert 0 < len(early) < 20
        assert early == list(range(len(early)))
        mock_clock.jump(0.05)
        await trio.testing.wait_all_tasks_blocked()
        assert viewer.heard() == list(range(len(early), 20))
        assert viewer.ours.sends <= len(early) + 1
        mock_clock.jump(60)
        hall.rooms.emit("/", "live", "say", "calm again")
        await trio.testing.wait_all_tasks_blocked()
        assert viewer.heard() == ["calm again"]


async def test_an_answer_does_not_overtake_the_room(hall: Hall) -> None:
    async with trio.open_nursery() as nursery:
        hall.open(nursery)
        speaker, listener = await hall.viewer("live", "side"), await hall.viewer("live", "side")
        hall.rooms.emit("/", "live", "say", 1)
        hall.rooms.emit("/", "side", "say", 2)
        hall.rooms.emit("/", "live", "say", 3)
        hall.rooms.emit_to_all("/", "say", 4)
        hall.rooms.direct(speaker.member, Chunk(hall.wire.event("/", "answer", "ack")))
        assert speaker.heard() == [1, 2, 3, 4, "ack"]
        assert speaker.ours.sends == 1
        assert listener.heard() == []
        hall.rooms.emit("/", "live", "say", 5)
    assert speaker.heard() == [5]
    assert sorted(listener.heard()) == [1, 2, 3, 4, 5]


async def test_an_answer_in_the_middle_of_a_round(hall: Hall) -> None:
    """A round yields after 500 sends, and this task has a turn within two of these: before the last one's."""
    async with trio.open_nursery() as nursery:
        hall.open(nursery)
        viewers = [await hall.viewer("live") for _ in range(1600)]
        last = viewers[-1]
        hall.rooms.emit("/", "live", "say", 1)
        while not viewers[0].ours.sends:
            await trio.lowlevel.checkpoint()
        assert last.ours.sends == 0
        hall.rooms.emit("/", "live", "say", 2)
        hall.rooms.direct(last.member, Chunk(hall.wire.event("/", "answer", "ack")))
    assert last.heard() == [1, 2, "ack"]
    assert all(viewer.heard() == [1, 2] for viewer in viewers[:-1])


async def test_who_leaves_hears_what_was_said_before_and_who_joins_what_comes_after(hall: Hall) -> None:
    async with trio.open_nursery() as nursery:
        hall.open(nursery)
        leaver, stayer, joiner = await hall.viewer("live"), await hall.viewer("live"), await hall.viewer()
        hall.rooms.emit("/", "live", "say", 1)
        hall.rooms.leave(leaver.member, "live")
        await hall.rooms.join(joiner.member, "live")
        hall.rooms.emit("/", "live", "say", 2)
        assert leaver.heard() == [1]
    assert stayer.heard() == [1, 2]
    assert joiner.heard() == [2]
    assert leaver.heard() == []


async def test_all_sockets_of_one_person(hall: Hall) -> None:
    async with trio.open_nursery() as nursery:
        hall.open(nursery)
        first, second = await hall.viewer(name="u:1"), await hall.viewer(name="u:1")
        chat, other = await hall.viewer(name="u:1", namespace="/chat"), await hall.viewer(name="u:2")
        hall.rooms.emit_to_viewer("/", ViewerId("u:1"), "cart:expired", 1)
    assert [viewer.heard() for viewer in (first, second, chat, other)] == [[1], [1], [], []]
    assert hall.rooms.statistics().encodes == 1


async def test_nothing_is_left_of_who_is_gone(hall: Hall) -> None:
    async with trio.open_nursery() as nursery:
        hall.open(nursery)
        viewers = [await hall.viewer("live", "side", name=f"u:{number}") for number in range(3)]
        hall.rooms.emit("/", "live", "say", 1)
        for viewer in viewers:
            hall.rooms.exit(viewer.member)
        assert list(viewers[0].member.joined) == ["live", "side"]
        hall.rooms.emit("/", "live", "say", 2)
    statistics = hall.rooms.statistics()
    assert (statistics.rooms, statistics.members, statistics.sockets, statistics.viewers) == (0, 0, 0, 0)
    assert not any(viewer.heard() for viewer in viewers)


async def test_a_stalled_socket_delays_nobody_and_is_cut(hall: Hall) -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            hall.open(nursery)
            stalled = await hall.viewer("live", queue=100_000)
            others = [await hall.viewer("live") for _ in range(3)]
            got: list[list[Any]] = [[] for _ in others]
            for number in range(200):
                hall.rooms.emit("/", "live", "say", [number, "x" * 2000])
                await trio.testing.wait_all_tasks_blocked()
                for viewer, heard in zip(others, got, strict=True):
                    heard += [item[0] for item in viewer.heard()]
                    assert heard[-1] == number
    assert stalled.member.outbox.lost == "queue_full"
    assert all(heard == list(range(200)) for heard in got)


async def test_delivery_decides_for_a_stalled_socket(hall: Hall) -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            hall.open(nursery)
            viewer = await hall.viewer("live", queue=100_000)
            hall.rooms.emit("/", "live", "fill", ["fill", "x" * 60_000])
            await trio.testing.wait_all_tasks_blocked()
            for number in range(200):
                hall.rooms.emit("/", "live", "count", ["count", number], delivery=Delivery.LATEST)
                text = ["chat", number, "x" * 1000]
                hall.rooms.emit("/", "live", "chat", text, delivery=Delivery.DROPPABLE)
                await trio.testing.wait_all_tasks_blocked()
            hall.rooms.emit("/", "live", "sold", ["sold"])
            await trio.testing.wait_all_tasks_blocked()
            assert viewer.member.outbox.lost is None
            heard: list[Any] = []
            while not heard or heard[-1][0] != "sold":
                heard += viewer.heard()
                await trio.testing.wait_all_tasks_blocked()
    counts = [item[1] for item in heard if item[0] == "count"]
    chats = [item[1] for item in heard if item[0] == "chat"]
    assert counts == [199]
    assert 1 < len(chats) < 100
    assert chats == list(range(200 - len(chats), 200))
    assert heard[0][0] == "fill"


async def test_what_comes_while_something_waits_comes_after_it(hall: Hall) -> None:
    """Also where the room has known for a while what everybody offers, and the socket has room again."""
    async with trio.open_nursery() as nursery:
        hall.open(nursery)
        viewers = [await hall.viewer("live", name=f"g:{number}") for number in range(3)]
        heard: list[list[Any]] = [[], [], []]

        def read() -> None:
            for viewer, items in zip(viewers, heard, strict=True):
                items += ["long" if isinstance(item, str) else item for item in viewer.heard()]

        for number in range(0, 100, 2):
            for _ in range(3):  # the second one finds nothing changed since the first
                hall.rooms.emit("/", "live", "say", number)
                await wait_all_tasks_blocked()
                read()
            viewers[1].member.outbox.send_one(Chunk(hall.wire.event("/", "long", "x" * 100_000)))
            read()
            hall.rooms.emit("/", "live", "say", number + 1)
            for _ in range(20):
                read()
                await wait_all_tasks_blocked()
        said = [[number] * 3 + ["long", number + 1] for number in range(0, 100, 2)]
        assert heard[1] == [item for items in said for item in items]
        assert heard[0] == heard[2] == [item for item in heard[1] if item != "long"]
        nursery.cancel_scope.cancel()
