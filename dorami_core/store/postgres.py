"""The database of the core and of the plugins: a pool of asyncpg connections, single statements and transactions."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import asyncpg
import attrs
import msgspec
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.turns import Turn
from dorami_core.events.model import Event
from dorami_core.hooks.transactions import Queries
from dorami_core.runtime import to_asyncio
from dorami_core.store.connection import BEGIN, COMMIT, ROLLBACK, PooledConnection
from dorami_core.store.unreachable import postgres_unreachable

T = TypeVar("T")
Connection = Any
"""An asyncpg connection, of the pool or not."""
OutboxWriter = Callable[[Queries, Sequence[Event]], Awaitable[None]]

CONNECT_S = 5.0
ACQUIRE_S = 10.0
END_S = 15.0
"""The longest wait for COMMIT, ROLLBACK and a close, which no cancellation interrupts."""
RETRYABLE = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)
"""SQLSTATE 40001, 40P01 and 55P03."""


class TransactionFailed(RuntimeError):
    """A statement of the transaction had failed and the error was swallowed, so PostgreSQL rolled back at COMMIT."""


@attrs.frozen
class PoolStatistics:
    size: int
    idle: int
    max_size: int


class _Calls(ABC):
    """The four calls of `dorami_core.hooks.Queries`, each by the driver's method of the same name."""

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        rows: list[Any] = await self._call("fetch", sql, args)
        return rows

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        return await self._call("fetchrow", sql, args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        return await self._call("fetchval", sql, args)

    async def execute(self, sql: str, *args: Any) -> str:
        status: str = await self._call("execute", sql, args)
        return status

    @abstractmethod
    async def _call(self, method: str, sql: str, args: tuple[Any, ...]) -> Any: ...


class PostgresSession(_Calls):
    """One connection. Calls run one after another, in the order in which they were made."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._turn = Turn()

    async def _call(self, method: str, sql: str, args: tuple[Any, ...]) -> Any:
        async with self._turn:
            with postgres_unreachable():
                return await to_asyncio(getattr(self._connection, method), sql, *args)

    async def listen(self, channel: str, heard: Callable[[], None]) -> None:
        """From now on calls `heard`, outside of any task, for each NOTIFY on the channel; until the session ends."""

        def hear(*_: Any) -> None:
            heard()

        async with self._turn:
            with postgres_unreachable():
                await to_asyncio(self._connection.add_listener, channel, hear)


class PostgresTx(PostgresSession):
    """A transaction under way; see `dorami_core.hooks.Tx`."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.events: list[Event] = []
        self._over = False

    def emit(self, event: Event) -> None:
        self._check()
        self.events.append(event)

    def close(self) -> None:
        """From here on each call raises RuntimeError, for the connection belongs to others."""
        self._over = True

    async def _call(self, method: str, sql: str, args: tuple[Any, ...]) -> Any:
        self._check()
        return await super()._call(method, sql, args)

    def _check(self) -> None:
        if self._over:
            raise RuntimeError("this transaction is over")


class PostgresDatabase(_Calls):
    """A pool; see `dorami_core.hooks.Database`. Made by `open_database`."""

    def __init__(self, pool: asyncpg.Pool[Any], url: str, outbox_writer: OutboxWriter) -> None:
        self.after_commit: list[Callable[[], None]] = []
        """Called synchronously after each commit that wrote events."""
        self._pool = pool
        self._url = url
        self._write_outbox = outbox_writer

    async def _call(self, method: str, sql: str, args: tuple[Any, ...]) -> Any:
        with postgres_unreachable():
            return await to_asyncio(_once, self._pool, method, sql, args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTx]:
        """READ COMMITTED, waits at most 10 s for a lock. Rolls back on any error and on cancellation; a commit that
        has begun is finished. Raises UNAVAILABLE, also where the outcome of the commit cannot be known, and
        `TransactionFailed`."""
        with postgres_unreachable():
            connection = await to_asyncio(_begin, self._pool)
        tx = PostgresTx(connection)
        try:
            yield tx
            if tx.events:
                await self._write_outbox(tx, tuple(tx.events))
            await trio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            tx.close()
            with suppress(DoramiError):  # a connection that is gone was rolled back by PostgreSQL
                await self._end(connection, ROLLBACK)
            raise
        tx.close()
        if await self._end(connection, COMMIT) != COMMIT:
            raise TransactionFailed("an error inside the transaction was swallowed; nothing was committed")
        if tx.events:
            for callback in self.after_commit:
                callback()

    async def _end(self, connection: Connection, how: str) -> str:
        with trio.move_on_after(END_S, shield=True), postgres_unreachable():
            return await to_asyncio(_finish, self._pool, connection, how)
        raise DoramiError("UNAVAILABLE", service="database")

    async def run(self, fn: Callable[[PostgresTx], Awaitable[T]], *, attempts: int = 3) -> T:
        """Calls `fn` in a transaction, again where PostgreSQL broke it off for a deadlock, a serialization failure or
        a lock that was not to be had. After `attempts` raises UNAVAILABLE."""
        for attempt in range(1, attempts + 1):
            try:
                async with self.transaction() as tx:
                    return await fn(tx)
            except RETRYABLE as error:
                if attempt == attempts:
                    raise DoramiError("UNAVAILABLE", service="database") from error
            await trio.sleep(random.uniform(0, 0.02 * attempt))
        raise ValueError("attempts must be at least 1")

    @asynccontextmanager
    async def acquire_session(self) -> AsyncIterator[PostgresSession]:
        """A connection of its own outside the pool, for session advisory locks; they go when the block ends."""
        with postgres_unreachable():
            connection = await to_asyncio(_connect, self._url)
        try:
            yield PostgresSession(connection)
        finally:
            await _close(connection)

    def statistics(self) -> PoolStatistics:
        pool = self._pool
        return PoolStatistics(size=pool.get_size(), idle=pool.get_idle_size(), max_size=pool.get_max_size())


@asynccontextmanager
async def open_database(
    url: str, *, min_size: int = 2, max_size: int = 16, outbox_writer: OutboxWriter
) -> AsyncIterator[PostgresDatabase]:
    """Opens the pool and closes it at the end, where connections still in use get `END_S` seconds.

    `outbox_writer` gets the transaction and its events, at least one, right before COMMIT. Raises UNAVAILABLE where
    the server cannot be reached.
    """
    with postgres_unreachable():
        pool = await to_asyncio(_open_pool, url, min_size, max_size)
    try:
        yield PostgresDatabase(pool, url, outbox_writer)
    finally:
        await _close(pool)


async def _close(target: Any) -> None:
    with trio.move_on_after(END_S, shield=True) as scope:
        try:
            await to_asyncio(target.close)
            return
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            pass  # a dead connection is closed as well
    if scope.cancelled_caught:
        target.terminate()


# Below: the asyncio side.


async def _open_pool(url: str, min_size: int, max_size: int) -> asyncpg.Pool[Any]:
    return await asyncpg.create_pool(
        url,
        min_size=min_size,
        max_size=max_size,
        init=_prepare,
        connection_class=PooledConnection,
        timeout=CONNECT_S,
        server_settings={"application_name": "dorami", "timezone": "UTC"},
    )


async def _connect(url: str) -> Connection:
    settings = {"application_name": "dorami session", "timezone": "UTC"}
    connection = await asyncpg.connect(url, timeout=CONNECT_S, server_settings=settings)
    await _prepare(connection)
    return connection


async def _prepare(connection: Connection) -> None:
    """JSON and JSONB columns are Python values."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=_encode, decoder=msgspec.json.decode)


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


async def _once(pool: asyncpg.Pool[Any], method: str, sql: str, args: tuple[Any, ...]) -> Any:
    async with pool.acquire(timeout=ACQUIRE_S) as connection:
        return await getattr(connection, method)(sql, *args)


async def _begin(pool: asyncpg.Pool[Any]) -> Connection:
    connection = await pool.acquire(timeout=ACQUIRE_S)
    try:
        await connection.execute(BEGIN)  # one round trip for both of its statements
    except BaseException:
        await pool.release(connection)
        raise
    return connection


async def _finish(pool: asyncpg.Pool[Any], connection: Connection, how: str) -> str:
    try:
        if how == ROLLBACK and connection.is_closed():
            return how  # PostgreSQL has rolled back when the connection ended
        status: str = await connection.execute(how)
        return status
    finally:
        await pool.release(connection)
