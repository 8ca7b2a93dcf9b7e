"""The composition root: what runs, in which nursery, in which order it stops. Imports all; nothing imports it.

Read `_run` from the top: each block stands on the ones above it, and they stop in the reverse order.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import structlog
import trio

from dorami_core import demo
from dorami_core.base.clock import SystemClock
from dorami_core.base.environment import Environment, read_environment
from dorami_core.base.errors import ErrorCatalogue
from dorami_core.base.metrics import make_registry
from dorami_core.base.sealing import Sealer
from dorami_core.base.settings import (
    CORE_SECTIONS,
    ChatSettings,
    EdgeSettings,
    LimitSettings,
    MediaSettings,
    RecordingSettings,
    RestreamSettings,
    RtmpSettings,
    SrsSettings,
    StreamSettings,
    WebSettings,
    load_settings,
)
from dorami_core.base.supervision import supervise
from dorami_core.chat import sockets as chat_sockets
from dorami_core.chat.service import ChatService
from dorami_core.chat.store import ChatStore
from dorami_core.edge.counters import EdgeCounters
from dorami_core.edge.rooms import RoomIndex
from dorami_core.edge.server import serve_edge
from dorami_core.edge.sockets import SocketRegistry
from dorami_core.events.codec import EventCodec
from dorami_core.events.outbox import Outbox, OutboxWriter
from dorami_core.events.streams import STREAM_EVENTS
from dorami_core.hooks.dispatch import Dispatcher
from dorami_core.hooks.hosting import PluginHost, Ports, Shared
from dorami_core.hooks.loader import Loaded, load_plugins
from dorami_core.identity.addresses import AddressCipher
from dorami_core.identity.sessions import SessionStore
from dorami_core.identity.tokens import Authenticator, derive_key
from dorami_core.identity.users import Users
from dorami_core.ingest.server import RtmpServer
from dorami_core.ingest.srs import SrsIngest
from dorami_core.media.hls import open_hls_writer
from dorami_core.media.hub import open_relay_hub
from dorami_core.media.out import VideoOut
from dorami_core.media.thumbnails import open_thumbnails
from dorami_core.presence import sockets as presence_sockets
from dorami_core.presence.viewers import LocalViewers
from dorami_core.recordings import routes as recording_routes
from dorami_core.recordings.keeper import Keeper
from dorami_core.recordings.recorder import Recorder
from dorami_core.restream import routes as restream_routes
from dorami_core.restream.restreams import Restreams
from dorami_core.restream.service import RestreamService
from dorami_core.store.datadir import DataDirectory, open_data_directory
from dorami_core.store.deadlines import DeadlineRunner, DeadlineStore
from dorami_core.store.embedded.postgres import embedded_postgres
from dorami_core.store.embedded.redis import embedded_redis
from dorami_core.store.migrations import CORE, MigrationSource, migrate
from dorami_core.store.postgres import PostgresDatabase, open_database
from dorami_core.store.redis import RedisStore, open_redis
from dorami_core.streams import routes as stream_routes
from dorami_core.streams import sockets as stream_sockets
from dorami_core.streams import srs_routes
from dorami_core.streams.announce import StreamAnnouncer
from dorami_core.streams.broadcasts import Broadcasts
from dorami_core.streams.service import StreamService
from dorami_core.web.app import build_app
from dorami_core.web.auth_routes import IdentityRoutes
from dorami_core.web.csrf import CsrfTokens
from dorami_core.web.dependencies import HealthCheck, WebDependencies
from dorami_core.web.housekeeping import keep_house
from dorami_core.web.router import WebRouter
from dorami_core.web.serve import serve_web

log = structlog.get_logger()

STOP_LIMIT_S = 9.0
"""After this long an orderly stop is given up; whatever is left dies with the process."""


@attrs.frozen(kw_only=True)
class UpOptions:
    """What `dorami up` was asked for. `settings_file` None: defaults and environment alone; port 0 picks one."""

    data: Path
    settings_file: Path | None = None
    host: str = "127.0.0.1"
    web_port: int = 8000
    edge_port: int = 8080
    rtmp_port: int = 1935
    demo: bool = False


@attrs.frozen
class Stores:
    db: PostgresDatabase
    redis: RedisStore


async def up(options: UpOptions) -> None:
    """Runs until SIGINT or SIGTERM, then stops in order; a second signal, or STOP_LIMIT_S, ends it at once."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as watch:
            running = trio.CancelScope()

            async def obey() -> None:
                await anext(signals)
                log.info("stopping")
                running.cancel()
                with trio.move_on_after(STOP_LIMIT_S):
                    await anext(signals)
                os._exit(1)

            watch.start_soon(obey)
            with running, open_data_directory(options.data) as data:
                await _run(options, data)
            watch.cancel_scope.cancel()


async def _run(options: UpOptions, data: DataDirectory) -> None:
    environment = read_environment(os.environ, data.secret)
    plugins = load_plugins()
    settings = load_settings(options.settings_file, os.environ, {**CORE_SECTIONS, **plugins.settings_sections()})
    dispatcher = Dispatcher(plugins.manager)
    catalogue = ErrorCatalogue()
    for _, codes in dispatcher.register("register_error_codes"):
        catalogue.add(codes)
    codec = EventCodec(STREAM_EVENTS)
    for _, kinds in dispatcher.register("register_events"):
        for kind in kinds:
            codec.add(kind)
    clock, ports = SystemClock(), Ports()

    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(_open_stores(data, environment, plugins, dispatcher, codec))
        db = stores.db

        media = settings.section(MediaSettings)
        hub = await stack.enter_async_context(open_relay_hub(media))
        thumbnails = await stack.enter_async_context(open_thumbnails(hub, data.path / "thumbnails", media))
        hls = await stack.enter_async_context(open_hls_writer(hub, data.path / "hls", media))

        authenticator = Authenticator(environment.jwt_secret, clock)
        users = Users(db, AddressCipher(environment.profile_encryption_key), environment.admin_emails)
        rooms = RoomIndex(settings.section(EdgeSettings).gather_max_s)
        sockets = SocketRegistry()
        viewers = LocalViewers(rooms, clock)
        sealer = Sealer(environment.profile_encryption_key)
        restreams = Restreams(db, hub, lambda: streams, sealer, clock, settings.section(RestreamSettings), media)
        recording = settings.section(RecordingSettings)
        recorder = Recorder(db, hub, lambda: streams, data.path / "recordings", clock, recording, media)
        keeper = Keeper(db, data.path / "recordings", recording)
        broadcasts = Broadcasts(
            db,
            dispatcher,
            hub,
            clock,
            grace_s=settings.section(StreamSettings).grace_s,
            companions=[hls.run, thumbnails.run, recorder.run, restreams.run],
            viewer_count=viewers.count,
        )
        viewers.on_count = broadcasts.report_viewers
        rtmp = settings.section(RtmpSettings)
        streams = StreamService(
            db,
            broadcasts,
            clock,
            rtmp_port=lambda: ports.rtmp,
            rtmp_public_host=rtmp.public_host,
            viewer_count=viewers.count,
        )
        plugins.add_internal(StreamAnnouncer(rooms, streams))
        chat = ChatService(
            ChatStore(stores.redis), streams.status, rooms, dispatcher, clock, settings.section(ChatSettings)
        )

        shared = Shared(db, rooms, DeadlineStore(), streams, users, dispatcher, clock, settings, ports)
        for plugin in plugins.ordered:
            dispatcher.register_one(plugin.name, "register_services", host=PluginHost(plugin, shared))

        stream_sockets.register(sockets, streams, viewers, rooms, dispatcher, clock)
        presence_sockets.register(sockets, streams, viewers)
        chat_sockets.register(sockets, chat)
        dispatcher.register("register_sockets", sockets=sockets)

        outbox = Outbox(db, db, codec, dispatcher.subscribers, dispatcher.deliver)
        db.after_commit.append(outbox.poke)
        handlers = {
            kind: handler for _, found in dispatcher.register("register_deadlines") for kind, handler in found.items()
        }
        deadlines = DeadlineRunner(db, handlers)
        ingest = RtmpServer(broadcasts, rtmp, exempt_addresses=settings.section(LimitSettings).exempt_addresses)
        srs = SrsIngest(broadcasts, streams.open_secret, settings.section(SrsSettings))
        edge_counters = EdgeCounters()
        metrics = make_registry(
            {
                "hook": dispatcher.statistics,
                "outbox": outbox.statistics,
                "deadline": deadlines.statistics,
                "postgres": db.statistics,
                "redis": stores.redis.statistics,
                "rtmp": ingest.statistics,
                "srs": srs.statistics,
                "relay": hub.statistics,
                "hls": hls.statistics,
                "thumbnail": thumbnails.statistics,
                "recording": recorder.statistics,
                "restream": restreams.statistics,
                "presence": viewers.statistics,
                "chat": chat.statistics,
                "broadcast": lambda: broadcasts.statistics().broadcasts,
                "rooms": rooms.statistics,
                "edge": edge_counters.statistics,
            }
        )

        web = settings.section(WebSettings)
        router = WebRouter()
        IdentityRoutes(users, SessionStore(db), authenticator, dev_login=environment.app_env != "production").register(
            router
        )
        stream_routes.register(router, streams)
        if media.server == "srs":
            srs_routes.register(router, srs, settings.section(SrsSettings))
        catalogue.add(recording_routes.CODES)
        recording_routes.register(router, keeper)
        catalogue.add(restream_routes.CODES)
        restream_routes.register(router, RestreamService(db, streams, sealer, restreams.poke), clock)
        dispatcher.register("register_routes", router=router)
        app = build_app(
            router,
            WebDependencies(
                db=db,
                authenticator=authenticator,
                csrf=CsrfTokens(derive_key(environment.jwt_secret, "csrf")),
                catalogue=catalogue,
                clock=clock,
                app_env=environment.app_env,
                edge_port=lambda: ports.edge,
                metrics=metrics,
                csrf_enabled=environment.csrf_enabled,
                hosts=web.hosts,
                cors_origins=environment.cors_origins,
                trusted_proxies=web.trusted_proxies,
                metrics_token=web.metrics_token,
                health_checks={
                    "database": HealthCheck(partial(db.fetchval, "SELECT 1")),
                    "redis": HealthCheck(stores.redis.ping, required=False),
                },
                templates=[templates for _, templates in dispatcher.register("register_templates")],
            ),
        )

        # What delivers starts first and stops last, so that whatever the listeners still do is told.
        services = await stack.enter_async_context(_nursery())
        services.start_soon(supervise, "outbox", outbox.run)
        services.start_soon(supervise, "outbox purge", outbox.keep_house)
        services.start_soon(supervise, "deadlines", deadlines.run)
        services.start_soon(supervise, "presence", viewers.run)
        services.start_soon(supervise, "recordings", keeper.run)
        services.start_soon(supervise, "housekeeping", partial(keep_house, db))
        for name, tasks in dispatcher.register("register_tasks"):
            for task in tasks:
                services.start_soon(supervise, name, task)
        await services.start(broadcasts.run)

        listeners = await stack.enter_async_context(_nursery())
        ports.edge = await listeners.start(
            partial(
                serve_edge,
                options.host,
                options.edge_port,
                settings=settings.section(EdgeSettings),
                hosts=web.hosts,
                cors_origins=environment.cors_origins,
                trusted_proxies=web.trusted_proxies,
                web_port=lambda: ports.web,
                authenticator=authenticator,
                sockets=sockets,
                rooms=rooms,
                video=VideoOut(hub, hls, thumbnails),
                catalogue=catalogue,
                clock=clock,
                counters=edge_counters,
                flv_queue_max_bytes=2 * media.viewer_queue_max_bytes,
            )
        )
        if media.server == "srs":
            listeners.start_soon(supervise, "srs", srs.run)
            ports.rtmp = settings.section(SrsSettings).rtmp_port
        else:
            ports.rtmp = await listeners.start(ingest.serve, options.host, options.rtmp_port)
        ports.web = await listeners.start(serve_web, app, options.host, options.web_port)
        if options.demo:
            await demo.start(
                listeners, data.path / "demo", streams, broadcasts, users, dispatcher.register("register_demo")
            )
        host = f"[{options.host}]" if ":" in options.host else options.host
        if options.demo:
            await demo.introduce(streams, f"http://{host}:{ports.web}", host)
        print(
            f"dorami ready web=http://{host}:{ports.web} edge=http://{host}:{ports.edge} rtmp=rtmp://{host}:{ports.rtmp}/live",
            flush=True,
        )
        await trio.sleep_forever()


@asynccontextmanager
async def _open_stores(
    data: DataDirectory, environment: Environment, plugins: Loaded, dispatcher: Dispatcher, codec: EventCodec
) -> AsyncIterator[Stores]:
    """PostgreSQL, migrated, and Redis: the named ones, or embedded ones in the data directory."""
    async with AsyncExitStack() as stack:
        database_url, redis_url = environment.database_url, environment.redis_url
        if database_url is None:
            database_url = await stack.enter_async_context(embedded_postgres(data.path))
        if redis_url is None:
            redis_url = await stack.enter_async_context(embedded_redis(data.path))
        packages = dict(dispatcher.register("register_migrations"))
        sources = [
            MigrationSource(plugin.name, packages[plugin.name]) for plugin in plugins.ordered if plugin.name in packages
        ]
        await migrate(database_url, [CORE, *sources])
        db = await stack.enter_async_context(open_database(database_url, outbox_writer=OutboxWriter(codec)))
        redis = await stack.enter_async_context(open_redis(redis_url))
        yield Stores(db, redis)


@asynccontextmanager
async def _nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery that is cancelled when its block ends."""
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        finally:
            nursery.cancel_scope.cancel()
