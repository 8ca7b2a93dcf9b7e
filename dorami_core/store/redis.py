"""Redis, for what may be lost: windows of rates, presence, recent history. Selling never needs it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import redis.exceptions
import trio
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from dorami_core.runtime import to_asyncio
from dorami_core.store.subscriber import OnMessage, Subscriber, open_subscriber
from dorami_core.store.unreachable import redis_unreachable
from dorami_core.store.wire import Argument, RedisWire, open_wire

CONNECT_S = 2.0

Script = Callable[[Sequence[Argument], Sequence[Argument]], Awaitable[Any]]
"""`await script(keys, args)`"""


@attrs.frozen
class RedisStatistics:
    """`waiting`: calls without an answer yet; `connects`: how often a connection was made."""

    waiting: int
    connects: int


class RedisStore:
    """One connection, on which calls follow each other without waiting; made again when it is needed and gone. Strings
    come back as bytes.

    Every call raises UNAVAILABLE where Redis cannot be reached or does not answer within seconds (it may have been run
    then), and `redis.exceptions.ResponseError` where it refuses the command. Commands that block (BLPOP) would hold up
    everybody and have no place here.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._wire: RedisWire | None = None
        self._opening = trio.Lock()
        self._attempts = 0
        self._connects = 0

    async def execute(self, *command: Argument) -> Any:
        """One command, `execute("SET", key, value, "EX", 60)`, which answers b"OK"."""
        with redis_unreachable():
            return await (self._wired() or await self._connect()).call(*command)

    def register_script(self, lua: str) -> Script:
        """Lua that runs atomically: sent by its hash, and whole where Redis does not know it (a restart)."""
        digest = hashlib.sha1(lua.encode(), usedforsecurity=False).hexdigest()

        async def script(keys: Sequence[Argument], args: Sequence[Argument]) -> Any:
            with redis_unreachable():
                wire = self._wired() or await self._connect()
                try:
                    return await wire.call("EVALSHA", digest, len(keys), *keys, *args)
                except redis.exceptions.NoScriptError:
                    return await wire.call("EVAL", lua, len(keys), *keys, *args)

        return script

    def subscriber(self, on_message: OnMessage) -> AbstractAsyncContextManager[Subscriber]:
        """A connection for subscriptions; entering it raises UNAVAILABLE where Redis cannot be reached."""
        return open_subscriber(self._pool, on_message)

    async def ping(self) -> None:
        """Returns where Redis answers; raises UNAVAILABLE elsewhere."""
        await self.execute("PING")

    def statistics(self) -> RedisStatistics:
        wire = self._wired()
        return RedisStatistics(waiting=wire.waiting if wire is not None else 0, connects=self._connects)

    def close(self) -> None:
        """Calls that wait fail."""
        if self._wire is not None:
            self._wire.close()

    def _wired(self) -> RedisWire | None:
        return None if self._wire is None or self._wire.is_lost else self._wire

    async def _connect(self) -> RedisWire:
        """One attempt for all who need it in the same moment."""
        known = self._attempts
        async with self._opening:
            if self._attempts == known:
                try:
                    with trio.fail_after(CONNECT_S):
                        self._wire = await to_asyncio(open_wire, self._pool.make_connection())  # type: ignore[no-untyped-call]
                    self._connects += 1
                except trio.TooSlowError:
                    self._attempts += 1
                    raise TimeoutError(f"no connection within {CONNECT_S:g} s") from None
                except Exception:
                    self._attempts += 1
                    raise
                self._attempts += 1
            wire = self._wired()
            if wire is None:
                raise ConnectionError("no connection")
            return wire


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[RedisStore]:
    """A store for `redis://`, `rediss://` or `unix://` URLs. Connects when first used, so it opens without a server."""
    pool = ConnectionPool.from_url(url, socket_connect_timeout=CONNECT_S, protocol=2, retry=Retry(NoBackoff(), 0))
    store = RedisStore(pool)
    try:
        yield store
    finally:
        store.close()
