"""What plugins know of recordings: replays of ended broadcasts, and clips out of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

import attrs

from dorami_core.base.ids import StreamKey
from dorami_core.hooks.transactions import Tx

ClipStatus = Literal["WAITING", "READY", "FAILED"]


@attrs.frozen
class Span:
    """A piece in which video and clock run alike: where it begins in the video and by the clock (Unix), and how long
    it is."""

    at_ms: int
    unix_ms: int
    length_ms: int


@attrs.frozen
class Timeline:
    """Between the time in a video and the clock. `spans` ascend in both; between two of them the clock went on while
    the video did not."""

    spans: Sequence[Span]

    @property
    def length_ms(self) -> int:
        return self.spans[-1].at_ms + self.spans[-1].length_ms if self.spans else 0

    def at_ms(self, moment: datetime) -> int:
        """Where in the video this moment is; what fell into a gap is where the video goes on, what was before it or
        after it at its beginning or end."""
        unix_ms = round(moment.timestamp() * 1000)
        found = bisect_right(self.spans, unix_ms, key=lambda span: span.unix_ms) - 1
        if found < 0:
            return 0
        span = self.spans[found]
        return span.at_ms + min(unix_ms - span.unix_ms, span.length_ms)

    def moment(self, at_ms: int) -> datetime:
        """What the clock said there; ValueError for a timeline without spans."""
        if not self.spans:
            raise ValueError("an empty timeline has no moments")
        found = max(0, bisect_right(self.spans, at_ms, key=lambda span: span.at_ms) - 1)
        span = self.spans[found]
        offset_ms = max(0, min(at_ms - span.at_ms, span.length_ms))
        return datetime.fromtimestamp(span.unix_ms / 1000, UTC) + timedelta(milliseconds=offset_ms)


@attrs.frozen(kw_only=True)
class ReplayPart:
    """One file; parts are played one after another. `starts_ms` is where it begins in the replay."""

    number: int
    starts_ms: int
    duration_ms: int
    video_url: str


@attrs.frozen(kw_only=True)
class ReplaySummary:
    """An ended broadcast that can be watched again; a `public` one by everybody, others by staff."""

    id: UUID
    stream_key: StreamKey
    title: str
    started_at: datetime
    duration_ms: int
    public: bool


@attrs.frozen(kw_only=True)
class ReplayView(ReplaySummary):
    """With its files. `ended_at` is the end of the last of them."""

    ended_at: datetime
    parts: list[ReplayPart]
    timeline: Timeline


@attrs.frozen(kw_only=True)
class ClipView:
    """A piece of a recording in which `subject` was shown. `url` once it is READY."""

    id: UUID
    stream_key: StreamKey
    subject: UUID
    since: datetime
    status: ClipStatus
    duration_ms: int
    url: str | None


@attrs.frozen
class Announced:
    """How many recordings were announced to be deleted, and when the first of them goes."""

    count: int
    first_at: datetime | None


class Recordings(Protocol):
    """`host.recordings`. Where `staff` is False, only what is public."""

    async def replay(self, replay_id: UUID, *, staff: bool = False) -> ReplayView:
        """REPLAY_NOT_FOUND, also while the broadcast is still on air or its last part is being written."""
        ...

    async def replay_of(self, stream_key: str, *, staff: bool = False) -> ReplaySummary | None:
        """The newest replay of a broadcast."""
        ...

    async def replays(
        self, *, stream_key: str | None = None, after: UUID | None = None, limit: int = 50, staff: bool = False
    ) -> Sequence[ReplaySummary]:
        """Newest first, from the one after `after`."""
        ...

    async def clips(self, subjects: Sequence[UUID], limit: int = 20, *, staff: bool = False) -> Sequence[ClipView]:
        """Those that are READY, newest first."""
        ...

    async def request_clip(self, tx: Tx, stream_key: str, subject: UUID, since: datetime, until: datetime) -> None:
        """Has a clip made of what was recorded between these moments, within some seconds after `until`. None is made
        of less than `recordings.clip_min_s`, nor while too many wait; a longer one than `recordings.clip_max_s` is cut
        off there."""
        ...

    async def announced(self) -> Announced: ...
