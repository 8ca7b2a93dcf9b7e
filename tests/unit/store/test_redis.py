"""The Redis store on a real server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import redis.exceptions
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.store.embedded import embedded_redis
from dorami_core.store.redis import RedisStatistics, RedisStore, open_redis
from dorami_core.testing.waiting import becomes


async def test_commands(redis_store: RedisStore) -> None:
    await redis_store.ping()
    assert await redis_store.execute("SET", "key", "한글", "EX", 60) == b"OK"
    assert await redis_store.execute("GET", "key") == "한글".encode()
    assert await redis_store.execute("GET", "none") is None
    assert await redis_store.execute("INCRBY", "count", 5) == 5


async def test_each_test_finds_it_empty(redis_store: RedisStore) -> None:
    assert await redis_store.execute("DBSIZE") == 0


async def test_an_error_of_a_command_passes(redis_store: RedisStore) -> None:
    await redis_store.execute("SET", "text", "x")
    with pytest.raises(redis.exceptions.ResponseError):
        await redis_store.execute("INCR", "text")


async def test_a_script_survives_that_redis_forgets_it(redis_store: RedisStore) -> None:
    add = redis_store.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert await add(["sum"], [2]) == 2
    assert await add(["sum"], [3]) == 5
    await redis_store.execute("SCRIPT", "FLUSH")
    assert await add(["sum"], [4]) == 9


LATE = """
local function us() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end
local till = us() + 200000
while us() < till do end
return 'late'
"""


async def test_the_answer_of_a_cancelled_call_is_nobodys(redis_url: str) -> None:
    async with open_redis(redis_url) as store:
        await store.ping()
        with trio.move_on_after(0.02) as scope:
            await store.execute("EVAL", LATE, 0)
        assert scope.cancelled_caught
        assert await store.execute("ECHO", "mine") == b"mine"
        assert store.statistics() == RedisStatistics(waiting=0, connects=1)


async def test_many_calls_share_one_connection(redis_url: str) -> None:
    answers: dict[int, bytes] = {}

    async def ask(number: int) -> None:
        answers[number] = await store.execute("ECHO", str(number))

    async with open_redis(redis_url) as store:
        async with trio.open_nursery() as nursery:
            for number in range(500):
                nursery.start_soon(ask, number)
        assert answers == {number: str(number).encode() for number in range(500)}
        assert store.statistics().connects == 1


@asynccontextmanager
async def mute_server(tmp_path: Path) -> AsyncIterator[str]:
    """Greets like Redis and then never answers."""

    async def serve(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(b"+OK\r\n" * data.count(b"SETINFO"))

    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(tmp_path / "mute.sock"))
    listener.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [trio.SocketListener(listener)])
        yield f"unix://{tmp_path}/mute.sock"
        nursery.cancel_scope.cancel()


async def test_calls_without_an_answer_are_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dorami_core.store.wire.ANSWER_S", 0.05)
    async with mute_server(tmp_path) as url, open_redis(url) as store:
        for _ in range(3):
            with pytest.raises(DoramiError, match="UNAVAILABLE"):
                await store.execute("GET", "key")
        assert store.statistics() == RedisStatistics(waiting=0, connects=3)


async def test_more_calls_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dorami_core.store.wire.WAITING_MAX", 2)

    async def ask() -> None:
        with pytest.raises(DoramiError, match="UNAVAILABLE"):
            await store.execute("GET", "key")

    async with mute_server(tmp_path) as url, open_redis(url) as store:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(ask)
            await becomes(lambda: store.statistics().waiting == 2)
            await ask()
            assert store.statistics().waiting == 2
            store.close()


async def test_no_server_is_unavailability_and_quick(tmp_path: Path) -> None:
    started = time.perf_counter()
    async with open_redis(f"unix://{tmp_path}/none.sock") as store:
        with pytest.raises(DoramiError, match="UNAVAILABLE"):
            await store.ping()
    assert time.perf_counter() - started < 2


async def test_it_comes_back_after_a_restart(server_directory: Path) -> None:
    folder = server_directory / "again"
    async with AsyncExitStack() as stack:
        async with embedded_redis(folder) as url:
            store = await stack.enter_async_context(open_redis(url))
            await store.execute("SET", "key", "kept")
        with pytest.raises(DoramiError, match="UNAVAILABLE"):
            await store.ping()
        await stack.enter_async_context(embedded_redis(folder))
        assert await store.execute("GET", "key") == b"kept"


async def test_a_server_that_does_not_greet_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dorami_core.store.redis.CONNECT_S", 0.05)
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(tmp_path / "mute.sock"))
    listener.listen()
    async with open_redis(f"unix://{tmp_path}/mute.sock") as store:
        for _ in range(3):
            with pytest.raises(DoramiError, match="UNAVAILABLE"):
                await store.execute("GET", "key")
        assert store.statistics().connects == 0
    listener.close()


async def test_a_listener_that_raises_ends_the_subscription(redis_store: RedisStore) -> None:
    heard: list[tuple[str, bytes]] = []

    def hear(channel: str, data: bytes) -> None:
        heard.append((channel, data))
        if data == b"bad":
            raise ValueError("bad")

    async with redis_store.subscriber(hear) as subscriber:
        await subscriber.subscribe("news")
        for text in ("a", "b"):
            await redis_store.execute("PUBLISH", "news", text)
        await subscriber.catch_up()
        assert heard == [("news", b"a"), ("news", b"b")]
        await redis_store.execute("PUBLISH", "news", "bad")
        with pytest.raises(ValueError, match="bad"):
            await subscriber.wait_lost()
        with pytest.raises(DoramiError, match="UNAVAILABLE"):
            await subscriber.catch_up()
