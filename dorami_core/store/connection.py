"""A connection that is only cleaned before its next user where somebody may have left something in it.

The driver resets a session (advisory locks, cursors, LISTEN, settings) each time it goes back to the pool. That round
trip is more than half of a short statement's time: 185 us without it, 470 us with it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[Any]
else:
    _Connection = asyncpg.Connection

_KEEPS_NOTHING = re.compile(
    r"\s*(select|with|insert|update|delete|values|savepoint|release|rollback|set\s+local)\b", re.IGNORECASE
)
_MAY_KEEP = re.compile(r";\s*\S|advisory_(?!xact)|set_config|--|/\*", re.IGNORECASE)

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '10s'"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"
OWN_STATEMENTS = frozenset({BEGIN, COMMIT, ROLLBACK})
"""They begin and end a transaction and leave nothing."""


@lru_cache(maxsize=4096)
def leaves_state(sql: str) -> bool:
    """Whether the session may be another one after this statement; in doubt, it is."""
    return _KEEPS_NOTHING.match(sql) is None or _MAY_KEEP.search(sql) is not None


class PooledConnection(_Connection):
    """Notes whether a statement may have changed the session."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.used_state = False

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        self.used_state |= leaves_state(query)
        return await super().fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        self.used_state |= leaves_state(query)
        return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        self.used_state |= leaves_state(query)
        return await super().fetchval(query, *args, **options)

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        self.used_state |= leaves_state(query) and query not in OWN_STATEMENTS
        return await super().execute(query, *args, **options)

    def get_reset_query(self) -> str:
        """What the pool sends when the connection comes back; nothing where nothing can be left."""
        return super().get_reset_query() if self.used_state else ""

    async def reset(self, *, timeout: float | None = None) -> None:
        await super().reset(timeout=timeout)
        self.used_state = False  # the cleaning is a statement that says otherwise
