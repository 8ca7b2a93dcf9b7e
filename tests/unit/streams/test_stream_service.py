"""Rows and routes of broadcasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from stream_studio import VIDEO_HEADER, Studio

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import StreamKey, is_stream_key
from dorami_core.base.principal import Access, Principal
from dorami_core.base.structure import from_json, to_json
from dorami_core.events.streams import StreamChanged, StreamCreated
from dorami_core.hooks.http import Request
from dorami_core.streams import routes, viewer_minutes
from dorami_core.streams.service import StreamPatch, StreamService
from dorami_core.streams.viewer_minutes import MinuteSamples
from dorami_core.testing.sockets import guest_principal, user_principal

ADMIN = user_principal("seller", "ADMIN")
SOON = datetime(2026, 2, 1, 11, tzinfo=UTC)


class Routes:
    """Calls what was registered as the web does, without HTTP."""

    def __init__(self, service: StreamService) -> None:
        self.found: dict[tuple[str, str], tuple[Any, dict[str, Any]]] = {}
        routes.register(self, service)

    def api(self, method: str, path: str, handler: Any, **facts: Any) -> None:
        self.found[method, path] = (handler, facts)

    def page(self, *_: Any, **__: Any) -> None:
        raise AssertionError("broadcasts have no pages")

    async def call(
        self, method: str, path: str, principal: Principal, body: Any = None, args: Any = None, **params: str
    ) -> Any:
        handler, facts = self.found[method, path]
        principal.require(facts["access"])
        request = Request(
            method, path, principal, params, args or {}, {}, {}, "ko", "http://shop.test:8000", "127.0.0.1", ""
        )
        given = [] if facts.get("body") is None else [from_json(body, facts["body"])]
        return to_json(await handler(request, *given))


async def test_create_makes_a_key_a_secret_and_an_event(studio: Studio) -> None:
    row = await studio.service.create(title="one", scheduled_at=SOON)
    assert is_stream_key(row.stream_key)
    assert len(row.secret) >= 24
    assert row.secret not in repr(row)
    assert studio.written == [StreamCreated(stream_key=row.stream_key, title="one", scheduled_at=SOON)]
    assert (await studio.service.create(title="two")).stream_key != row.stream_key


async def test_a_fixed_key_is_made_once(studio: Studio) -> None:
    first = await studio.service.ensure(StreamKey("demo"), title="demo")
    assert await studio.service.ensure(StreamKey("demo"), title="again") == first
    with pytest.raises(DoramiError, match="CONFLICT"):
        await studio.service.create(title="demo", stream_key=StreamKey("demo"))


async def test_the_directory_lists_by_status_in_order(studio: Studio) -> None:
    service = studio.service
    later = await service.create(title="later", scheduled_at=SOON + timedelta(days=1))
    unplanned = await service.create(title="unplanned")
    soon = await service.create(title="soon", scheduled_at=SOON)
    assert [stream.title for stream in await service.upcoming()] == ["soon", "later", "unplanned"]
    for row in (later, soon):
        (await studio.publish(row)).write(VIDEO_HEADER)
        await studio.until(row.stream_key, "LIVE")
        studio.clock.advance(1)
    assert [stream.title for stream in await service.live()] == ["soon", "later"]
    assert [stream.stream_key for stream in await service.upcoming()] == [unplanned.stream_key]
    assert len(await service.list_all()) == 3
    assert len(await service.list_all(limit=2)) == 2
    assert await service.find("nobody-has-this") is None
    assert await service.find("한글\x00") is None
    assert await service.status(soon.stream_key) == "LIVE"
    assert await service.status(unplanned.stream_key) == "PENDING"
    assert await service.status("nobody-has-this") is None


async def test_a_patch_changes_what_it_names_and_says_so(studio: Studio) -> None:
    row = await studio.service.create(title="one", scheduled_at=SOON)
    patched = await studio.service.patch(row.stream_key, StreamPatch(free_shipping_enabled=True))
    assert (patched.title, patched.scheduled_at, patched.free_shipping_enabled) == ("one", SOON, True)
    patched = await studio.service.patch(row.stream_key, StreamPatch(title="two"))
    assert (patched.title, patched.free_shipping_enabled) == ("two", True)
    assert [type(event) for event in studio.written] == [StreamCreated, StreamChanged, StreamChanged]
    assert await studio.service.patch(row.stream_key, StreamPatch()) == patched
    for call in (
        studio.service.patch("none-such", StreamPatch(title="x")),
        studio.service.rotate_secret("none-such"),
        studio.service.end("none-such"),
        studio.service.end("NOT A KEY"),
    ):
        with pytest.raises(DoramiError, match="STREAM_NOT_FOUND"):
            await call


async def test_an_edit_while_live_is_seen_in_the_events_that_follow(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    seat.write(VIDEO_HEADER)
    await studio.until(row.stream_key, "LIVE")
    await studio.service.patch(row.stream_key, StreamPatch(title="renamed"))
    await seat.go()
    await studio.until(row.stream_key, "INTERRUPTED")
    assert studio.written[-1].title == "renamed"  # type: ignore[attr-defined]


async def test_routes_create_show_and_hide_the_secret(studio: Studio) -> None:
    web = Routes(studio.service)
    body = {"title": "  첫 방송  ", "scheduledAt": "2026-02-01T20:00:00+09:00", "freeShippingEnabled": True}
    made = await web.call("POST", "/api/streams", ADMIN, body)
    secret = (await studio.row(made["streamKey"])).secret
    assert made == {
        "streamKey": made["streamKey"],
        "title": "첫 방송",
        "status": "PENDING",
        "scheduledAt": "2026-02-01T11:00:00.000Z",
        "startedAt": None,
        "endedAt": None,
        "peakViewers": 0,
        "viewerCount": 0,
        "freeShippingEnabled": True,
        "createdAt": "2026-01-02T03:04:05.000Z",
        "publish": {"url": "rtmp://shop.test:1935/live", "key": f"{made['streamKey']}?secret={secret}"},
    }
    one = "/api/streams/{streamKey}"
    for principal in (guest_principal(), user_principal()):
        shown = await web.call("GET", one, principal, streamKey=made["streamKey"])
        assert shown == {name: value for name, value in made.items() if name != "publish"}
    assert await web.call("GET", one, ADMIN, streamKey=made["streamKey"]) == made
    rotated = await web.call("POST", one + "/rotate-secret", ADMIN, streamKey=made["streamKey"])
    assert rotated["publish"]["key"] != made["publish"]["key"]
    ended = await web.call("POST", one + "/end", ADMIN, streamKey=made["streamKey"])
    assert ended["status"] == "OFFLINE"


async def test_routes_check_who_asks_and_what(studio: Studio) -> None:
    web = Routes(studio.service)
    one = "/api/streams/{streamKey}"
    for method, path in web.found:
        if web.found[method, path][1]["access"] is Access.ADMIN:
            with pytest.raises(DoramiError, match="FORBIDDEN"):
                await web.call(method, path, user_principal())
    public = {path for (method, path), (_, facts) in web.found.items() if facts["access"] is Access.PUBLIC}
    assert public == {"/api/streams/live", "/api/streams/upcoming", one}
    for bad in ({}, {"title": "  "}, {"title": "x" * 201}, {"title": "x", "status": "LIVE"}, {"title": 1}):
        with pytest.raises(DoramiError, match="VALIDATION_FAILED"):
            await web.call("POST", "/api/streams", ADMIN, bad)
    with pytest.raises(DoramiError, match="STREAM_NOT_FOUND"):
        await web.call("GET", one, ADMIN, streamKey="none-such")
    row = await studio.service.create(title="one")
    patched = await web.call("PATCH", one, ADMIN, {"title": " two "}, streamKey=row.stream_key)
    assert patched["title"] == "two"


async def test_the_viewer_curve_is_for_staff(studio: Studio) -> None:
    web = Routes(studio.service)
    row = await studio.service.create(title="one")
    at = studio.clock.now().replace(second=0)
    samples = [MinuteSamples(at + timedelta(minutes=number), 10 * number, 95, 10) for number in range(2)]
    await viewer_minutes.add(studio.db, row.stream_key, row.session_no, samples)
    await viewer_minutes.add(studio.db, row.stream_key, row.session_no + 1, samples)
    path = "/api/streams/{streamKey}/viewers"
    assert await web.call("GET", path, ADMIN, streamKey=row.stream_key) == {
        "streamKey": row.stream_key,
        "sessionNo": 0,
        "startedAt": None,
        "endedAt": None,
        "peakViewers": 0,
        "viewerCount": 0,
        "minutes": [
            {"minute": "2026-01-02T03:04:00.000Z", "highest": 0, "average": 9.5},
            {"minute": "2026-01-02T03:05:00.000Z", "highest": 10, "average": 9.5},
        ],
    }
    with pytest.raises(DoramiError, match="STREAM_NOT_FOUND"):
        await web.call("GET", path, ADMIN, streamKey="none-such")


async def test_lists_go_on_where_the_page_ended(studio: Studio) -> None:
    web = Routes(studio.service)
    for number in range(5):
        await studio.service.create(title=str(number))
        studio.clock.advance(1)
    first = await web.call("GET", "/api/streams", ADMIN, args={"limit": "3"})
    second = await web.call("GET", "/api/streams", ADMIN, args={"limit": "3", "cursor": first["nextCursor"]})
    assert [item["title"] for item in first["items"] + second["items"]] == ["4", "3", "2", "1", "0"]
    assert second["nextCursor"] is None
    assert len((await web.call("GET", "/api/streams/upcoming", guest_principal()))["items"]) == 5
    assert (await web.call("GET", "/api/streams/live", guest_principal()))["items"] == []
    for args in ({"limit": "0"}, {"limit": "101"}, {"cursor": "-1"}, {"cursor": "x"}, {"limit": "٣"}):
        with pytest.raises(DoramiError, match="VALIDATION_FAILED"):
            await web.call("GET", "/api/streams/live", guest_principal(), args=args)


@pytest.mark.parametrize(
    ("public_host", "request_host", "url"),
    [
        ("", "192.168.0.7", "rtmp://192.168.0.7:1935/live"),
        ("", "::1", "rtmp://[::1]:1935/live"),
        ("live.example.com", "192.168.0.7", "rtmp://live.example.com:1935/live"),
    ],
)
async def test_the_publish_address(studio: Studio, public_host: str, request_host: str, url: str) -> None:
    service = StreamService(
        studio.db, studio.broadcasts, studio.clock, rtmp_port=lambda: 1935, rtmp_public_host=public_host
    )
    row = await service.create(title="one")
    assert service.publish_address(row, request_host).url == url
