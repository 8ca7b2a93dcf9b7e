"""Work that one process of all that share a database does at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import attrs
import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.supervision import supervise
from dorami_core.hooks.transactions import Queries

log = structlog.get_logger()

LOCK_KEY = 0x646F72616D690002
CHECK_S = 1.0
"""How often who waits asks for the lock, and who has it makes sure of its session."""


class Sessions(Protocol):
    def acquire_session(self) -> Any:
        """An async context manager of Queries on one connection, for a lock that a session holds."""
        ...


@attrs.frozen
class SoleStatistics:
    is_holder: bool


class SoleWorker:
    """Runs its tasks, each supervised, for as long as this process holds the advisory lock.

    PostgreSQL gives the lock up with the session, so that after a crash another process has it within `CHECK_S`. A
    holder that was cut off from the database may go on for as long: tasks re-check what they do under locks of rows.
    """

    def __init__(self, sessions: Sessions, key: int = LOCK_KEY) -> None:
        self._sessions = sessions
        self._key = key
        self._tasks: dict[str, Callable[[], Awaitable[None]]] = {}
        self._is_holder = False

    def add(self, name: str, task: Callable[[], Awaitable[None]]) -> None:
        """Before `run`. Two tasks of one name get different ones in the log."""
        while name in self._tasks:
            name += "'"
        self._tasks[name] = task

    def statistics(self) -> SoleStatistics:
        return SoleStatistics(self._is_holder)

    async def run(self) -> None:
        """For ever. A lost database is waited for."""
        while True:
            try:
                async with self._sessions.acquire_session() as session:
                    while not await self._has_lock(session):  # noqa: ASYNC110 - the server tells nobody
                        await trio.sleep(CHECK_S)
                    await self._hold(session, self._tasks)
            except DoramiError as error:
                if error.code != "UNAVAILABLE":
                    raise
                log.warning("sole_worker.database_gone")
            await trio.sleep(CHECK_S)

    async def _has_lock(self, session: Queries) -> bool:
        return bool(await session.fetchval("SELECT pg_try_advisory_lock($1)", self._key))

    async def _hold(self, session: Queries, tasks: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        """Until the session is lost."""
        self._is_holder = True
        try:
            async with trio.open_nursery() as nursery:
                for name, task in tasks.items():
                    nursery.start_soon(supervise, name, task)
                while await _is_alive(session):  # noqa: ASYNC110 - only asking shows it
                    await trio.sleep(CHECK_S)
                nursery.cancel_scope.cancel()
        finally:
            self._is_holder = False


async def _is_alive(session: Queries) -> bool:
    try:
        await session.fetchval("SELECT 1")
    except DoramiError:
        return False
    return True
