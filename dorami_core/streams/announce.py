"""Tells viewers what happened to a broadcast, after the commit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dorami_core.base.clock import iso
from dorami_core.events.model import EventMeta
from dorami_core.events.streams import (
    StreamChanged,
    StreamCreated,
    StreamEnded,
    StreamInterrupted,
    StreamResumed,
    StreamStarted,
)
from dorami_core.hooks.host import StreamDirectory, StreamStatus
from dorami_core.hooks.markers import hookimpl
from dorami_core.hooks.plugin import Plugin
from dorami_core.hooks.sockets import Rooms

NAMESPACE = "/streaming"


class StreamAnnouncer(Plugin):
    """`stream:status` and `stream:ended` to the room of the stream, `upcoming:updated` to everybody.

    An event that is delivered twice says the same again, which harms nobody.
    """

    name = "dorami_streams"

    def __init__(self, rooms: Rooms, streams: StreamDirectory) -> None:
        self._rooms = rooms
        self._streams = streams

    @hookimpl
    async def on_stream_created(self, event: StreamCreated, meta: EventMeta) -> None:
        await self._upcoming(event.stream_key)

    @hookimpl
    async def on_stream_changed(self, event: StreamChanged, meta: EventMeta) -> None:
        await self._upcoming(event.stream_key)

    @hookimpl
    async def on_stream_started(self, event: StreamStarted, meta: EventMeta) -> None:
        self._status(event.stream_key, "LIVE", event.started_at)
        await self._upcoming(event.stream_key)

    @hookimpl
    async def on_stream_interrupted(self, event: StreamInterrupted, meta: EventMeta) -> None:
        self._status(event.stream_key, "INTERRUPTED", meta.at, grace_ends_at=event.grace_ends_at)

    @hookimpl
    async def on_stream_resumed(self, event: StreamResumed, meta: EventMeta) -> None:
        self._status(event.stream_key, "LIVE", meta.at)

    @hookimpl
    async def on_stream_ended(self, event: StreamEnded, meta: EventMeta) -> None:
        self._status(event.stream_key, "OFFLINE", event.ended_at)
        self._rooms.emit(
            NAMESPACE, event.stream_key, "stream:ended", {"streamKey": event.stream_key, "reason": event.reason}
        )
        await self._upcoming(event.stream_key)

    def _status(
        self, stream_key: str, status: StreamStatus, since: datetime, *, grace_ends_at: datetime | None = None
    ) -> None:
        data: dict[str, Any] = {"streamKey": stream_key, "status": status, "since": iso(since)}
        if grace_ends_at is not None:
            data["graceEndsAt"] = iso(grace_ends_at)
        self._rooms.emit(NAMESPACE, stream_key, "stream:status", data)

    async def _upcoming(self, stream_key: str) -> None:
        """The row as it is now, so that a late delivery never shows an old schedule."""
        stream = await self._streams.find(stream_key)
        if stream is not None:
            self._rooms.emit_to_all(
                "/",
                "upcoming:updated",
                {
                    "streamKey": stream_key,
                    "title": stream.title,
                    "status": stream.status,
                    "scheduledAt": iso(stream.scheduled_at) if stream.scheduled_at else None,
                },
            )
