"""HTTP routes of restreaming (contract.md, HTTP, area restream)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import attrs

from dorami_core.base.clock import Clock
from dorami_core.base.errors import ErrorCode
from dorami_core.base.ids import StreamKey
from dorami_core.base.principal import Access
from dorami_core.hooks.http import Paged, Request, Router
from dorami_core.restream.model import (
    Cause,
    Platform,
    Run,
    RunStatus,
    StartBody,
    StartMode,
    Target,
    TargetBody,
    TargetPatch,
)
from dorami_core.restream.service import NOT_FOUND, RestreamService
from dorami_core.restream.state import HIDDEN

CODES = (ErrorCode(NOT_FOUND, 404, "송출 대상을 찾을 수 없어요.", "This restream target does not exist."),)
LOG_LIMIT = 100


@attrs.frozen
class TargetResponse:
    """A target and how its newest run is doing. `streamKey` is masked. `bitrateBps` and `delayMs` are of the last
    seconds, `bytes` of the whole run."""

    id: UUID
    name: str
    platform: Platform
    rtmp_url: str
    stream_key: str
    mute_audio: bool
    start_mode: StartMode
    delay_seconds: int
    created_at: datetime
    status: RunStatus
    cause: Cause
    live_stream_id: StreamKey | None
    restart_count: int
    bytes: int
    bitrate_bps: int
    delay_ms: int
    on_slate: bool
    active_since: datetime | None
    next_attempt_at: datetime | None
    server_time: datetime


@attrs.frozen
class LogEntry:
    """One run: a target in one broadcast, with the last lines that its workers wrote."""

    id: UUID
    target_id: UUID
    live_stream_id: StreamKey
    status: RunStatus
    cause: Cause
    restart_count: int
    bytes: int
    started_at: datetime
    ended_at: datetime | None
    lines: list[str]


@attrs.frozen
class LogQuery:
    target_id: UUID | None = None
    cursor: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    limit: int = attrs.field(default=20, validator=[attrs.validators.ge(1), attrs.validators.le(LOG_LIMIT)])


def describe(target: Target, run: Run | None, now: datetime) -> TargetResponse:
    return TargetResponse(
        id=target.id,
        name=target.name,
        platform=target.platform,
        rtmp_url=target.rtmp_url,
        stream_key=HIDDEN + target.stream_key_end,
        mute_audio=target.mute_audio,
        start_mode=target.start_mode,
        delay_seconds=target.delay_s,
        created_at=target.created_at,
        status=run.status if run else "IDLE",
        cause=run.cause if run else "",
        live_stream_id=run.live_id if run else None,
        restart_count=run.restart_count if run else 0,
        bytes=run.sent_bytes if run else 0,
        bitrate_bps=run.bitrate_bps if run else 0,
        delay_ms=run.delay_ms if run else 0,
        on_slate=bool(run and run.on_slate),
        active_since=run.active_since if run else None,
        next_attempt_at=run.next_attempt_at if run else None,
        server_time=now,
    )


class RestreamRoutes:
    def __init__(self, service: RestreamService, clock: Clock) -> None:
        self._service = service
        self._clock = clock

    async def index(self, request: Request) -> Paged:
        found = await self._service.list_all()
        return Paged([describe(target, run, self._clock.now()) for target, run in found], None)

    async def create(self, request: Request, body: TargetBody) -> TargetResponse:
        return describe(await self._service.create(request.user.id, body), None, self._clock.now())

    async def patch(self, request: Request, body: TargetPatch) -> TargetResponse:
        return await self._shown(await self._service.patch(_id(request), body))

    async def delete(self, request: Request) -> None:
        await self._service.delete(_id(request))

    async def start(self, request: Request, body: StartBody) -> TargetResponse:
        return await self._shown(await self._service.start(_id(request), body.live_stream_id))

    async def stop(self, request: Request) -> TargetResponse:
        return await self._shown(await self._service.stop(_id(request)))

    async def logs(self, request: Request, query: LogQuery) -> Paged:
        runs = await self._service.logs(query.target_id, query.limit + 1, query.cursor)
        entries = [
            LogEntry(
                id=run.id,
                target_id=run.target_id,
                live_stream_id=run.live_id,
                status=run.status,
                cause=run.cause,
                restart_count=run.restart_count,
                bytes=run.sent_bytes,
                started_at=run.started_at,
                ended_at=run.ended_at,
                lines=run.lines,
            )
            for run in runs[: query.limit]
        ]
        return Paged(entries, str(query.cursor + query.limit) if len(runs) > query.limit else None)

    async def _shown(self, target: Target) -> TargetResponse:
        runs = await self._service.logs(target.id, 1, 0)
        return describe(target, runs[0] if runs else None, self._clock.now())


def _id(request: Request) -> UUID:
    return request.uuid("id", NOT_FOUND)


def register(router: Router, service: RestreamService, clock: Clock) -> None:
    routes = RestreamRoutes(service, clock)
    all_, one, admin = "/api/restream/targets", "/api/restream/targets/{id}", Access.ADMIN
    router.api("GET", all_, routes.index, access=admin, summary="Restream targets and how each is doing")
    router.api(
        "POST",
        all_,
        routes.create,
        access=admin,
        body=TargetBody,
        response=TargetResponse,
        status=201,
        summary="Add a restream target",
    )
    router.api(
        "PATCH", one, routes.patch, access=admin, body=TargetPatch, response=TargetResponse, summary="Edit a target"
    )
    router.api("DELETE", one, routes.delete, access=admin, summary="Remove a target with its log")
    router.api(
        "POST",
        one + "/start",
        routes.start,
        access=admin,
        body=StartBody,
        response=TargetResponse,
        summary="Send the broadcast there, or try again at once",
    )
    router.api(
        "POST",
        one + "/stop",
        routes.stop,
        access=admin,
        response=TargetResponse,
        summary="Stop sending it there until the broadcast ends",
    )
    router.api("GET", "/api/restream/logs", routes.logs, access=admin, query=LogQuery, summary="Runs, newest first")
