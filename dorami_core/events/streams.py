"""Events of a broadcast."""

from __future__ import annotations

from datetime import datetime

import attrs

from dorami_core.events.model import Event


@attrs.frozen(kw_only=True)
class StreamEvent(Event):
    stream_key: str
    title: str

    @property
    def aggregate(self) -> str:
        return f"stream:{self.stream_key}"


@attrs.frozen(kw_only=True)
class StreamCreated(StreamEvent):
    scheduled_at: datetime | None


@attrs.frozen(kw_only=True)
class StreamChanged(StreamEvent):
    """Title, schedule or free shipping were edited."""

    scheduled_at: datetime | None


@attrs.frozen(kw_only=True)
class StreamStarted(StreamEvent):
    """A publisher's first media arrived; not sent when it returns within the grace time."""

    started_at: datetime


@attrs.frozen(kw_only=True)
class StreamInterrupted(StreamEvent):
    grace_ends_at: datetime


@attrs.frozen(kw_only=True)
class StreamResumed(StreamEvent):
    pass


@attrs.frozen(kw_only=True)
class StreamEnded(StreamEvent):
    """`reason`: seller, publisher_lost, error."""

    reason: str
    ended_at: datetime
    peak_viewers: int


STREAM_EVENTS: tuple[type[Event], ...] = (
    StreamCreated,
    StreamChanged,
    StreamStarted,
    StreamInterrupted,
    StreamResumed,
    StreamEnded,
)
