"""HTTP routes of broadcasts (contract.md, HTTP, area streams)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import attrs

from dorami_core.base.errors import invalid
from dorami_core.base.ids import StreamKey
from dorami_core.base.principal import Access
from dorami_core.hooks.host import StreamStatus, StreamView, ViewerMinute
from dorami_core.hooks.http import Paged, Request, Router
from dorami_core.streams.model import PublishAddress, StreamRow, clean_title
from dorami_core.streams.service import StreamPatch, StreamService
from dorami_core.streams.signal import Signal

DEFAULT_LIMIT = 50
MAX_LIMIT = 100


def _valid_title(_: Any, __: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None:
        clean_title(value)


@attrs.frozen
class StreamBody:
    """`POST /api/streams`."""

    title: str = attrs.field(validator=_valid_title)
    scheduled_at: datetime | None = None
    free_shipping_enabled: bool = False


@attrs.frozen
class StreamPatchBody:
    """`PATCH /api/streams/{streamKey}`: what is absent or null stays as it is."""

    title: str | None = attrs.field(default=None, validator=_valid_title)
    scheduled_at: datetime | None = None
    free_shipping_enabled: bool | None = None


@attrs.frozen
class StreamResponse:
    """A broadcast for everybody."""

    stream_key: StreamKey
    title: str
    status: StreamStatus
    scheduled_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    peak_viewers: int
    viewer_count: int
    free_shipping_enabled: bool
    created_at: datetime


@attrs.frozen
class PublishableStream(StreamResponse):
    """A broadcast for staff: with what goes into the encoder."""

    publish: PublishAddress


@attrs.frozen
class ViewerCurveResponse:
    """Of the session that runs or ran last: its peak, who watches now, and each minute in which was counted."""

    stream_key: StreamKey
    session_no: int
    started_at: datetime | None
    ended_at: datetime | None
    peak_viewers: int
    viewer_count: int
    minutes: list[ViewerMinute]


def describe(stream: StreamView, viewer_count: int) -> StreamResponse:
    return StreamResponse(**attrs.asdict(stream, recurse=False), viewer_count=viewer_count)


class StreamRoutes:
    def __init__(self, service: StreamService) -> None:
        self._service = service

    async def create(self, request: Request, body: StreamBody) -> PublishableStream:
        row = await self._service.create(
            title=clean_title(body.title),
            scheduled_at=body.scheduled_at,
            free_shipping_enabled=body.free_shipping_enabled,
        )
        return self._for_staff(row, request)

    async def live(self, request: Request) -> Paged:
        return await self._page("live", request)

    async def upcoming(self, request: Request) -> Paged:
        return await self._page("upcoming", request)

    async def list_all(self, request: Request) -> Paged:
        return await self._page("all", request)

    async def get(self, request: Request) -> StreamResponse:
        row = await self._service.get(request.path_params["streamKey"])
        return self._for_staff(row, request) if request.principal.is_admin else self._public(row)

    async def patch(self, request: Request, body: StreamPatchBody) -> PublishableStream:
        title = None if body.title is None else clean_title(body.title)
        patch = StreamPatch(title, body.scheduled_at, body.free_shipping_enabled)
        return self._for_staff(await self._service.patch(request.path_params["streamKey"], patch), request)

    async def end(self, request: Request) -> PublishableStream:
        return self._for_staff(await self._service.end(request.path_params["streamKey"]), request)

    async def rotate_secret(self, request: Request) -> PublishableStream:
        return self._for_staff(await self._service.rotate_secret(request.path_params["streamKey"]), request)

    async def viewers(self, request: Request) -> ViewerCurveResponse:
        row = await self._service.get(request.path_params["streamKey"])
        return ViewerCurveResponse(
            stream_key=row.stream_key,
            session_no=row.session_no,
            started_at=row.started_at,
            ended_at=row.ended_at,
            peak_viewers=row.peak_viewers,
            viewer_count=self._service.viewer_count(row.stream_key),
            minutes=list(await self._service.viewer_minutes(row.stream_key)),
        )

    async def signal(self, request: Request) -> Signal:
        return await self._service.signal(request.path_params["streamKey"])

    async def _page(self, which: str, request: Request) -> Paged:
        limit = _number(request, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        offset = _number(request, "cursor", 0, 0, 10**6)
        rows = await self._service.page(which, limit=limit + 1, offset=offset)
        return Paged([self._public(row) for row in rows[:limit]], str(offset + limit) if len(rows) > limit else None)

    def _public(self, row: StreamRow) -> StreamResponse:
        return describe(row.view, self._service.viewer_count(row.stream_key))

    def _for_staff(self, row: StreamRow, request: Request) -> PublishableStream:
        host = urlsplit(request.base_url).hostname or "127.0.0.1"
        public = attrs.asdict(self._public(row), recurse=False)
        return PublishableStream(**public, publish=self._service.publish_address(row, host))


def _number(request: Request, name: str, default: int, low: int, high: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 7 and low <= int(text) <= high):
        raise invalid(name, f"must be {low} to {high}")
    return int(text)


def register(router: Router, service: StreamService) -> None:
    routes = StreamRoutes(service)
    one = "/api/streams/{streamKey}"
    admin = Access.ADMIN
    router.api(
        "POST",
        "/api/streams",
        routes.create,
        access=admin,
        body=StreamBody,
        response=PublishableStream,
        status=201,
        summary="Plan a broadcast",
    )
    router.api("GET", "/api/streams", routes.list_all, access=admin, summary="All broadcasts, newest first")
    router.api("GET", "/api/streams/live", routes.live, access=Access.PUBLIC, summary="Broadcasts on air")
    router.api("GET", "/api/streams/upcoming", routes.upcoming, access=Access.PUBLIC, summary="Planned broadcasts")
    router.api(
        "GET",
        one,
        routes.get,
        access=Access.PUBLIC,
        response=StreamResponse,
        summary="One broadcast; staff see `publish`",
    )
    router.api(
        "PATCH",
        one,
        routes.patch,
        access=admin,
        body=StreamPatchBody,
        response=PublishableStream,
        summary="Edit title, schedule or free shipping",
    )
    router.api("POST", one + "/end", routes.end, access=admin, response=PublishableStream, summary="End it for good")
    router.api(
        "POST",
        one + "/rotate-secret",
        routes.rotate_secret,
        access=admin,
        response=PublishableStream,
        summary="A new secret for the next publisher",
    )
    router.api(
        "GET",
        one + "/viewers",
        routes.viewers,
        access=admin,
        response=ViewerCurveResponse,
        summary="How many watched, minute by minute",
    )
    router.api(
        "GET",
        one + "/signal",
        routes.signal,
        access=admin,
        response=Signal,
        summary="How the publisher's signal is doing",
    )
