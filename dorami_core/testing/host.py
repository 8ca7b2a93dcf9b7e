"""Plugins on a real database, without sockets and web: what a plugin's own tests need.

async with open_bench(database_url, [CatalogPlugin()]) as bench:
    catalog = bench.api(CatalogApi)
    ...
    await bench.deliver()
    assert bench.rooms.heard("room-name")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import attrs

from dorami_core.base.clock import Clock
from dorami_core.base.ids import StreamKey, UserId, ViewerId, new_uuid
from dorami_core.base.principal import Role, UserIdentity
from dorami_core.base.settings import CORE_SECTIONS, RecordingSettings, Settings
from dorami_core.events.codec import EventCodec
from dorami_core.events.outbox import Outbox, OutboxWriter
from dorami_core.events.streams import STREAM_EVENTS
from dorami_core.hooks.dispatch import Dispatcher
from dorami_core.hooks.host import StreamStatus, StreamView, UserView, ViewerMinute
from dorami_core.hooks.hosting import PluginHost, Ports, Shared
from dorami_core.hooks.loader import Loaded
from dorami_core.hooks.plugin import Plugin
from dorami_core.hooks.sockets import Delivery
from dorami_core.hooks.transactions import Queries
from dorami_core.recordings.directory import RecordingDirectory
from dorami_core.store.deadlines import DeadlineRunner, DeadlineStore
from dorami_core.store.migrations import CORE, MigrationSource
from dorami_core.store.postgres import PostgresDatabase, open_database
from dorami_core.testing.clock import ManualClock

T = TypeVar("T")


@attrs.frozen
class Said:
    """One message to a room, a viewer (`to` is the viewer's id) or all (`to` is empty)."""

    namespace: str
    to: str
    event: str
    data: Any


class RecordingRooms:
    """Rooms without sockets: keeps what was said."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.cut: list[tuple[ViewerId, str]] = []

    def emit(self, namespace: str, room: str, event: str, data: Any, *, delivery: Delivery = Delivery.REQUIRED) -> None:
        self.said.append(Said(namespace, room, event, data))

    def emit_to_viewer(self, namespace: str, viewer: ViewerId, event: str, data: Any) -> None:
        self.said.append(Said(namespace, viewer, event, data))

    def emit_to_all(self, namespace: str, event: str, data: Any) -> None:
        self.said.append(Said(namespace, "", event, data))

    def cut_viewer(self, viewer: ViewerId, reason: str) -> None:
        self.cut.append((viewer, reason))

    def heard(self, to: str, event: str | None = None) -> list[Said]:
        """What a room or viewer was told, oldest first."""
        return [said for said in self.said if said.to == to and event in (None, said.event)]


class BenchStreams:
    """Broadcasts that the test makes up."""

    def __init__(self) -> None:
        self._streams: dict[str, StreamView] = {}

    def put(self, stream_key: str, *, status: StreamStatus = "LIVE", free_shipping_enabled: bool = False) -> StreamView:
        now = datetime.now(UTC)
        self._streams[stream_key] = view = StreamView(
            stream_key=StreamKey(stream_key),
            title=stream_key,
            status=status,
            scheduled_at=None,
            started_at=now if status != "PENDING" else None,
            ended_at=now if status == "OFFLINE" else None,
            peak_viewers=0,
            free_shipping_enabled=free_shipping_enabled,
            created_at=now,
        )
        return view

    async def find(self, stream_key: str) -> StreamView | None:
        return self._streams.get(stream_key)

    async def live(self) -> Sequence[StreamView]:
        return [stream for stream in self._streams.values() if stream.status in ("LIVE", "INTERRUPTED")]

    async def upcoming(self) -> Sequence[StreamView]:
        return [stream for stream in self._streams.values() if stream.status == "PENDING"]

    async def list_all(self, limit: int = 50) -> Sequence[StreamView]:
        return list(self._streams.values())[:limit]

    def viewer_count(self, stream_key: str) -> int:
        return 0

    async def viewer_minutes(self, stream_key: str) -> Sequence[ViewerMinute]:
        return []


class BenchUsers:
    """Users that the test makes up."""

    def __init__(self) -> None:
        self._users: dict[UserId, UserView] = {}

    def put(
        self, name: str = "민수", *, role: Role = "USER", shipping_address: dict[str, Any] | None = None
    ) -> UserIdentity:
        user_id = UserId(new_uuid())
        self._users[user_id] = UserView(user_id, f"{user_id}@example.com", name, role, name, shipping_address)
        return UserIdentity(user_id, role, name)

    async def find(self, user_id: UserId, *, using: Queries | None = None) -> UserView | None:
        return self._users.get(user_id)


@attrs.frozen
class Bench:
    """Loaded plugins and what surrounds them."""

    db: PostgresDatabase
    rooms: RecordingRooms
    streams: BenchStreams
    users: BenchUsers
    hooks: Dispatcher
    clock: Clock
    outbox: Outbox
    deadlines: DeadlineRunner
    _apis: Mapping[type, tuple[str, Any]]

    def api(self, api: type[T]) -> T:
        """What a plugin provided; KeyError where none did."""
        return self._apis[api][1]  # type: ignore[no-any-return]

    async def deliver(self) -> None:
        """Hands every event that was committed to its subscribers."""
        while await self.outbox.deliver_once():
            pass

    async def fire_deadlines(self) -> None:
        """Fires every timer that is due by the database's clock."""
        while await self.deadlines.fire_due():
            pass


def migrations_of(plugins: Sequence[Plugin]) -> tuple[MigrationSource, ...]:
    """For the fixture `migration_sources`: the core's and those of the plugins, in the order of what they require."""
    found = []
    for plugin in Loaded(plugins).ordered:
        register = getattr(plugin, "register_migrations", None)
        if register is not None:
            found.append(MigrationSource(plugin.name, register()))
    return (CORE, *found)


@asynccontextmanager
async def open_bench(
    database_url: str,
    plugins: Sequence[Plugin],
    *,
    settings: Mapping[str, Any] | None = None,
    max_connections: int = 16,
) -> AsyncIterator[Bench]:
    """Loads the plugins over a migrated database.

    `settings` are objects of sections, by name; the rest has defaults.
    """
    loaded = Loaded(plugins)
    dispatcher = Dispatcher(loaded.manager)
    codec = EventCodec(STREAM_EVENTS)
    for _, kinds in dispatcher.register("register_events"):
        for kind in kinds:
            codec.add(kind)
    sections = {name: kind() for name, kind in {**CORE_SECTIONS, **loaded.settings_sections()}.items()}
    every_setting = Settings({**sections, **(settings or {})})
    rooms, streams, users, clock = RecordingRooms(), BenchStreams(), BenchUsers(), ManualClock()
    async with open_database(database_url, max_size=max_connections, outbox_writer=OutboxWriter(codec)) as db:
        shared = Shared(
            db,
            rooms,
            DeadlineStore(),
            streams,
            users,
            RecordingDirectory(db, every_setting.section(RecordingSettings)),
            dispatcher,
            clock,
            every_setting,
            Ports(),
        )
        for plugin in loaded.ordered:
            dispatcher.register_one(plugin.name, "register_services", host=PluginHost(plugin, shared))
        handlers = {
            kind: handler for _, found in dispatcher.register("register_deadlines") for kind, handler in found.items()
        }
        outbox = Outbox(db, db, codec, dispatcher.subscribers, dispatcher.deliver)
        await outbox._welcome()
        yield Bench(db, rooms, streams, users, dispatcher, clock, outbox, DeadlineRunner(db, handlers), shared.apis)
