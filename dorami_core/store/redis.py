"""Redis, for what may be lost: windows of rates, presence, recent history. Selling never needs it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import redis.exceptions
import trio
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from dorami_core.runtime import to_asyncio
from dorami_core.store.subscriber import Subscriber, open_subscriber
from dorami_core.store.unreachable import redis_unreachable

CONNECT_S = 2.0
ANSWER_S = 5.0
POOL_WAIT_S = 2.0
CLOSE_S = 5.0

Argument = str | bytes | int | float
Script = Callable[[Sequence[Argument], Sequence[Argument]], Awaitable[Any]]
"""`await script(keys, args)`"""


@attrs.frozen
class RedisStatistics:
    in_use: int
    max_size: int


class RedisStore:
    """A bounded pool of connections. Each call is one crossing; strings come back as bytes.

    Every call raises UNAVAILABLE where Redis cannot be reached or does not answer within seconds, and
    `redis.exceptions.ResponseError` where it refuses the command.
    """

    def __init__(self, client: Redis, pool: BlockingConnectionPool) -> None:
        self._client = client
        self._pool = pool

    async def execute(self, *command: Argument) -> Any:
        """One command, `execute("SET", key, value, "EX", 60)`. Its answer is typed as redis-py does (OK is True)."""
        return await _answered(self._client.execute_command, *command)

    def register_script(self, lua: str) -> Script:
        """Lua that runs atomically: sent by its hash, and whole where Redis does not know it (a restart)."""
        digest = hashlib.sha1(lua.encode(), usedforsecurity=False).hexdigest()

        async def script(keys: Sequence[Argument], args: Sequence[Argument]) -> Any:
            return await _answered(_evaluated, self._client, lua, digest, keys, args)

        return script

    def subscriber(self) -> AbstractAsyncContextManager[Subscriber]:
        """A connection for subscriptions; entering it raises UNAVAILABLE where Redis cannot be reached."""
        return open_subscriber(self._pool)

    async def ping(self) -> None:
        """Returns where Redis answers; raises UNAVAILABLE elsewhere."""
        await self.execute("PING")

    def statistics(self) -> RedisStatistics:
        in_use = len(self._pool._in_use_connections)
        return RedisStatistics(in_use=in_use, max_size=self._pool.max_connections)


async def _answered(fn: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """One crossing, given up after ANSWER_S. The library's own time-out would cost a task for every call."""
    with redis_unreachable():
        with trio.move_on_after(ANSWER_S) as scope:
            return await to_asyncio(fn, *args)
        assert scope.cancelled_caught
        raise TimeoutError(f"no answer within {ANSWER_S:g} s")


@asynccontextmanager
async def open_redis(url: str, *, max_size: int = 16) -> AsyncIterator[RedisStore]:
    """A store for `redis://`, `rediss://` or `unix://` URLs. Connects when first used, so it opens without a server."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_size,
        timeout=POOL_WAIT_S,
        socket_connect_timeout=CONNECT_S,
        protocol=2,
        # One more try, for a pooled connection that a restarted server has closed; a command that timed out may have
        # been run and is not repeated.
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,)),
    )
    client = Redis(connection_pool=pool)
    try:
        yield RedisStore(client, pool)
    finally:
        with trio.move_on_after(CLOSE_S, shield=True):
            await to_asyncio(_close, client, pool)


# Below: the asyncio side.


async def _evaluated(client: Any, lua: str, digest: str, keys: Sequence[Argument], args: Sequence[Argument]) -> Any:
    try:
        return await client.execute_command("EVALSHA", digest, len(keys), *keys, *args)
    except redis.exceptions.NoScriptError:
        return await client.execute_command("EVAL", lua, len(keys), *keys, *args)


async def _close(client: Redis, pool: BlockingConnectionPool) -> None:
    await client.aclose()
    await pool.disconnect()
