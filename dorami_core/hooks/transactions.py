"""What a plugin may do with the database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

from dorami_core.events.model import Event

Row = Any
"""An asyncpg Record: values by column name, `row["id"]`."""


class Queries(Protocol):
    """SQL with $1, $2, ... parameters. Each call is one crossing to the driver; calls of one object run one after
    another. Raises what PostgreSQL raises, and UNAVAILABLE where it cannot be reached."""

    async def fetch(self, sql: str, *args: Any) -> Sequence[Row]: ...
    async def fetchrow(self, sql: str, *args: Any) -> Row | None: ...
    async def fetchval(self, sql: str, *args: Any) -> Any: ...
    async def execute(self, sql: str, *args: Any) -> str: ...


class Tx(Queries, Protocol):
    """A transaction. It commits when its block ends and rolls back on an error or a cancellation."""

    def emit(self, event: Event) -> None:
        """Writes the event with this transaction; it is delivered after the commit, at least once."""
        ...


class Database(Queries, Protocol):
    def transaction(self) -> AbstractAsyncContextManager[Tx]:
        """READ COMMITTED. A commit that has begun is finished even when the scope is cancelled."""
        ...


class Deadlines(Protocol):
    """Durable timers: one row each, unique by (kind, key). Times are compared with PostgreSQL's clock."""

    async def set(self, tx: Tx, kind: str, key: str, due_at: datetime) -> None:
        """Creates or moves a timer."""
        ...

    async def set_many(self, tx: Tx, kind: str, timers: Sequence[tuple[str, datetime]]) -> None:
        """The same for many keys, each once, in one statement."""
        ...

    async def clear(self, tx: Tx, kind: str, key: str) -> None: ...
