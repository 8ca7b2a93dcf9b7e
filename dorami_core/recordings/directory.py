"""Replays and clips as anybody may ask for them, from their rows alone. Implements `hooks.Recordings`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import is_stream_key
from dorami_core.base.settings import RecordingSettings
from dorami_core.hooks.recordings import Announced, ClipView, ReplayPart, ReplaySummary, ReplayView
from dorami_core.hooks.transactions import Database, Row, Tx
from dorami_core.recordings import clip_store, replay_store, store
from dorami_core.recordings.model import Clip, timeline_of

NOT_FOUND = "REPLAY_NOT_FOUND"


class RecordingDirectory:
    """In every process."""

    def __init__(self, db: Database, settings: RecordingSettings) -> None:
        self._db = db
        self._settings = settings

    async def replay(self, replay_id: UUID, *, staff: bool = False) -> ReplayView:
        row = await replay_store.find(self._db, replay_id, staff=staff)
        if row is None:
            raise DoramiError(NOT_FOUND)
        parts = [
            part
            for part in await store.parts_of_session(self._db, row["live_id"], row["session_at"])
            if part.status == "READY" and part.duration_ms > 0
        ]
        if not parts:
            raise DoramiError(NOT_FOUND)  # the last one has just been deleted
        shown: list[ReplayPart] = []
        start_ms = 0
        for part in parts:
            url = f"/api/replays/{replay_id}/parts/{part.number}"
            shown.append(
                ReplayPart(number=part.number, starts_ms=start_ms, duration_ms=part.duration_ms, video_url=url)
            )
            start_ms += part.duration_ms
        return ReplayView(
            id=row["id"],
            stream_key=row["live_id"],
            title=row["title"],
            started_at=row["session_at"],
            duration_ms=start_ms,
            public=row["public"],
            ended_at=max(part.ended_at or part.updated_at for part in parts),
            parts=shown,
            timeline=timeline_of(parts),
        )

    async def replay_of(self, stream_key: str, *, staff: bool = False) -> ReplaySummary | None:
        if not is_stream_key(stream_key):
            return None
        row = await replay_store.newest_of(self._db, stream_key, staff=staff)
        return None if row is None else _summary(row)

    async def replays(
        self, *, stream_key: str | None = None, after: UUID | None = None, limit: int = 50, staff: bool = False
    ) -> Sequence[ReplaySummary]:
        return [_summary(row) for row in await replay_store.page(self._db, stream_key, after, limit, staff=staff)]

    async def publish(self, replay_id: UUID, public: bool) -> None:
        """REPLAY_NOT_FOUND."""
        if not await replay_store.publish(self._db, replay_id, public):
            raise DoramiError(NOT_FOUND)

    async def clips(self, subjects: Sequence[UUID], limit: int = 20, *, staff: bool = False) -> Sequence[ClipView]:
        return [describe_clip(clip) for clip in await clip_store.of_subjects(self._db, subjects, limit, staff=staff)]

    async def request_clip(self, tx: Tx, stream_key: str, subject: UUID, since: datetime, until: datetime) -> None:
        settings = self._settings
        if settings.enabled:
            await clip_store.request(
                tx, stream_key, subject, since, until, min_s=settings.clip_min_s, max_s=settings.clip_max_s
            )

    async def announced(self) -> Announced:
        row = await store.storage(self._db)
        return Announced(row["announced"], row["first_at"])


def describe_clip(clip: Clip) -> ClipView:
    return ClipView(
        id=clip.id,
        stream_key=clip.live_id,
        subject=clip.subject,
        since=clip.since,
        status=clip.status,
        duration_ms=clip.duration_ms,
        url=f"/api/clips/{clip.id}/video" if clip.status == "READY" else None,
    )


def _summary(row: Row) -> ReplaySummary:
    return ReplaySummary(
        id=row["id"],
        stream_key=row["live_id"],
        title=row["title"],
        started_at=row["session_at"],
        duration_ms=row["duration_ms"],
        public=row["public"],
    )
