"""All that a plugin imports from the core."""

from dorami_core.base.both import both
from dorami_core.base.clock import Clock, SystemClock, iso
from dorami_core.base.errors import DoramiError, ErrorCode, Lang, invalid
from dorami_core.base.gathering import Gathering
from dorami_core.base.ids import StreamKey, UserId, ViewerId, is_stream_key, new_uuid
from dorami_core.base.money import CURRENCIES, Money
from dorami_core.base.principal import ANONYMOUS_NAME, Access, Principal, UserIdentity
from dorami_core.base.settings import positive
from dorami_core.base.structure import from_json, plain_maker, to_json, to_plain
from dorami_core.events.model import Event, EventMeta
from dorami_core.events.streams import (
    StreamChanged,
    StreamCreated,
    StreamEnded,
    StreamInterrupted,
    StreamResumed,
    StreamStarted,
)
from dorami_core.hooks.host import (
    BackgroundTask,
    DeadlineHandler,
    DemoSeed,
    Host,
    StreamDirectory,
    StreamView,
    UserDirectory,
    UserView,
    ViewerMinute,
)
from dorami_core.hooks.http import FileAnswer, Page, Paged, Redirect, Request, Router, Templates
from dorami_core.hooks.markers import hookimpl, hookspec
from dorami_core.hooks.plugin import Plugin
from dorami_core.hooks.recordings import (
    Announced,
    ClipView,
    Recordings,
    ReplayPart,
    ReplaySummary,
    ReplayView,
    Span,
    Timeline,
)
from dorami_core.hooks.sockets import Delivery, Rooms, SocketConnection, SocketEvents
from dorami_core.hooks.transactions import Database, Deadlines, Queries, Row, Tx

__all__ = [
    "ANONYMOUS_NAME",
    "CURRENCIES",
    "Access",
    "Announced",
    "BackgroundTask",
    "ClipView",
    "Clock",
    "Database",
    "DeadlineHandler",
    "Deadlines",
    "Delivery",
    "DemoSeed",
    "DoramiError",
    "ErrorCode",
    "Event",
    "EventMeta",
    "FileAnswer",
    "Gathering",
    "Host",
    "Lang",
    "Money",
    "Page",
    "Paged",
    "Plugin",
    "Principal",
    "Queries",
    "Recordings",
    "Redirect",
    "ReplayPart",
    "ReplaySummary",
    "ReplayView",
    "Request",
    "Rooms",
    "Router",
    "Row",
    "SocketConnection",
    "SocketEvents",
    "Span",
    "StreamChanged",
    "StreamCreated",
    "StreamDirectory",
    "StreamEnded",
    "StreamInterrupted",
    "StreamKey",
    "StreamResumed",
    "StreamStarted",
    "StreamView",
    "SystemClock",
    "Templates",
    "Timeline",
    "Tx",
    "UserDirectory",
    "UserId",
    "UserIdentity",
    "UserView",
    "ViewerId",
    "ViewerMinute",
    "both",
    "from_json",
    "hookimpl",
    "hookspec",
    "invalid",
    "is_stream_key",
    "iso",
    "new_uuid",
    "plain_maker",
    "positive",
    "to_json",
    "to_plain",
]
