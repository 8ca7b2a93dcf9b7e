"""Presence of several processes on one real Redis."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from dorami_core.base.clock import SystemClock
from dorami_core.base.principal import Principal
from dorami_core.hooks.sockets import SocketConnection
from dorami_core.presence.ledger import RedisLedger
from dorami_core.presence.viewers import SharedViewers
from dorami_core.store.embedded import embedded_redis
from dorami_core.store.redis import RedisStore, open_redis
from dorami_core.testing.sockets import RecordedConnection, RecordedRooms, guest_principal, user_principal
from dorami_core.testing.waiting import becomes

KEY = "live-one"
PUSH_S = 0.05
LEASE_S = 0.6


class Process:
    """What one process has of presence; all share `rooms`, as they do over Redis."""

    def __init__(self, redis: RedisStore, rooms: RecordedRooms, *, lease_s: float = LEASE_S, push_s: float = PUSH_S):
        self.rooms = rooms
        self.highest: dict[str, int] = {}
        ledger = RedisLedger(redis, lease_s=lease_s, push_interval_s=push_s)
        self.viewers = SharedViewers(
            rooms, SystemClock(), ledger, lease_s=lease_s, push_interval_s=push_s, on_count=self._report
        )
        self.scope = trio.CancelScope()

    def _report(self, key: str, count: int) -> None:
        self.highest[key] = max(count, self.highest.get(key, 0))

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with self.scope:
            await self.viewers.run(task_status)

    def join(self, principal: Principal | None = None, namespace: str = "/", key: str = KEY) -> SocketConnection:
        conn = RecordedConnection(self.rooms, namespace, principal or user_principal())
        self.viewers.join(conn, key)
        return conn

    def count(self) -> int:
        return self.viewers.count(KEY)


@asynccontextmanager
async def processes(redis: RedisStore, number: int, **how: float) -> AsyncIterator[list[Process]]:
    rooms = RecordedRooms()
    made = [Process(redis, rooms, **how) for _ in range(number)]
    async with trio.open_nursery() as nursery:
        for process in made:
            await nursery.start(process.run)
        yield made
        nursery.cancel_scope.cancel()


def counts(*made: Process) -> list[int]:
    return [process.count() for process in made]


async def settled(made: list[Process], count: int) -> None:
    await becomes(lambda: counts(*made) == [count] * len(made))


async def test_people_of_two_processes_are_counted_together(redis_store: RedisStore) -> None:
    async with processes(redis_store, 2) as made:
        one, two = made
        for _ in range(3):
            one.join()
        assert one.count() == 3, "its own it knows at once"
        await settled(made, 3)
        guest = two.join(guest_principal("a"))
        two.join(guest_principal("b"))
        await settled(made, 5)
        two.viewers.leave(guest, KEY)
        await settled(made, 4)


async def test_a_person_in_two_processes_is_one_and_closing_one_keeps_the_other(redis_store: RedisStore) -> None:
    async with processes(redis_store, 2) as made:
        one, two = made
        person = user_principal("dorami")
        assert person.user is not None
        name = {"userId": str(person.user.id), "displayName": "dorami"}
        first = one.join(person)
        await settled(made, 1)
        second = two.join(person, "/streaming")
        two.join(guest_principal())
        await settled(made, 2)
        one.viewers.leave(first, KEY)
        one.join(guest_principal("other"))
        await settled(made, 3)
        assert one.rooms.of("user:joined") == [name]
        assert one.rooms.of("user:left") == []
        two.viewers.leave(second, KEY)
        await settled(made, 2)
        await becomes(lambda: one.rooms.of("user:left") == [name])
        assert one.rooms.of("user:joined") == [name]


async def test_the_viewers_of_a_killed_process_leave_within_one_lease(redis_store: RedisStore) -> None:
    async with processes(redis_store, 2) as made:
        one, dead = made
        both = user_principal()
        one.join(both)
        dead.join(both)
        dead.join()
        dead.join(key="live-two")
        await settled(made, 2)
        await becomes(lambda: one.viewers.count("live-two") == 1)
        kill(dead)
        await becomes(lambda: one.count() == 1 and one.viewers.count("live-two") == 0)
        assert one.viewers.statistics().elsewhere == 0
        await becomes(lambda: {"streamKey": KEY, "viewerCount": 1} in one.rooms.of("stream:viewer:update"))


def kill(process: Process) -> None:
    """As SIGKILL does: it says no goodbye."""
    process.viewers._ledger = Gone()  # type: ignore[assignment]


class Gone:
    async def sync(self, changes: object) -> object:
        await trio.sleep_forever()


async def test_a_process_that_is_really_killed(redis_store: RedisStore, redis_url: str) -> None:
    lease_s = 2.0
    command = [sys.executable, str(Path(__file__).with_name("presence_process.py")), redis_url, str(lease_s)]
    children = [subprocess.Popen([*command, *names], stdout=subprocess.PIPE) for names in (("a", "b", "c"), ("c", "d"))]
    try:
        async with processes(redis_store, 1, lease_s=lease_s) as (here,):
            here.join(guest_principal("a"))
            await settled([here], 4)
            children[0].kill()
            await settled([here], 3)
            children[1].kill()
            await settled([here], 1)
    finally:
        for child in children:
            child.kill()
            child.communicate()


async def test_a_lease_in_redis_ends_before_the_promised_time(redis_store: RedisStore) -> None:
    async with processes(redis_store, 1, lease_s=15, push_s=1) as (process,):
        process.join()
        await becomes(lambda: process.viewers.statistics().syncs > 0 and process.viewers._audiences[KEY].told != set())
        (name,) = [key for key in await redis_store.execute("KEYS", "*") if key.startswith(b"{presence}:live-one:of:")]
        assert 0 < await redis_store.execute("PTTL", name) <= 14_000, "and a second to notice it"


async def test_an_orderly_stop_gives_the_leases_back_at_once(redis_store: RedisStore) -> None:
    async with processes(redis_store, 2, lease_s=600) as made:
        one, two = made
        one.join()
        two.join()
        await settled(made, 2)
        two.scope.cancel()
        await becomes(lambda: one.count() == 1)


async def test_one_number_a_push_interval_over_all_processes(redis_store: RedisStore) -> None:
    push_s = 0.3
    async with processes(redis_store, 3, push_s=push_s, lease_s=30) as made:
        ear = RecordedConnection(made[0].rooms, "/streaming", guest_principal("ear"))
        await ear.join(KEY)
        started_s, people = time.monotonic(), 0

        def crowd() -> bool:
            nonlocal people
            for process in made:
                process.join(guest_principal(str(people)))
                people += 1
            return len(ear.heard) >= 5

        await becomes(crowd)
        await becomes(lambda: ear.heard[-1][1]["viewerCount"] == people)
        numbers = [data["viewerCount"] for _, data in ear.heard]
        assert numbers == sorted(set(numbers))
        # However slow this machine is, so many intervals must have passed by the clock of Redis.
        assert (len(numbers) - 1) * push_s <= time.monotonic() - started_s + 0.01


async def test_a_number_that_stays_is_said_only_for_a_newcomer_of_streaming(redis_store: RedisStore) -> None:
    async with processes(redis_store, 2) as made:
        one, two = made
        person = user_principal()
        one.join(person, "/streaming")
        await becomes(lambda: len(one.rooms.of("stream:viewer:update")) == 1)
        synced = two.viewers.statistics().syncs
        two.join(person, "/")
        await becomes(lambda: two.viewers.statistics().syncs > synced + 5)
        assert len(one.rooms.of("stream:viewer:update")) == 1
        two.join(person, "/streaming")
        await becomes(lambda: len(one.rooms.of("stream:viewer:update")) == 2)
        assert one.rooms.of("stream:viewer:update") == [{"streamKey": KEY, "viewerCount": 1}] * 2


async def test_above_two_hundred_over_all_nobody_is_named(redis_store: RedisStore) -> None:
    async with processes(redis_store, 2) as made:
        one, two = made
        for number in range(199):
            one.join(guest_principal(str(number)))
        await settled(made, 199)
        first = two.join(user_principal("first"))
        await becomes(lambda: len(one.rooms.of("user:joined")) == 1)
        two.join(user_principal("second"))
        await settled(made, 201)
        two.viewers.leave(first, KEY)
        await settled(made, 200)
        await becomes(lambda: len(one.rooms.of("user:left")) == 1)
        assert [data["displayName"] for data in one.rooms.of("user:joined")] == ["first"]


async def test_many_people_in_one_batch(redis_store: RedisStore) -> None:
    async with processes(redis_store, 2) as made:
        one, two = made
        for number in range(9_500):
            one.join(guest_principal(str(number)))
        for number in range(9_000, 10_000):
            two.join(guest_principal(str(number)))
        await settled(made, 10_000)
        assert one.viewers.statistics().pushes + two.viewers.statistics().pushes > 0
        assert max(one.highest[KEY], two.highest[KEY]) == 10_000


async def test_what_redis_forgets_is_told_again_without_new_names(redis_store: RedisStore) -> None:
    async with processes(redis_store, 2) as made:
        one, two = made
        for process in made:
            process.join()
        await settled(made, 2)
        await becomes(lambda: len(one.rooms.of("user:joined")) == 2)
        await redis_store.execute("FLUSHALL")
        lost = sum(process.viewers.statistics().lost for process in made)
        await becomes(lambda: sum(process.viewers.statistics().lost for process in made) >= lost + 2)
        await settled(made, 2)
        assert len(one.rooms.of("user:joined")) == 2
        assert two.rooms.of("user:left") == []


async def test_without_redis_each_counts_its_own_and_afterwards_all(server_directory: Path) -> None:
    folder = server_directory / "presence"
    async with embedded_redis(folder) as url:
        pass
    async with open_redis(url) as store, processes(store, 2) as made:
        one, two = made
        for _ in range(2):
            one.join()
        staying = two.join(user_principal("stays"))
        await becomes(lambda: all(process.viewers.statistics().alone for process in made))
        assert counts(one, two) == [2, 1]
        await becomes(lambda: {"streamKey": KEY, "viewerCount": 2} in one.rooms.of("stream:viewer:update"))
        two.join()
        await becomes(lambda: {"streamKey": KEY, "viewerCount": 2} in two.rooms.of("stream:viewer:update"))
        async with embedded_redis(folder):
            await settled(made, 4)
            assert not one.viewers.statistics().alone
            two.viewers.leave(staying, KEY)
            await settled(made, 3)
        await becomes(lambda: one.viewers.statistics().alone and two.viewers.statistics().alone)
        assert counts(one, two) == [2, 1]


async def test_a_redis_that_refuses_is_as_good_as_none(redis_store: RedisStore) -> None:
    await redis_store.execute("SET", "{presence}:counts", "of another kind")
    async with processes(redis_store, 1) as (process,):
        process.join(namespace="/streaming")
        await becomes(lambda: process.rooms.of("stream:viewer:update") == [{"streamKey": KEY, "viewerCount": 1}])
        assert process.viewers.statistics().alone
        await redis_store.execute("DEL", "{presence}:counts")
        await becomes(lambda: not process.viewers.statistics().alone)
        assert process.count() == 1


async def test_nothing_stays_in_redis_of_what_is_over(redis_store: RedisStore) -> None:
    async with processes(redis_store, 2) as made:
        conns = [process.join(guest_principal(str(number))) for number, process in enumerate(made)]
        await settled(made, 2)
        for process, conn in zip(made, conns, strict=True):
            process.viewers.leave(conn, KEY)
        await settled(made, 0)
        with trio.fail_after(60):
            while await redis_store.execute("DBSIZE"):
                await trio.lowlevel.checkpoint()
        assert [process.viewers.statistics().streams for process in made] == [0, 0]
