"""The pages of ended broadcasts: what they are given, whom they are shown to, and the ways to them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import shop_fakes as fakes
from dorami_catalog.api import Showing
from shop_fakes import FakeCatalog, FakeHost, FakeRecordings, FakeStreams, request
from test_pages import check, get, make_site, render

from dorami_core.hooks import Announced, ClipView, DoramiError, Page, Redirect, StreamKey

PAGE = f"/replays/{fakes.REPLAY}"


def clip(number: int, subject: UUID, **changes: Any) -> ClipView:
    values: dict[str, Any] = {
        "id": UUID(int=800 + number),
        "stream_key": StreamKey("past"),
        "subject": subject,
        "since": fakes.replay().started_at + timedelta(seconds=60 * number),
        "status": "READY",
        "duration_ms": 12_000,
        "url": f"/api/clips/{number}/video",
    }
    return ClipView(**{**values, **changes})


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'id="replay-data"[^>]*>(.*?)</script>', html, re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


async def test_the_page_has_parts_products_showings_and_clips_at_their_time() -> None:
    replay = fakes.replay()
    knit = fakes.product(1, "니트", stream_key="past")
    mug = fakes.product(2, "머그", stream_key="past")
    at = replay.started_at
    shown = [
        Showing(product_id=knit.id, since=at - timedelta(seconds=9), until=at + timedelta(seconds=60)),
        # 70 s of the next hour was an interruption
        Showing(product_id=mug.id, since=at + timedelta(seconds=3650), until=None),
    ]
    elsewhere = clip(3, knit.id, since=at - timedelta(days=3), url="/older")
    cuts = [clip(2, knit.id), clip(1, knit.id), elsewhere, clip(4, mug.id, stream_key=StreamKey("demo"))]
    site = make_site(host=FakeHost(recordings=FakeRecordings([replay], cuts)), catalog=FakeCatalog([knit, mug], shown))
    html = render(await get(site, PAGE, who=None), request(PAGE, who=None))
    check(html, "ko")
    assert "지난 &lt;방송&gt;" in html
    data = data_of(html)
    assert [(one["startsMs"], one["durationMs"]) for one in data["parts"]] == [(0, 3_600_000), (3_600_000, 123_000)]
    assert data["showings"] == [
        {"productId": str(knit.id), "fromMs": 0, "untilMs": 60_000},
        {"productId": str(mug.id), "fromMs": 3_600_000, "untilMs": 3_723_000},
    ]
    assert data["clips"] == {str(knit.id): "/api/clips/2/video"}


@pytest.mark.parametrize("path", [PAGE, "/replays/nonsense", f"/replays/{UUID(int=5)}"])
async def test_what_is_hidden_or_not_there_is_the_same_to_a_viewer(path: str) -> None:
    site = make_site(host=FakeHost(recordings=FakeRecordings([fakes.replay(public=False)])))
    with pytest.raises(DoramiError, match="REPLAY_NOT_FOUND"):
        await get(site, path, who="USER")


async def test_staff_see_what_is_hidden_and_that_it_is() -> None:
    site = make_site(host=FakeHost(recordings=FakeRecordings([fakes.replay(public=False)])))
    for path in (PAGE, "/replays"):
        html = render(await get(site, path, who="ADMIN"), request(path, who="ADMIN"))
        check(html, "ko")
        assert site.texts.by_lang["ko"]["replay_hidden"] in html
    html = render(await get(site, "/replays", who=None), request("/replays", who=None))
    assert site.texts.by_lang["ko"]["replays_none"] in html


async def test_the_list_goes_on_page_by_page() -> None:
    many = [fakes.replay(id=UUID(int=7000 + number), title=f"방송 {number}") for number in range(30)]
    site = make_site(host=FakeHost(recordings=FakeRecordings(many)))
    first = render(await get(site, "/replays"), request("/replays"))
    check(first, "ko")
    assert "방송 23" in first
    assert "방송 24" not in first
    assert f"/replays?cursor={many[23].id}" in first
    assert "1:02:03" in first
    second = render(await get(site, "/replays", args={"cursor": str(many[23].id)}), request("/replays"))
    assert "방송 29" in second
    assert "방송 23" not in second
    assert "cursor=" not in second
    with pytest.raises(DoramiError, match="VALIDATION_FAILED"):
        await get(site, "/replays", args={"cursor": "zz"})


async def test_an_ended_broadcast_leads_to_its_replay_or_to_others() -> None:
    site = make_site()
    assert await get(site, "/live/past/replay") == Redirect(PAGE)
    assert await get(site, "/live/demo/replay") == Redirect("/replays?soon=1")
    soon = await get(site, "/replays", args={"soon": "1"})
    assert site.texts.by_lang["ko"]["replay_soon"] in render(soon, request("/replays"))
    assert "/live/past/replay" in render(await get(site, "/live/past"), request("/live/past"))
    home = render(await get(site, "/"), request("/"))
    assert PAGE in home
    without = make_site(host=FakeHost(streams=FakeStreams([fakes.stream("past", "지난", "OFFLINE")])))
    assert 'href="/live/past"' in render(await get(without, "/"), request("/"))


async def test_a_product_shows_its_clips() -> None:
    knit = fakes.knit()
    site = make_site(host=FakeHost(recordings=FakeRecordings([], [clip(1, knit.id)])))
    path = f"/products/{knit.id}"
    html = render(await get(site, path, who=None), request(path, who=None))
    check(html, "ko")
    assert 'src="/api/clips/1/video"' in html


async def test_the_seller_is_told_what_will_be_deleted() -> None:
    recordings = FakeRecordings(soon_gone=Announced(3, fakes.NOW + timedelta(hours=20)))
    page = await get(make_site(host=FakeHost(recordings=recordings)), "/admin", who="ADMIN")
    assert isinstance(page, Page)
    html = render(page, request("/admin", who="ADMIN"))
    check(html, "ko")
    assert "녹화 3개가 곧 지워져요. 가장 빠른 것은 11월 24일 (화) 16:30이에요." in html
    nothing = render(await get(make_site(), "/admin", who="ADMIN"), request("/admin", who="ADMIN"))
    assert 'data-testid="announced"' not in nothing
