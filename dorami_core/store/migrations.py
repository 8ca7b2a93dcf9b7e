"""Migrations: numbered SQL files of the core and of each plugin, each run once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import asyncpg
import attrs

from dorami_core.runtime import to_asyncio
from dorami_core.store.unreachable import postgres_unreachable

LOCK = 0x646F72616D69  # "dorami"; one process migrates at a time, the others wait and find all done
FILE_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
BOOTSTRAP = """
    CREATE SCHEMA IF NOT EXISTS core;
    CREATE TABLE IF NOT EXISTS core.migrations (
        package text NOT NULL,
        name text NOT NULL,
        checksum text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (package, name)
    )
"""


class MigrationError(RuntimeError):
    """The files and the database do not fit together, or a file failed. What was applied before stays applied."""


@attrs.frozen
class MigrationSource:
    """Where the files of one owner are: `folder` inside the importable `package`. `name` is what the database
    remembers them by and never changes; a missing folder is a source without files."""

    name: str
    package: str
    folder: str = "migrations"


CORE = MigrationSource("core", "dorami_core.store")


@attrs.frozen
class _File:
    name: str
    sql: str
    checksum: str


async def migrate(url: str, sources: Sequence[MigrationSource]) -> list[str]:
    """Applies what is new, source by source in the given order (the core first) and file by file by number.

    Each file runs in a transaction of its own with its record. Returns what was applied, as `source/file`. Raises
    MigrationError where an applied file has changed or is gone, where a file's name is wrong, or where its SQL fails;
    UNAVAILABLE where the server cannot be reached.
    """
    plan = [(source.name, _files(source)) for source in sources]
    with postgres_unreachable():
        return await to_asyncio(_migrate, url, plan)


def _files(source: MigrationSource) -> list[_File]:
    try:
        folder = files(source.package) / source.folder
    except ModuleNotFoundError:
        raise MigrationError(f"the migrations of {source.name}: there is no package {source.package}") from None
    if not folder.is_dir():
        return []
    found: dict[str, _File] = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".sql"):
            continue
        if not FILE_NAME.fullmatch(entry.name):
            raise MigrationError(f"{source.name}/{entry.name}: a migration is named NNNN_name.sql")
        number = entry.name[:4]
        if number in found:
            raise MigrationError(f"{source.name}: {found[number].name} and {entry.name} have the same number")
        sql = entry.read_bytes()
        found[number] = _File(entry.name, sql.decode("utf-8"), hashlib.sha256(sql).hexdigest())
    return list(found.values())


async def _migrate(url: str, plan: Sequence[tuple[str, Sequence[_File]]]) -> list[str]:
    connection = await asyncpg.connect(url, timeout=5, server_settings={"application_name": "dorami migrations"})
    try:
        # Held by the session, so that it covers all files; it goes with the connection.
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        await connection.execute(BOOTSTRAP)
        done = []
        for source, found in plan:
            rows = await connection.fetch("SELECT name, checksum FROM core.migrations WHERE package = $1", source)
            applied = {row["name"]: row["checksum"] for row in rows}
            _compare(source, found, applied)
            for file in found:
                if file.name not in applied:
                    await _apply(connection, source, file)
                    done.append(f"{source}/{file.name}")
        return done
    finally:
        await connection.close()


def _compare(source: str, found: Sequence[_File], applied: Mapping[str, str]) -> None:
    present = {file.name: file for file in found}
    for name, checksum in applied.items():
        if name not in present:
            raise MigrationError(f"{source}/{name} was applied to this database, but the file is gone")
        if present[name].checksum != checksum:
            raise MigrationError(
                f"{source}/{name} was applied to this database and has changed since: write a new migration instead"
            )


async def _apply(connection: asyncpg.Connection[Any], source: str, file: _File) -> None:
    try:
        async with connection.transaction():
            await connection.execute(file.sql)
            await connection.execute(
                "INSERT INTO core.migrations (package, name, checksum) VALUES ($1, $2, $3)",
                source,
                file.name,
                file.checksum,
            )
    except asyncpg.PostgresConnectionError:
        raise
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{source}/{file.name} failed and was rolled back: {error}") from error
