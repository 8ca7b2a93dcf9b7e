"""HTTP routes of replays and clips, for everybody where they are public."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

import attrs

from dorami_core.base.errors import DoramiError, ErrorCode, invalid
from dorami_core.base.principal import Access
from dorami_core.hooks.http import FileAnswer, Paged, Request, Router
from dorami_core.hooks.recordings import ReplayPart, ReplaySummary, Span
from dorami_core.hooks.transactions import Database
from dorami_core.recordings import clip_store, store
from dorami_core.recordings.directory import NOT_FOUND, RecordingDirectory

CLIP_NOT_FOUND = "CLIP_NOT_FOUND"
CODES = (
    ErrorCode(NOT_FOUND, 404, "다시보기를 찾을 수 없어요.", "This replay does not exist."),
    ErrorCode(CLIP_NOT_FOUND, 404, "영상 조각을 찾을 수 없어요.", "This clip does not exist."),
)
_LIMITS = [attrs.validators.ge(1), attrs.validators.le(100)]
_TIMES = attrs.validators.optional([attrs.validators.ge(0), attrs.validators.le(10**10)])


class Said(Protocol):
    """A message of the chat's log."""

    @property
    def id(self) -> UUID: ...
    @property
    def display_name(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def timestamp(self) -> datetime: ...


class ChatLog(Protocol):
    async def between(
        self, stream_key: str, since: datetime, until: datetime, after: UUID | None, limit: int
    ) -> Sequence[Said]: ...
    async def before(self, stream_key: str, since: datetime, until: datetime, limit: int) -> Sequence[Said]: ...


@attrs.frozen(kw_only=True)
class ReplayQuery:
    stream_key: str | None = None
    cursor: UUID | None = None
    limit: int = attrs.field(default=50, validator=_LIMITS)


@attrs.frozen(kw_only=True)
class ReplayChatQuery:
    """From `fromMs` of the replay on, page by page; or with `beforeMs` the last messages before it, one page."""

    from_ms: int | None = attrs.field(default=None, validator=_TIMES)
    before_ms: int | None = attrs.field(default=None, validator=_TIMES)
    cursor: UUID | None = None
    limit: int = attrs.field(default=100, validator=_LIMITS)


@attrs.frozen
class ReplayPatch:
    public: bool


@attrs.frozen(kw_only=True)
class ReplayResponse(ReplaySummary):
    """`spans`: where video and clock run alike, ascending; between two of them the broadcast was interrupted."""

    ended_at: datetime
    parts: list[ReplayPart]
    spans: list[Span]


@attrs.frozen(kw_only=True)
class ReplayMessage:
    """`atMs` is its place in the replay."""

    id: UUID
    at_ms: int
    display_name: str
    role: str
    message: str
    timestamp: datetime


@attrs.frozen(kw_only=True)
class Publication:
    id: UUID
    public: bool


class ReplayRoutes:
    def __init__(self, db: Database, directory: RecordingDirectory, root: Path, log: ChatLog) -> None:
        self._db = db
        self._directory = directory
        self._root = root
        self._log = log

    async def index(self, request: Request, query: ReplayQuery) -> Paged:
        found = await self._directory.replays(
            stream_key=query.stream_key,
            after=query.cursor,
            limit=query.limit + 1,
            staff=request.principal.is_admin,
        )
        shown = list(found[: query.limit])
        return Paged(shown, str(shown[-1].id) if len(found) > query.limit else None)

    async def get(self, request: Request) -> ReplayResponse:
        view = await self._directory.replay(_replay_id(request), staff=request.principal.is_admin)
        return ReplayResponse(
            id=view.id,
            stream_key=view.stream_key,
            title=view.title,
            started_at=view.started_at,
            duration_ms=view.duration_ms,
            public=view.public,
            ended_at=view.ended_at,
            parts=view.parts,
            spans=list(view.timeline.spans),
        )

    async def patch(self, request: Request, body: ReplayPatch) -> Publication:
        """Also while the broadcast is still on air."""
        replay_id = _replay_id(request)
        await self._directory.publish(replay_id, body.public)
        return Publication(id=replay_id, public=body.public)

    async def chat(self, request: Request, query: ReplayChatQuery) -> Paged:
        if query.before_ms is not None and (query.from_ms is not None or query.cursor is not None):
            raise invalid("beforeMs", "goes without fromMs and cursor")
        replay = await self._directory.replay(_replay_id(request), staff=request.principal.is_admin)
        timeline, key = replay.timeline, replay.stream_key
        if not timeline.spans:
            return Paged([], None)
        begin, end = timeline.moment(0), max(timeline.moment(timeline.length_ms), replay.ended_at)
        following = None
        if query.before_ms is not None:
            found = await self._log.before(key, begin, timeline.moment(query.before_ms), query.limit)
        else:
            since = timeline.moment(query.from_ms or 0)
            found = await self._log.between(key, since, end, query.cursor, query.limit + 1)
            if len(found) > query.limit:
                found = found[: query.limit]
                following = str(found[-1].id)
        return Paged(
            [
                ReplayMessage(
                    id=one.id,
                    at_ms=timeline.at_ms(one.timestamp),
                    display_name=one.display_name,
                    role=one.role,
                    message=one.message,
                    timestamp=one.timestamp,
                )
                for one in found
            ],
            following,
        )

    async def part(self, request: Request) -> FileAnswer:
        """NOT_FOUND where the file is not on this machine."""
        number = request.path_params["number"]
        replay = await self._directory.replay(_replay_id(request), staff=request.principal.is_admin)
        parts = await store.parts_of_session(self._db, replay.stream_key, replay.started_at)
        file = next((part.file for part in parts if str(part.number) == number and part.status == "READY"), None)
        if file is None:
            raise DoramiError(NOT_FOUND)
        return FileAnswer(self._root / file, "video/mp4")

    async def clip(self, request: Request) -> FileAnswer:
        clip = await clip_store.find_public(
            self._db, request.uuid("id", CLIP_NOT_FOUND), staff=request.principal.is_admin
        )
        if clip is None or clip.file is None:
            raise DoramiError(CLIP_NOT_FOUND)
        return FileAnswer(self._root / clip.file, "video/mp4")


def _replay_id(request: Request) -> UUID:
    return request.uuid("id", NOT_FOUND)


def register(router: Router, routes: ReplayRoutes) -> None:
    one, public = "/api/replays/{id}", Access.PUBLIC
    router.api(
        "GET", "/api/replays", routes.index, access=public, query=ReplayQuery, summary="Ended broadcasts to watch again"
    )
    router.api(
        "GET",
        one,
        routes.get,
        access=public,
        response=ReplayResponse,
        summary="One of them, with its files",
    )
    router.api(
        "PATCH",
        one,
        routes.patch,
        access=Access.ADMIN,
        body=ReplayPatch,
        response=Publication,
        summary="Show it to everybody, or to staff alone; its clips too",
    )
    router.api(
        "GET",
        one + "/chat",
        routes.chat,
        access=public,
        query=ReplayChatQuery,
        summary="What was said, by its time in the replay; without what was taken back",
    )
    router.api("GET", one + "/parts/{number}", routes.part, access=public, summary="The MP4 of one part, with ranges")
    router.api("GET", "/api/clips/{id}/video", routes.clip, access=public, summary="The MP4 of a clip, with ranges")
