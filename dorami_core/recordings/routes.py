"""HTTP routes of recordings, for staff."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import attrs

from dorami_core.base.errors import ErrorCode
from dorami_core.base.ids import StreamKey
from dorami_core.base.principal import Access
from dorami_core.hooks.http import FileAnswer, Paged, Request, Router
from dorami_core.recordings.keeper import NOT_FOUND, Keeper, Storage
from dorami_core.recordings.model import DeleteReason, Part, PartStatus

CODES = (ErrorCode(NOT_FOUND, 404, "녹화를 찾을 수 없어요.", "This recording does not exist."),)


@attrs.frozen
class Mark:
    """From here on file and clock run alike."""

    media_ms: int
    at: datetime


@attrs.frozen
class RecordingResponse:
    """One file. `deleteAt` and `deleteReason` where it was announced to go; `kept` ones never are. `public`: its replay
    is for everybody."""

    id: UUID
    stream_key: StreamKey
    session_started_at: datetime
    part: int
    status: PartStatus
    started_at: datetime
    ended_at: datetime | None
    duration_ms: int
    bytes: int
    marks: list[Mark]
    kept: bool
    delete_at: datetime | None
    delete_reason: DeleteReason | None
    video_url: str
    replay_id: UUID
    public: bool


@attrs.frozen
class RecordingPatch:
    kept: bool


@attrs.frozen
class RecordingQuery:
    """`announced`: only those that will be deleted, the next one first."""

    stream_key: str | None = None
    announced: bool = False
    cursor: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    limit: int = attrs.field(default=50, validator=[attrs.validators.ge(1), attrs.validators.le(100)])


def describe(part: Part) -> RecordingResponse:
    return RecordingResponse(
        id=part.id,
        stream_key=part.live_id,
        session_started_at=part.session_at,
        part=part.number,
        status=part.status,
        started_at=part.began_at,
        ended_at=part.ended_at,
        duration_ms=part.duration_ms,
        bytes=part.bytes,
        marks=[Mark(at_ms, datetime.fromtimestamp(unix_ms / 1000, UTC)) for at_ms, unix_ms in part.marks],
        kept=part.kept,
        delete_at=part.delete_at,
        delete_reason=part.delete_reason,
        video_url=f"/api/recordings/{part.id}/video",
        replay_id=part.replay_id,
        public=part.public,
    )


class RecordingRoutes:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def index(self, request: Request, query: RecordingQuery) -> Paged:
        parts = await self._keeper.list_parts(
            query.stream_key, query.limit + 1, query.cursor, only_announced=query.announced
        )
        following = str(query.cursor + query.limit) if len(parts) > query.limit else None
        return Paged([describe(part) for part in parts[: query.limit]], following)

    async def storage(self, request: Request) -> Storage:
        return await self._keeper.storage()

    async def get(self, request: Request) -> RecordingResponse:
        return describe(await self._keeper.get(_id(request)))

    async def patch(self, request: Request, body: RecordingPatch) -> RecordingResponse:
        return describe(await self._keeper.keep(_id(request), body.kept))

    async def delete(self, request: Request) -> None:
        await self._keeper.delete(_id(request))

    async def video(self, request: Request) -> FileAnswer:
        """To play it, or with `?download=1` to save it."""
        part = await self._keeper.get(_id(request))
        name = f"{part.live_id}-{part.began_at:%Y%m%d-%H%M%S}.mp4" if request.args.get("download") else None
        return FileAnswer(self._keeper.path_of(part), "video/mp4", name)


def _id(request: Request) -> UUID:
    return request.uuid("id", NOT_FOUND)


def register(router: Router, keeper: Keeper) -> None:
    routes = RecordingRoutes(keeper)
    all_, one, admin = "/api/recordings", "/api/recordings/{id}", Access.ADMIN
    router.api("GET", all_, routes.index, access=admin, query=RecordingQuery, summary="Recordings, newest first")
    router.api(
        "GET",
        "/api/admin/recordings/storage",
        routes.storage,
        access=admin,
        response=Storage,
        summary="How full the recordings' budget is, and what will be deleted",
    )
    router.api("GET", one, routes.get, access=admin, response=RecordingResponse, summary="One recording")
    router.api(
        "PATCH",
        one,
        routes.patch,
        access=admin,
        body=RecordingPatch,
        response=RecordingResponse,
        summary="Keep it, whatever its age",
    )
    router.api("DELETE", one, routes.delete, access=admin, summary="Delete it at once")
    router.api("GET", one + "/video", routes.video, access=admin, summary="The MP4, with ranges; ?download=1 saves it")
