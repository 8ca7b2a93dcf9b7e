"""One meaning for the many ways in which a store cannot be reached: UNAVAILABLE, which a client may try again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import redis.exceptions

from dorami_core.base.errors import DoramiError

_POSTGRES = (
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    OSError,  # TimeoutError as well
)
# asyncpg has one type for a closed connection and for a wrong call of its own functions. A connection that dies while
# it is in use goes back to its pool by itself, hence the last words.
_CLOSED = re.compile(r"(pool|connection) is clos|connection has been released back")
# Of a connection that died between the two messages of one statement; nobody else uses it at the same time.
_DIED_BETWEEN = re.compile("cannot switch to state")
_REDIS = (
    redis.exceptions.ConnectionError,  # also a full pool, a server that loads, a failed authentication
    redis.exceptions.TimeoutError,
    OSError,
)


@contextmanager
def postgres_unreachable() -> Iterator[None]:
    """Errors of the connection become UNAVAILABLE (`details.service` is "database"); errors of SQL pass."""
    try:
        yield
    except _POSTGRES as error:
        raise DoramiError("UNAVAILABLE", service="database") from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        sign = _CLOSED if isinstance(error, asyncpg.InterfaceError) else _DIED_BETWEEN
        if sign.search(str(error)):
            raise DoramiError("UNAVAILABLE", service="database") from error
        raise


@contextmanager
def redis_unreachable() -> Iterator[None]:
    """The same for Redis (`details.service` is "redis"); errors of commands pass."""
    try:
        yield
    except _REDIS as error:
        raise DoramiError("UNAVAILABLE", service="redis") from error
