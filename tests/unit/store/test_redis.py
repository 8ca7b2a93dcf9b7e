"""The Redis store on a real server."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import redis.exceptions
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.store.embedded import embedded_redis
from dorami_core.store.redis import RedisStore, open_redis


async def test_commands(redis_store: RedisStore) -> None:
    await redis_store.ping()
    assert await redis_store.execute("SET", "key", "한글", "EX", 60) is True
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
    await redis_store.execute("SCRIPT FLUSH")
    assert await add(["sum"], [4]) == 9


async def test_a_cancelled_command_does_not_spoil_its_connection(redis_url: str) -> None:
    async with open_redis(redis_url, max_size=1) as store:
        with trio.move_on_after(0.05) as scope:
            await store.execute("BLPOP", "nothing", 30)
        assert scope.cancelled_caught
        await store.execute("SET", "key", "value")
        assert await store.execute("GET", "key") == b"value"
        assert store.statistics().in_use == 0


async def test_more_callers_than_connections(redis_url: str) -> None:
    async with open_redis(redis_url, max_size=2) as store:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(store.execute, "INCR", "count")
        assert await store.execute("GET", "count") == b"50"
        assert store.statistics().max_size == 2


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


async def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dorami_core.store.redis.ANSWER_S", 0.05)
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(tmp_path / "mute.sock"))
    listener.listen()
    async with open_redis(f"unix://{tmp_path}/mute.sock") as store:
        for _ in range(3):
            with pytest.raises(DoramiError, match="UNAVAILABLE"):
                await store.execute("GET", "key")
        assert store.statistics().in_use == 0
    listener.close()
