"""The object behind `hooks.Host`: one for each plugin."""

from __future__ import annotations

from typing import Any, TypeVar

import attrs

from dorami_core.base.clock import Clock
from dorami_core.base.settings import Settings, ShopSettings
from dorami_core.hooks.host import HookCaller, StreamDirectory, UserDirectory
from dorami_core.hooks.plugin import Plugin
from dorami_core.hooks.recordings import Recordings
from dorami_core.hooks.sockets import Rooms
from dorami_core.hooks.transactions import Database, Deadlines

T = TypeVar("T")


@attrs.define
class Ports:
    """The ports of this process, known once they listen."""

    web: int = 0
    edge: int = 0
    rtmp: int = 0


@attrs.frozen
class Shared:
    """What all plugins are given alike."""

    db: Database
    rooms: Rooms
    deadlines: Deadlines
    streams: StreamDirectory
    users: UserDirectory
    recordings: Recordings
    hooks: HookCaller
    clock: Clock
    settings: Settings
    ports: Ports
    apis: dict[type, tuple[str, Any]] = attrs.field(factory=dict)


class PluginHost:
    """Implements `hooks.Host` for one plugin; a plugin gets only the APIs of those that it requires."""

    def __init__(self, plugin: Plugin, shared: Shared) -> None:
        self._plugin = plugin
        self._shared = shared
        self.db = shared.db
        self.rooms = shared.rooms
        self.deadlines = shared.deadlines
        self.streams = shared.streams
        self.users = shared.users
        self.recordings = shared.recordings
        self.hooks = shared.hooks
        self.clock = shared.clock

    @property
    def currency(self) -> str:
        return self._shared.settings.section(ShopSettings).currency

    @property
    def timezone(self) -> str:
        return self._shared.settings.section(ShopSettings).timezone

    @property
    def web_port(self) -> int:
        return self._shared.ports.web

    @property
    def edge_port(self) -> int:
        return self._shared.ports.edge

    def settings(self, section: type[T]) -> T:
        return self._shared.settings.section(section)

    def provide(self, api: type[T], implementation: T) -> None:
        """ValueError where another plugin offers it already."""
        if api in self._shared.apis:
            raise ValueError(f"{api.__name__} is provided twice")
        self._shared.apis[api] = (self._plugin.name, implementation)

    def api(self, api: type[T]) -> T:
        """LookupError where no plugin of `requires` provides it."""
        provider, implementation = self._shared.apis.get(api, ("", None))
        if provider not in (*self._plugin.requires, self._plugin.name):
            raise LookupError(f"{self._plugin.name} uses {api.__name__}, which no plugin that it requires provides")
        return implementation  # type: ignore[no-any-return]
