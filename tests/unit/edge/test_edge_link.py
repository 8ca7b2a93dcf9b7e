"""Rooms over several processes: one order for all, nothing lost or said twice when Redis goes and comes."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trio
from edge_harness import server_frame

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import ViewerId
from dorami_core.edge.counters import EdgeCounters
from dorami_core.edge.link import RedisLink
from dorami_core.edge.outbox import Outbox, OutboxLimits
from dorami_core.edge.room import Member
from dorami_core.edge.rooms import RoomIndex
from dorami_core.edge.wire import SOCKET_IO_TEXT
from dorami_core.hooks.sockets import Delivery, RoomPosition
from dorami_core.store.embedded import start_redis
from dorami_core.store.redis import RedisStore, open_redis
from dorami_core.testing.waiting import becomes


class Listener:
    """A member and the other end of its socket."""

    def __init__(self, process: Process, namespace: str, viewer: str) -> None:
        ours, self.theirs = socket.socketpair()
        for sock in (ours, self.theirs):
            sock.setblocking(False)
        process.sockets += [ours, self.theirs]
        outbox = Outbox(ours, process.nursery, OutboxLimits(1_000_000), EdgeCounters())
        self.member = Member(namespace, ViewerId(viewer), SOCKET_IO_TEXT, outbox)
        self.offset = ""
        self._buffer = bytearray()
        self._heard: list[Any] = []

    def heard(self) -> list[Any]:
        """The data of every event so far; `offset` is that of the last one."""
        try:
            while data := self.theirs.recv(1_000_000):
                self._buffer += data
        except BlockingIOError:
            pass
        while (frame := server_frame(self._buffer)) is not None:
            _, data, *rest = json.loads(frame[1][frame[1].index(b"[") :])
            self._heard.append(data)
            self.offset = rest[0] if rest else self.offset
        return self._heard


class Process:
    """What of an edge process concerns rooms."""

    def __init__(self, nursery: trio.Nursery, redis: RedisStore, namespace: str) -> None:
        self.nursery = nursery
        self.namespace = namespace
        self.link = RedisLink(redis)
        self.rooms = RoomIndex(0.05, self.link)
        self.rooms.bind(nursery)
        self.sockets: list[socket.socket] = []

    def say(self, data: Any, room: str = "live", delivery: Delivery = Delivery.REQUIRED) -> None:
        self.rooms.emit(self.namespace, room, "say", data, delivery=delivery)

    def listener(self, viewer: str = "g:1") -> Listener:
        return Listener(self, self.namespace, viewer)

    async def listen(self, *rooms: str, viewer: str = "g:1") -> Listener:
        listener = self.listener(viewer)
        await self.rooms.enter(listener.member)
        for room in rooms:
            await self.rooms.join(listener.member, room)
        return listener


@pytest.fixture
def namespace() -> str:
    """Channels are the server's, so each test has its own."""
    return f"/{uuid4().hex[:8]}"


@asynccontextmanager
async def processes(url: str, namespace: str, count: int) -> AsyncIterator[list[Process]]:
    async with open_redis(url) as redis, trio.open_nursery() as nursery:
        found = [Process(nursery, redis, namespace) for _ in range(count)]
        for process in found:
            await nursery.start(process.link.run, process.rooms)
        try:
            yield found
        finally:
            for process in found:
                for sock in process.sockets:
                    sock.close()
            nursery.cancel_scope.cancel()


async def test_all_processes_hear_one_order_with_the_same_numbers(redis_url: str, namespace: str) -> None:
    async with processes(redis_url, namespace, 3) as (one, two, web):
        listeners = [await one.listen("live"), await one.listen("live"), await two.listen("live")]
        for number in range(100):
            for name, process in (("one", one), ("two", two), ("web", web)):
                process.say([name, number])
        await becomes(lambda: all(len(listener.heard()) == 300 for listener in listeners))
        first = listeners[0].heard()
        assert all(listener.heard() == first for listener in listeners)
        assert len({listener.offset for listener in listeners}) == 1
        for name in ("one", "two", "web"):
            assert [number for who, number in first if who == name] == list(range(100))
        assert web.link.statistics().heard == 0, "no room, no subscription"


async def test_everybody_and_one_person_in_every_process(redis_url: str, namespace: str) -> None:
    async with processes(redis_url, namespace, 2) as (one, two):
        mine, same, other = await one.listen(viewer="u:1"), await two.listen(viewer="u:1"), await two.listen()
        one.rooms.emit_to_viewer(namespace, ViewerId("u:1"), "cart:expired", "personal")
        one.rooms.emit_to_all(namespace, "upcoming:updated", "all")
        await becomes(lambda: other.heard() and mine.heard()[1:] and same.heard()[1:])
        assert mine.heard() == same.heard() == ["personal", "all"]
        assert other.heard() == ["all"]


async def test_a_person_is_cut_in_every_process(redis_url: str, namespace: str) -> None:
    async with processes(redis_url, namespace, 2) as (one, two):
        banned, other = await two.listen("live", viewer="u:1"), await two.listen("live", viewer="u:2")
        one.rooms.cut_viewer(ViewerId("u:1"), "banned")
        await becomes(lambda: banned.member.outbox.lost)
        assert (banned.member.outbox.lost, other.member.outbox.lost) == ("banned", None)


async def test_who_joins_hears_what_comes_after_his_place(redis_url: str, namespace: str) -> None:
    async with processes(redis_url, namespace, 2) as (one, two):
        early = await one.listen("live")
        for number in range(10):
            one.say(number)
        await becomes(lambda: len(early.heard()) == 10)
        late, later = two.listener(), two.listener("g:2")
        await two.rooms.enter(late.member)
        position = await two.rooms.join(late.member, "live")
        assert position.seq == 10
        await two.rooms.enter(later.member)
        await two.rooms.join(later.member, "live", RoomPosition(position.epoch, 7))
        one.say("new")
        await becomes(lambda: late.heard() and len(later.heard()) == 4)
        assert late.heard() == ["new"]
        assert later.heard() == [7, 8, 9, "new"]
        for place in (RoomPosition(position.epoch, 99), RoomPosition("other", 3)):
            with pytest.raises(DoramiError):
                await two.rooms.join(two.listener("g:3").member, "live", place)


async def test_who_comes_back_to_another_process_is_told_what_he_missed(redis_url: str, namespace: str) -> None:
    async with processes(redis_url, namespace, 2) as (one, two):
        person = await one.listen("live", "side", viewer="u:1")
        stays = await one.listen("live", "side", viewer="u:2")
        one.say("heard")
        await becomes(person.heard)
        one.rooms.exit(person.member)
        one.say("live 1")
        two.say("side 1", "side")
        one.say("elsewhere", "other")
        one.rooms.emit_to_viewer(namespace, ViewerId("u:1"), "say", "personal")
        one.rooms.emit_to_viewer(namespace, ViewerId("u:2"), "say", "not his")
        one.rooms.emit_to_all(namespace, "say", "all")
        one.say(1, "live", Delivery.LATEST)
        two.say("live 2")
        await becomes(lambda: "live 2" in stays.heard())
        returned = []
        for process in (one, two):
            again = process.listener("u:1")
            missed = await process.rooms.rejoin(again.member, ["live", "side"], person.offset)
            assert missed is not None
            process.rooms.tell(again.member, missed)
            assert sorted(again.heard()) == ["all", "live 1", "live 2", "personal", "side 1"]
            returned.append(again)
        one.say("new")
        await becomes(lambda: all(again.heard()[5:] == ["new"] for again in returned))
        assert returned[0].heard() == returned[1].heard()
        for offset in ("", "nonsense", "other.3", person.offset.partition(".")[0] + ".x"):
            assert await two.rooms.rejoin(two.listener().member, ["live"], offset) is None


async def test_what_a_lost_connection_missed_is_told_and_nothing_twice(redis_url: str, namespace: str) -> None:
    async with processes(redis_url, namespace, 2) as (one, two), open_redis(redis_url) as admin:
        here, there = await one.listen("live"), await two.listen("live")
        expected = []
        for round_ in range(5):
            losses = one.link.statistics().losses
            await admin.execute("CLIENT", "KILL", "TYPE", "pubsub")
            for number in range(20):
                two.say([round_, number])
                expected.append([round_, number])
            await becomes(lambda: one.link.statistics().losses > losses)  # noqa: B023
            await becomes(lambda: one.link.is_up and two.link.is_up)
            await one.link.catch_up()
        # what two said while its own connection was gone only it was told; of the rest nothing is missing
        await becomes(lambda: len(there.heard()) == 100)
        assert there.heard() == expected
        mine = here.heard()
        assert mine == [item for item in expected if item in mine]
        assert len(mine) + two.link.statistics().alone >= 100


async def test_what_is_said_while_the_connection_is_gone_is_counted(tmp_path: Path, namespace: str) -> None:
    async with processes(f"unix://{tmp_path}/none.sock", namespace, 1) as (one,):
        listener = await one.listen("live")
        one.say("alone")
        await becomes(lambda: listener.heard() == ["alone"])
        statistics = one.link.statistics()
        assert (statistics.is_up, statistics.said, statistics.alone) == (False, 0, 1)


@pytest.mark.parametrize("is_heard_first", [False, True])
async def test_what_redis_took_without_an_answer_is_told_once(
    redis_url: str, namespace: str, is_heard_first: bool
) -> None:
    """It may be heard before the connection is lost; and the connection that comes then may be lost too, before the
    rooms are open."""
    async with processes(redis_url, namespace, 1) as (one,):
        listener = await one.listen("live")
        say, reopen, attempts = one.link._say, one.rooms.reopen, 0

        async def lose_the_answer(keys: Sequence[Any], arguments: Sequence[Any]) -> None:
            one.link._say = say
            if is_heard_first:
                await say(keys, arguments)
                await one.link.catch_up()
            else:
                await one.link.close(namespace, "live")
                await say(keys, arguments)
            raise DoramiError("UNAVAILABLE")

        async def fail_once() -> None:
            nonlocal attempts
            attempts += 1
            if attempts == 1:
                raise DoramiError("UNAVAILABLE")
            await reopen()

        one.link._say = lose_the_answer
        one.rooms.reopen = fail_once  # type: ignore[method-assign]
        one.say("once")
        await becomes(lambda: attempts == 2 and one.link.is_up)
        one.say("next")
        await becomes(lambda: listener.heard()[-1:] == ["next"])
        assert listener.heard() == ["once", "next"]


async def test_a_refused_script_is_said_here_once(redis_url: str, namespace: str) -> None:
    """A replica takes no writes, but subscriptions live on."""
    async with processes(redis_url, namespace, 1) as (one,), open_redis(redis_url) as admin:
        listener = await one.listen("live")
        one.say("before")
        await becomes(listener.heard)
        await admin.execute("REPLICAOF", "127.0.0.1", "1")
        try:
            one.say("meanwhile")
            await becomes(lambda: listener.heard()[1:])
        finally:
            await admin.execute("REPLICAOF", "NO", "ONE")
        await becomes(lambda: one.link.is_up)
        one.say("after")
        await becomes(lambda: listener.heard()[2:])
        assert listener.heard() == ["before", "meanwhile", "after"]


@pytest.fixture
def folder() -> Iterator[Path]:
    found = Path(tempfile.mkdtemp(prefix="dr-", dir="/tmp"))
    yield found
    shutil.rmtree(found)


async def test_redis_is_killed_and_comes_back(folder: Path, namespace: str) -> None:
    server = start_redis(folder)
    url = server.url
    async with processes(url, namespace, 2) as (one, two):
        here, there = await one.listen("live"), await two.listen("live")
        one.say("before")
        await becomes(lambda: here.heard() and there.heard())
        before = here.offset
        server.process.kill()
        server.stop()
        await becomes(lambda: not one.link.is_up and not two.link.is_up)
        one.say("alone")
        await becomes(lambda: "alone" in here.heard())
        late = await one.listen("live", viewer="g:9")
        one.say("alone too")
        await becomes(late.heard)
        with pytest.raises(DoramiError):
            await one.link.ping()
        server = start_redis(folder)
        try:
            await becomes(lambda: one.link.is_up and two.link.is_up)
            two.say("after")
            await becomes(lambda: "after" in late.heard())
            assert late.heard() == ["alone too", "after"]
            assert "after" in here.heard()
            assert await one.rooms.rejoin(one.listener().member, ["live"], before) is None, "an epoch of its own"
        finally:
            server.stop()


async def test_the_log_is_bounded_by_count_and_a_late_return_is_refused(redis_url: str, namespace: str) -> None:
    async with processes(redis_url, namespace, 1) as (one,), open_redis(redis_url) as admin:
        listener = await one.listen("live")
        one.say("first")
        await becomes(listener.heard)
        offset = listener.offset
        one.rooms.exit(listener.member)
        witness = await one.listen("live", viewer="g:2")
        for number in range(10_050):
            one.say(number)
            if not number % 500:
                await becomes(lambda number=number: number in witness.heard())
        await becomes(lambda: 10_049 in witness.heard())
        assert await admin.execute("XLEN", f"rooms:{{{namespace}}}:log") == 10_000
        assert one.rooms.statistics().kept == 10_000
        assert await one.rooms.rejoin(one.listener().member, ["live"], offset) is None


async def test_volatile_events_have_no_place(redis_url: str, namespace: str) -> None:
    async with processes(redis_url, namespace, 2) as (one, two):
        listener = await two.listen("live")
        one.say(7, delivery=Delivery.LATEST)
        await becomes(listener.heard)
        assert (listener.heard(), listener.offset) == ([7], "")
        assert two.rooms.statistics().kept == 0


async def test_empty_rooms_are_given_up(redis_url: str, namespace: str) -> None:
    async with processes(redis_url, namespace, 1) as (one,):
        listener = await one.listen("live")
        one.rooms.exit(listener.member)
        await one.rooms.sweep()
        assert one.rooms._spaces[namespace].rooms.keys() == {"*", "live"}, "somebody may be on his way in"
        await one.rooms.sweep(trio.current_time() + 11)
        one.say("nobody hears")
        await one.link.catch_up()
        assert one.link.statistics().heard == 0
        again = await one.listen("live")
        position = await one.rooms.join(again.member, "live")
        assert position.seq == 1, "said meanwhile, and counted"


async def test_an_emptied_redis_begins_another_epoch_and_nothing_is_lost(redis_url: str, namespace: str) -> None:
    async with processes(redis_url, namespace, 2) as (one, two), open_redis(redis_url) as admin:
        listener = await two.listen("live")
        for number in range(5):
            one.say(number)
        await becomes(lambda: len(listener.heard()) == 5)
        before = listener.offset
        await admin.execute("FLUSHALL")
        for number in range(5, 8):
            one.say(number)
        await becomes(lambda: len(listener.heard()) == 8)
        assert listener.heard() == list(range(8))
        assert await two.rooms.rejoin(two.listener().member, ["live"], before) is None
        assert await two.rooms.rejoin(two.listener().member, ["live"], listener.offset) is None, "not everywhere yet"
        two.rooms.emit_to_all(namespace, "say", "all")
        await becomes(lambda: "all" in listener.heard())
        assert await two.rooms.rejoin(two.listener().member, ["live"], listener.offset) == []
