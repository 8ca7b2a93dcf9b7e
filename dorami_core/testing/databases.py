"""Fresh databases in no time: a template is migrated once, and each test gets a copy of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import asyncpg

from dorami_core.runtime import run, to_asyncio
from dorami_core.store.migrations import CORE, MigrationSource, migrate
from dorami_core.testing.clock import MOVABLE_CLOCK


class DatabaseFarm:
    """Makes databases on the server at `url`, where the role may create them. Used outside any event loop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._templates: dict[tuple[MigrationSource, ...], str] = {}
        self._numbers = itertools.count(1)

    def at(self, database: str) -> str:
        """The URL of another database on the same server."""
        head, _, tail = self._url.partition("?")
        base = head.rpartition("/")[0]
        return f"{base}/{database}" + (f"?{tail}" if tail else "")

    @contextmanager
    def fresh(self, sources: Sequence[MigrationSource]) -> Iterator[str]:
        """The URL of a migrated database of its own, dropped at the end with whoever is still connected."""
        template = self._template(tuple(sources))
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        try:
            yield self.at(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _template(self, sources: tuple[MigrationSource, ...]) -> str:
        if (known := self._templates.get(sources)) is not None:
            return known
        name = f"template_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name}")
        try:
            run(partial(migrate, self.at(name), sources))
            if CORE in sources:
                self._execute(MOVABLE_CLOCK, name)
        except BaseException:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")
            raise
        self._templates[sources] = name
        return name

    def _execute(self, sql: str, database: str | None = None) -> None:
        run(partial(to_asyncio, _execute, self._url if database is None else self.at(database), sql))


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
