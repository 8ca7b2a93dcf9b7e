"""Looking back: the list of ended broadcasts, and one of them with its chat and products at their time."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from dorami_catalog.api import ProductView

from dorami_core.hooks import ClipView, Page, Redirect, ReplayView, Request, Router, invalid, to_json
from dorami_storefront.site import Site

_PER_PAGE = 24
_CLIPS = 200


def register(router: Router, site: Site) -> None:
    pages = ReplayPages(site)
    router.page("GET", "/replays", pages.index)
    router.page("GET", "/replays/{id}", pages.replay)
    router.page("GET", "/live/{streamKey}/replay", pages.newest)


class ReplayPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def index(self, request: Request) -> Page:
        """`?soon=1`: of the one that was asked for there is nothing yet."""
        site = self._site
        found = await site.host.recordings.replays(
            after=_cursor(request), limit=_PER_PAGE + 1, staff=request.principal.is_admin
        )
        shown = found[:_PER_PAGE]
        return site.page(
            request,
            "replays.html",
            replays=shown,
            covers=await site.covers([one.stream_key for one in shown]),
            next_page=f"/replays?cursor={shown[-1].id}" if len(found) > _PER_PAGE else None,
            is_soon=request.args.get("soon") == "1",
        )

    async def newest(self, request: Request) -> Redirect:
        found = await self._site.host.recordings.replay_of(
            request.path_params["streamKey"], staff=request.principal.is_admin
        )
        return Redirect("/replays?soon=1" if found is None else f"/replays/{found.id}")

    async def replay(self, request: Request) -> Page:
        site, staff = self._site, request.principal.is_admin
        replay = await site.host.recordings.replay(request.uuid("id", "REPLAY_NOT_FOUND"), staff=staff)
        key, at_ms = replay.stream_key, replay.timeline.at_ms
        products = await site.catalog.list_for_stream(key)
        showings = await site.catalog.showings(key, replay.started_at, replay.ended_at)
        clips = await site.host.recordings.clips([one.id for one in products], _CLIPS, staff=staff)
        replay_data = {
            "id": str(replay.id),
            "durationMs": replay.duration_ms,
            "parts": to_json(replay.parts),
            "products": to_json(products),
            "showings": [
                {
                    "productId": str(one.product_id),
                    "fromMs": at_ms(one.since),
                    "untilMs": at_ms(one.until or replay.ended_at),
                }
                for one in showings
            ],
            "clips": _of_replay(replay, clips),
        }
        return site.page(
            request,
            "replay.html",
            replay=replay,
            products=products,
            replay_data=replay_data,
            cover=_cover(products),
        )


def _of_replay(replay: ReplayView, clips: Sequence[ClipView]) -> dict[str, str]:
    """The address of a clip by its product, the last one of each."""
    found: dict[str, str] = {}
    for clip in clips:
        if clip.stream_key == replay.stream_key and replay.started_at <= clip.since <= replay.ended_at and clip.url:
            found.setdefault(str(clip.subject), clip.url)
    return found


def _cover(products: Sequence[ProductView]) -> str | None:
    return next((one.image_url for one in products if one.image_url), None)


def _cursor(request: Request) -> UUID | None:
    text = request.args.get("cursor")
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise invalid("cursor", "must be that of a page") from None
