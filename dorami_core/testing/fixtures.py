"""pytest fixtures: a real PostgreSQL and a real Redis for the test session, a fresh database for each test.

A plugin's tests override `migration_sources`, and get their own tables:

    @pytest.fixture
    def migration_sources() -> tuple[MigrationSource, ...]:
        return (CORE, MigrationSource("dorami_catalog", "dorami_catalog"))
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import pytest

from dorami_core.events.model import Event
from dorami_core.hooks.transactions import Queries
from dorami_core.store.embedded import RunningServer, start_postgres, start_redis
from dorami_core.store.migrations import CORE, MigrationSource
from dorami_core.store.postgres import OutboxWriter, PostgresDatabase, open_database
from dorami_core.store.redis import RedisStore, open_redis
from dorami_core.testing.clock import ManualClock
from dorami_core.testing.databases import DatabaseFarm
from dorami_core.testing.folders import short_folder


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """A data directory for the session's servers."""
    directory = Path(tempfile.mkdtemp(prefix="dorami-", dir=short_folder()))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def postgres_server(server_directory: Path) -> Iterator[RunningServer]:
    """PostgreSQL for the session, started when the first test asks; its data do not survive a crash."""
    server = start_postgres(server_directory, durable=False)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(server_directory: Path) -> Iterator[RunningServer]:
    """Redis for the session, started when the first test asks."""
    server = start_redis(server_directory)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def database_farm(postgres_server: RunningServer) -> DatabaseFarm:
    """Makes databases on the session's server."""
    return DatabaseFarm(postgres_server.url)


@pytest.fixture
def migration_sources() -> tuple[MigrationSource, ...]:
    """Whose tables the test's database has; the core's alone unless overridden."""
    return (CORE,)


@pytest.fixture
def database_url(database_farm: DatabaseFarm, migration_sources: tuple[MigrationSource, ...]) -> Iterator[str]:
    """The URL of a migrated database of the test's own."""
    with database_farm.fresh(migration_sources) as url:
        yield url


@pytest.fixture
def written_events() -> list[Event]:
    """What the test's transactions have written, in order; also what was then rolled back at COMMIT."""
    return []


@pytest.fixture
def outbox_writer(written_events: list[Event]) -> OutboxWriter:
    """Keeps events in `written_events`; a test of deliveries overrides it with the real one."""

    async def write(_: Queries, events: Sequence[Event]) -> None:
        written_events.extend(events)

    return write


@pytest.fixture
async def database(database_url: str, outbox_writer: OutboxWriter) -> AsyncIterator[PostgresDatabase]:
    """The open database of the test."""
    async with open_database(database_url, outbox_writer=outbox_writer) as opened:
        yield opened


@pytest.fixture
def redis_url(redis_server: RunningServer) -> str:
    """The URL of an empty Redis."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        client.connect(unquote(redis_server.url.removeprefix("unix://")))
        client.sendall(b"FLUSHALL\r\n")
        answer = client.recv(64)
    if not answer.startswith(b"+OK"):
        raise RuntimeError(f"Redis did not empty itself: {answer!r}")
    return redis_server.url


@pytest.fixture
async def redis_store(redis_url: str) -> AsyncIterator[RedisStore]:
    """An open store on an empty Redis."""
    async with open_redis(redis_url) as store:
        yield store


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock that only the test moves."""
    return ManualClock()
