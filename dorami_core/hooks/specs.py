# mypy: disable-error-code="empty-body"
"""Every hook of the core, by the phase its prefix names. HOOKS.md is made from this file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dorami_core.base.errors import ErrorCode
from dorami_core.base.principal import Principal
from dorami_core.events.model import Event, EventMeta
from dorami_core.events.streams import (
    StreamChanged,
    StreamCreated,
    StreamEnded,
    StreamInterrupted,
    StreamResumed,
    StreamStarted,
)
from dorami_core.hooks.host import BackgroundTask, DeadlineHandler, DemoSeed, Host, StreamView
from dorami_core.hooks.http import Router, Templates
from dorami_core.hooks.markers import hookspec
from dorami_core.hooks.sockets import SocketEvents
from dorami_core.hooks.transactions import Tx


class CoreHooks:
    """Implement the ones you need as methods of your plugin class, marked `@hookimpl`."""

    # register_*: once at boot, sync

    @hookspec
    def register_settings(self) -> tuple[str, type]:
        """The plugin's section of the settings: its name and an attrs class with defaults for every field."""

    @hookspec
    def register_error_codes(self) -> Iterable[ErrorCode]:
        """Rows for the error catalogue."""

    @hookspec
    def register_migrations(self) -> str:
        """The package with a `migrations` folder of `NNNN_name.sql` files, run after those of `requires`."""

    @hookspec
    def register_events(self) -> Iterable[type[Event]]:
        """Event classes that this plugin emits."""

    @hookspec
    def register_hookspecs(self) -> type:
        """A class of hookspecs that this plugin fires."""

    @hookspec
    def register_services(self, host: Host) -> None:
        """The database is up and migrated: build your services here, keep `host`, provide your api."""

    @hookspec
    def register_routes(self, router: Router) -> None:
        """Add /api routes and pages."""

    @hookspec
    def register_sockets(self, sockets: SocketEvents) -> None:
        """Add socket events."""

    @hookspec
    def register_templates(self) -> Templates:
        """Templates, static files and messages of a package."""

    @hookspec
    def register_deadlines(self) -> Mapping[str, DeadlineHandler]:
        """Handlers of durable timers by kind (`cart_item`)."""

    @hookspec
    def register_tasks(self) -> Iterable[BackgroundTask]:
        """Functions that run for ever, in one of the processes that serve pages at a time; one that fails is started
        again with a growing pause."""

    @hookspec
    def register_demo(self) -> DemoSeed:
        """An idempotent function that fills the shop for `dorami up --demo`; gets the demo's stream key."""

    # authorize_*, validate_*: before something happens; raise DoramiError to refuse it

    @hookspec
    async def authorize_publish(self, stream: StreamView, address: str) -> None:
        """A publisher with the right secret wants to go live."""

    @hookspec
    async def validate_chat_message(self, principal: Principal, stream_key: str, message: str) -> None:
        """A chat message of an allowed length wants to be sent; its rate is looked at afterwards."""

    # filter_*: pass a value on

    @hookspec
    async def filter_stream_snapshot(self, value: dict[str, Any], stream: StreamView) -> dict[str, Any]:
        """The acknowledgement of `join:stream`; add your part and return it. It serves newcomers of the next quarter of
        a second too where nothing was said in the room since: what changes in your part has to be said there."""

    @hookspec
    async def filter_chat_receipt(
        self, value: dict[str, Any], principal: Principal, stream_key: str, message: str
    ) -> dict[str, Any]:
        """The acknowledgement of `chat:send-message`, for its writer alone: `id`, `seq`, `timestamp`. The message was
        sent already; one that is sent again with its `clientId` comes here again with the same `id`."""

    # *_in_tx: inside the transaction that changes it

    @hookspec
    async def stream_ended_in_tx(self, tx: Tx, stream: StreamView) -> None:
        """A broadcast is going OFFLINE. Not sent for an interruption."""

    @hookspec
    async def rehearse_in_tx(self, tx: Tx) -> None:
        """At the start of each process, on each connection that it begins with, in a transaction that is taken back
        whatever you do: run what will have to be fast, so that it has its plans and caches when it is needed."""

    # on_*: after the commit, from the outbox, at least once

    @hookspec
    async def on_stream_created(self, event: StreamCreated, meta: EventMeta) -> None:
        """A broadcast was made."""

    @hookspec
    async def on_stream_changed(self, event: StreamChanged, meta: EventMeta) -> None:
        """Title, schedule or free shipping changed."""

    @hookspec
    async def on_stream_started(self, event: StreamStarted, meta: EventMeta) -> None:
        """A broadcast went LIVE. Not sent when its publisher returns within the grace time."""

    @hookspec
    async def on_stream_interrupted(self, event: StreamInterrupted, meta: EventMeta) -> None:
        """The publisher is gone without a word, or has sent nothing for five seconds."""

    @hookspec
    async def on_stream_resumed(self, event: StreamResumed, meta: EventMeta) -> None:
        """The publisher is back in the same broadcast."""

    @hookspec
    async def on_stream_ended(self, event: StreamEnded, meta: EventMeta) -> None:
        """A broadcast went OFFLINE."""
