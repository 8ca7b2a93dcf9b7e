"""A broadcast's row, and what may be changed in it."""

from __future__ import annotations

from datetime import datetime

import attrs

from dorami_core.base.ids import StreamKey
from dorami_core.hooks.host import StreamStatus, StreamView

ON_AIR: frozenset[StreamStatus] = frozenset({"LIVE", "INTERRUPTED"})
CHAT_OPEN: frozenset[StreamStatus] = frozenset({"PENDING", "LIVE", "INTERRUPTED"})
MAX_TITLE_CHARS = 200


@attrs.frozen
class StreamRow:
    """All of `streams.streams`; `view` is the part that anybody may see."""

    stream_key: StreamKey
    title: str
    status: StreamStatus
    secret: str = attrs.field(repr=False)
    scheduled_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    grace_ends_at: datetime | None
    session_no: int
    peak_viewers: int
    free_shipping_enabled: bool
    closed: bool
    created_at: datetime

    @property
    def view(self) -> StreamView:
        return StreamView(
            stream_key=self.stream_key,
            title=self.title,
            status=self.status,
            scheduled_at=self.scheduled_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
            peak_viewers=self.peak_viewers,
            free_shipping_enabled=self.free_shipping_enabled,
            created_at=self.created_at,
        )


@attrs.frozen
class PublishAddress:
    """What goes into an encoder: server and stream key."""

    url: str
    key: str = attrs.field(repr=False)


def clean_title(title: str) -> str:
    """Without blanks around it; ValueError unless 1 to 200 characters stay."""
    title = title.strip()
    if not 1 <= len(title) <= MAX_TITLE_CHARS:
        raise ValueError(f"must have 1 to {MAX_TITLE_CHARS} characters")
    return title
