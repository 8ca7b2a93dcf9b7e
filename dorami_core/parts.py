"""What the roles are made of: each part is built from the ones above it. `app.py` says which role has which."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import trio

from dorami_core.base.clock import Clock, SystemClock
from dorami_core.base.environment import Environment
from dorami_core.base.errors import ErrorCatalogue
from dorami_core.base.settings import (
    CORE_SECTIONS,
    ChatSettings,
    EdgeSettings,
    LimitSettings,
    MediaSettings,
    PresenceSettings,
    RecordingSettings,
    RtmpSettings,
    Settings,
    StreamSettings,
    load_settings,
)
from dorami_core.base.supervision import supervise
from dorami_core.chat.briefly import Briefly
from dorami_core.chat.desk import ChatDesk, open_desk
from dorami_core.edge.link import RedisLink
from dorami_core.edge.recovery import Recovery
from dorami_core.edge.rooms import RoomIndex
from dorami_core.events.codec import EventCodec
from dorami_core.events.outbox import Outbox, OutboxBell, OutboxWriter
from dorami_core.events.streams import STREAM_EVENTS
from dorami_core.hooks.dispatch import Dispatcher
from dorami_core.hooks.host import StreamStatus
from dorami_core.hooks.hosting import PluginHost, Ports, Shared
from dorami_core.hooks.loader import Loaded, load_plugins
from dorami_core.hooks.rehearsal import rehearse
from dorami_core.identity.addresses import AddressCipher
from dorami_core.identity.tokens import Authenticator
from dorami_core.identity.users import Users
from dorami_core.media.hub import RelayHub, open_relay_hub
from dorami_core.presence.ledger import RedisLedger
from dorami_core.presence.viewers import SharedViewers
from dorami_core.recordings.directory import RecordingDirectory
from dorami_core.store.deadlines import DeadlineRunner, DeadlineStore
from dorami_core.store.embedded.postgres import embedded_postgres
from dorami_core.store.embedded.redis import embedded_redis
from dorami_core.store.migrations import CORE, MigrationSource, migrate
from dorami_core.store.postgres import PostgresDatabase, open_database
from dorami_core.store.redis import RedisStore, open_redis
from dorami_core.store.sole import SoleWorker
from dorami_core.streams.announce import StreamAnnouncer
from dorami_core.streams.broadcasts import Broadcasts
from dorami_core.streams.service import StreamService
from dorami_core.streams.session import Companion
from dorami_core.web.housekeeping import keep_house

STATUS_KNOWN_S = 1.0
"""How long the chat goes by what it knows of a broadcast that another process runs."""
Sources = Mapping[str, Any]
"""Statistics by the name of their part, as `make_registry` takes them."""


@asynccontextmanager
async def with_servers(environment: Environment, data: Path) -> AsyncIterator[Environment]:
    """The environment with an address for PostgreSQL and Redis: embedded ones where none was named."""
    async with AsyncExitStack() as stack:
        if environment.database_url is None:
            url = await stack.enter_async_context(embedded_postgres(data))
            environment = attrs.evolve(environment, database_url=url)
        if environment.redis_url is None:
            url = await stack.enter_async_context(embedded_redis(data))
            environment = attrs.evolve(environment, redis_url=url)
        yield environment


@attrs.frozen(kw_only=True)
class Base:
    """What every process has: settings, plugins, stores, an empty hub of relays."""

    environment: Environment
    settings: Settings
    plugins: Loaded
    dispatcher: Dispatcher
    catalogue: ErrorCatalogue
    codec: EventCodec
    clock: Clock
    ports: Ports
    db: PostgresDatabase
    redis: RedisStore
    hub: RelayHub

    def statistics(self) -> Sources:
        return {
            "hook": self.dispatcher.statistics,
            "postgres": self.db.statistics,
            "redis": self.redis.statistics,
            "relay": self.hub.statistics,
        }


@asynccontextmanager
async def open_base(
    environment: Environment, settings_file: Path | None, ports: Ports, *, pool: int = 16
) -> AsyncIterator[Base]:
    """PostgreSQL is migrated, by whoever comes first. `pool` is the largest number of connections to it."""
    assert environment.database_url is not None
    assert environment.redis_url is not None
    plugins = load_plugins()
    settings = load_settings(settings_file, os.environ, {**CORE_SECTIONS, **plugins.settings_sections()})
    dispatcher = Dispatcher(plugins.manager)
    catalogue = ErrorCatalogue()
    for _, codes in dispatcher.register("register_error_codes"):
        catalogue.add(codes)
    codec = EventCodec(STREAM_EVENTS)
    for _, kinds in dispatcher.register("register_events"):
        for kind in kinds:
            codec.add(kind)
    packages = dict(dispatcher.register("register_migrations"))
    sources = [
        MigrationSource(plugin.name, packages[plugin.name]) for plugin in plugins.ordered if plugin.name in packages
    ]
    await migrate(environment.database_url, [CORE, *sources])
    writer = OutboxWriter(codec)
    async with (
        open_database(environment.database_url, min_size=min(2, pool), max_size=pool, outbox_writer=writer) as db,
        open_redis(environment.redis_url) as redis,
        open_relay_hub(settings.section(MediaSettings)) as hub,
    ):
        yield Base(
            environment=environment,
            settings=settings,
            plugins=plugins,
            dispatcher=dispatcher,
            catalogue=catalogue,
            codec=codec,
            clock=SystemClock(),
            ports=ports,
            db=db,
            redis=redis,
            hub=hub,
        )


@attrs.frozen(kw_only=True)
class Core:
    """The services that plugins, pages and sockets are written against; in every process."""

    base: Base
    authenticator: Authenticator
    bell: OutboxBell
    users: Users
    link: RedisLink
    rooms: RoomIndex
    recovery: Recovery
    viewers: SharedViewers
    broadcasts: Broadcasts
    streams: StreamService
    recordings: RecordingDirectory
    chat: ChatDesk

    def statistics(self) -> Sources:
        return {
            **self.base.statistics(),
            "presence": self.viewers.statistics,
            **self.chat.statistics(),
            "rooms": self.rooms.statistics,
            "link": self.link.statistics,
            "recovery": self.recovery.statistics,
        }

    async def start(self, services: trio.Nursery) -> None:
        await services.start(self.link.run, self.rooms)
        services.start_soon(supervise, "outbox bell", self.bell.run)
        services.start_soon(supervise, "presence", self.viewers.run)
        services.start_soon(rehearse, self.base.db, self.base.dispatcher)
        await self.chat.start(services)


def build_core(base: Base, companions: Sequence[Companion] = ()) -> Core:
    """`companions` run with every broadcast, in the process that runs `broadcasts`; elsewhere these only know the
    rows."""
    settings, clock = base.settings, base.clock
    link = RedisLink(base.redis)
    rooms = RoomIndex(settings.section(EdgeSettings).gather_max_s, link)
    lease_s = settings.section(PresenceSettings).lease_s
    viewers = SharedViewers(rooms, clock, RedisLedger(base.redis, lease_s=lease_s), lease_s=lease_s)
    broadcasts = Broadcasts(
        base.db,
        base.dispatcher,
        base.hub,
        clock,
        grace_s=settings.section(StreamSettings).grace_s,
        companions=companions,
        viewer_count=viewers.count,
    )
    viewers.on_count = broadcasts.report_viewers
    streams = StreamService(
        base.db,
        broadcasts,
        clock,
        rtmp_port=lambda: base.ports.rtmp,
        rtmp_public_host=settings.section(RtmpSettings).public_host,
        viewer_count=viewers.count,
    )
    base.plugins.add_internal(StreamAnnouncer(rooms, streams))
    users = Users(base.db, AddressCipher(base.environment.profile_encryption_key), base.environment.admin_emails)
    recordings = RecordingDirectory(base.db, settings.section(RecordingSettings))
    shared = Shared(
        base.db, rooms, DeadlineStore(), streams, users, recordings, base.dispatcher, clock, settings, base.ports
    )
    for plugin in base.plugins.ordered:
        base.dispatcher.register_one(plugin.name, "register_services", host=PluginHost(plugin, shared))
    statuses = Briefly(streams.status, clock, STATUS_KNOWN_S)
    base.db.after_commit.append(statuses.clear)

    async def status_of(stream_key: str) -> StreamStatus | None:
        return broadcasts.status(stream_key) or await statuses.get(stream_key)

    chat = open_desk(
        base.db,
        base.redis,
        link,
        rooms,
        users,
        base.dispatcher,
        clock,
        settings.section(ChatSettings),
        status_of,
        settings.section(LimitSettings).exempt_addresses,
    )
    return Core(
        base=base,
        bell=OutboxBell(base.db),
        authenticator=Authenticator(base.environment.jwt_secret, clock),
        users=users,
        link=link,
        rooms=rooms,
        recovery=Recovery(base.redis),
        viewers=viewers,
        broadcasts=broadcasts,
        streams=streams,
        recordings=recordings,
        chat=chat,
    )


@attrs.frozen(kw_only=True)
class Delivery:
    """What is done after a commit and when its time has come, by one process at a time; where pages are served."""

    outbox: Outbox
    deadlines: DeadlineRunner
    sole: SoleWorker

    def statistics(self) -> Sources:
        return {
            "outbox": self.outbox.statistics,
            "deadline": self.deadlines.statistics,
            "sole_worker": self.sole.statistics,
        }

    def start(self, services: trio.Nursery) -> None:
        services.start_soon(supervise, "outbox", self.outbox.run)
        services.start_soon(supervise, "sole worker", self.sole.run)


def build_delivery(core: Core) -> Delivery:
    base = core.base
    outbox = Outbox(base.db, base.db, base.codec, base.dispatcher.subscribers, base.dispatcher.deliver, core.bell.ring)
    base.db.after_commit.append(outbox.poke)
    handlers = {
        kind: handler for _, found in base.dispatcher.register("register_deadlines") for kind, handler in found.items()
    }
    deadlines = DeadlineRunner(base.db, handlers)
    sole = SoleWorker(base.db)
    sole.add("deadlines", deadlines.run)
    sole.add("outbox purge", outbox.keep_house)
    sole.add("housekeeping", partial(keep_house, base.db))
    for name, tasks in base.dispatcher.register("register_tasks"):
        for task in tasks:
            sole.add(name, task)
    return Delivery(outbox=outbox, deadlines=deadlines, sole=sole)
