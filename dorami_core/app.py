"""The composition root: which role runs what, in which nursery, and how it stops. Imports all; nothing imports it.

Read a role from the top: each line stands on the ones above it, and they stop in the reverse order.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import structlog
import trio

from dorami_core import demo
from dorami_core.base.environment import Environment, read_environment, read_shared_environment
from dorami_core.base.metrics import make_registry
from dorami_core.base.processes import calm_garbage_collection, make_room_for_files
from dorami_core.edge.handover import new_name, open_handover
from dorami_core.edge.placement import Place
from dorami_core.edge.processes import EdgeProcesses
from dorami_core.edge.server import reserve
from dorami_core.fronts import build_edge, build_web
from dorami_core.hooks.hosting import Ports
from dorami_core.media.out import NoVideo
from dorami_core.parts import build_core, build_delivery, open_base, with_servers
from dorami_core.store.datadir import find_secret, make_private, open_data_directory
from dorami_core.studio import RECORDINGS, open_studio, register_recordings, register_restreams
from dorami_core.web.serve import serve_web

log = structlog.get_logger()

STOP_LIMIT_S = 9.0
"""After this long an orderly stop is given up; whatever is left dies with the process."""
MAIN = "main"
"""What the process that has the relays is called among its neighbours."""
POOL_OF_EDGES = 64
"""Connections to PostgreSQL that all edge processes of one `dorami up` may have; the embedded one takes 100."""


@attrs.frozen(kw_only=True)
class Options:
    """What every command takes. `settings_file` None: defaults and environment alone; port 0 picks one.

    Of `dorami web` and `dorami edge` each listens on the port of its own; the other ports are where the rest is found.
    """

    data: Path
    settings_file: Path | None = None
    host: str = "127.0.0.1"
    web_port: int = 8000
    edge_port: int = 8080
    rtmp_port: int = 1935


@attrs.frozen(kw_only=True)
class UpOptions(Options):
    """`edges` 0: the edge is in this process."""

    demo: bool = False
    edges: int = 0


@attrs.frozen(kw_only=True)
class EdgeOptions(Options):
    """`name` is this process's among its neighbours, "" picks one; `pool` bounds its connections to PostgreSQL. A child
    of `dorami up` shares its port with others, and stops when its stdin closes."""

    name: str = ""
    pool: int = 16
    is_child: bool = False


async def up(options: UpOptions) -> None:
    """Everything, in this process or with edge processes of its own, until SIGINT or SIGTERM."""
    await _until_told(partial(_main, options))


async def web(options: Options) -> None:
    """Pages and `/api`, until SIGINT or SIGTERM."""
    await _until_told(partial(_web, options))


async def edge(options: EdgeOptions) -> None:
    """Sockets of viewers, until SIGINT or SIGTERM."""
    await _until_told(partial(_edge, options), _stdin_closes if options.is_child else None)


async def _main(options: UpOptions) -> None:
    async with AsyncExitStack() as stack:
        data = stack.enter_context(open_data_directory(options.data))
        environment = read_environment(os.environ, data.secret)
        environment = await stack.enter_async_context(with_servers(environment, data.path))
        ports = Ports()
        base = await stack.enter_async_context(open_base(environment, options.settings_file, ports))
        studio = await stack.enter_async_context(open_studio(base, data.path))
        handover = stack.enter_context(open_handover(data.path / "run", MAIN))

        core = build_core(base, studio.companions)
        studio.attach(core)
        delivery = build_delivery(core)
        edge = build_edge(core, Place(handover, takes_viewers=not options.edges))
        processes = EdgeProcesses(
            options.edges, partial(_edge_command, options, data.path, ports), _environ(environment), handover.bury
        )
        metrics = make_registry(
            {
                **core.statistics(),
                **delivery.statistics(),
                **edge.statistics(),
                **studio.statistics(),
                "edge_process": processes.statistics,
            }
        )
        pages = build_web(core, metrics, [studio.register_routes], handover)

        # What delivers starts first and stops last, so that whatever the listeners still do is told.
        services = await stack.enter_async_context(_nursery())
        await core.start(services)
        delivery.start(services)
        studio.start(services)
        await services.start(core.broadcasts.run)

        listeners = await stack.enter_async_context(_nursery())
        if options.edges:
            ports.edge = stack.enter_context(reserve(options.host, options.edge_port)).getsockname()[1]
            await listeners.start(edge.serve, options.host, None, studio.video, metrics)
        else:
            ports.edge = await listeners.start(edge.serve, options.host, options.edge_port, studio.video, metrics)
        ports.rtmp = await studio.listen(listeners, options.host, options.rtmp_port)
        ports.web = await listeners.start(serve_web, pages, options.host, options.web_port)
        if options.edges:
            await listeners.start(processes.run)
        if options.demo:
            seeds = base.dispatcher.register("register_demo")
            await demo.start(listeners, data.path / "demo", core.streams, core.broadcasts, core.users, seeds)
            await demo.introduce(core.streams, _address(options.host, ports.web), _in_url(options.host))
        _say_ready(options.host, web=ports.web, edge=ports.edge, rtmp=ports.rtmp)
        await trio.sleep_forever()


async def _web(options: Options) -> None:
    async with AsyncExitStack() as stack:
        environment = read_shared_environment("web", os.environ, partial(find_secret, options.data))
        ports = Ports(edge=options.edge_port, rtmp=options.rtmp_port)
        base = await stack.enter_async_context(open_base(environment, options.settings_file, ports))
        core = build_core(base)
        delivery = build_delivery(core)
        metrics = make_registry({**core.statistics(), **delivery.statistics()})
        recordings = partial(register_recordings, core, options.data / RECORDINGS)
        pages = build_web(core, metrics, [partial(register_restreams, core), recordings])

        services = await stack.enter_async_context(_nursery())
        await core.start(services)
        delivery.start(services)

        listeners = await stack.enter_async_context(_nursery())
        ports.web = await listeners.start(serve_web, pages, options.host, options.web_port)
        _say_ready(options.host, web=ports.web)
        await trio.sleep_forever()


async def _edge(options: EdgeOptions) -> None:
    async with AsyncExitStack() as stack:
        environment = read_shared_environment("edge", os.environ, partial(find_secret, options.data))
        data = options.data.absolute()
        ports = Ports(web=options.web_port, rtmp=options.rtmp_port)
        base = await stack.enter_async_context(open_base(environment, options.settings_file, ports, pool=options.pool))
        make_private(data)
        handover = stack.enter_context(open_handover(data / "run", options.name or new_name("e")))
        core = build_core(base)
        edge = build_edge(core, Place(handover, video=MAIN))
        metrics = make_registry({**core.statistics(), **edge.statistics()})
        base.db.after_commit.append(core.bell.ring)  # it delivers nothing itself

        services = await stack.enter_async_context(_nursery())
        await core.start(services)

        listeners = await stack.enter_async_context(_nursery())
        serve = partial(edge.serve, shares_port=options.is_child)
        ports.edge = await listeners.start(serve, options.host, options.edge_port, NoVideo(), metrics)
        _say_ready(options.host, edge=ports.edge)
        if options.is_child:
            os.dup2(2, 1)  # nobody reads on after that line
        await trio.sleep_forever()


async def _until_told(run: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]] | None = None) -> None:
    """Runs until SIGINT, SIGTERM or the end of `stop`, then stops in order; a further signal, or STOP_LIMIT_S, ends it
    at once."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        make_room_for_files()
        async with trio.open_nursery() as watch:
            running = trio.CancelScope()

            async def wait_for(told: Callable[[], Awaitable[object]], scope: trio.CancelScope) -> None:
                await told()
                scope.cancel()

            async def obey() -> None:
                async with trio.open_nursery() as first:
                    first.start_soon(wait_for, partial(anext, signals), first.cancel_scope)
                    if stop is not None:
                        first.start_soon(wait_for, stop, first.cancel_scope)
                log.info("stopping")
                running.cancel()
                with trio.move_on_after(STOP_LIMIT_S):
                    await anext(signals)
                os._exit(1)

            watch.start_soon(obey)
            with running:
                await run()
            watch.cancel_scope.cancel()


async def _stdin_closes() -> None:
    await trio.lowlevel.wait_readable(sys.stdin.fileno())


def _edge_command(options: UpOptions, data: Path, ports: Ports, name: str) -> list[str]:
    wish = {
        "data": str(data),
        "settings_file": str(options.settings_file.absolute()) if options.settings_file is not None else None,
        "host": options.host,
        "web_port": ports.web,
        "edge_port": ports.edge,
        "rtmp_port": ports.rtmp,
        "name": name,
        "pool": max(2, POOL_OF_EDGES // options.edges),
    }
    return [sys.executable, "-m", "dorami_core.edge_child", str(os.getpid()), json.dumps(wish)]


def _environ(environment: Environment) -> dict[str, str]:
    """What a child process is to find: the addresses and secrets of this one."""
    return {
        **os.environ,
        "DATABASE_URL": environment.database_url or "",
        "REDIS_URL": environment.redis_url or "",
        "JWT_SECRET": environment.jwt_secret,
        "PROFILE_ENCRYPTION_KEY": environment.profile_encryption_key,
    }


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _address(host: str, port: int, scheme: str = "http") -> str:
    return f"{scheme}://{_in_url(host)}:{port}"


def _say_ready(host: str, *, web: int | None = None, edge: int | None = None, rtmp: int | None = None) -> None:
    parts = [] if web is None else [f"web={_address(host, web)}"]
    parts += [] if edge is None else [f"edge={_address(host, edge)}"]
    parts += [] if rtmp is None else [f"rtmp={_address(host, rtmp, 'rtmp')}/live"]
    calm_garbage_collection()
    print(f"dorami ready {' '.join(parts)}", flush=True)


@asynccontextmanager
async def _nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery that is cancelled when its block ends."""
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        finally:
            nursery.cancel_scope.cancel()
