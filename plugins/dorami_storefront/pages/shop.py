"""Looking: broadcasts, the live page, the store, a product."""

from __future__ import annotations

from collections.abc import Sequence

from dorami_core.hooks import DoramiError, Page, Request, Router, StreamView, iso, to_json
from dorami_storefront.site import Site

_PAST_SHOWN = 12
_LISTED = 60
_CLIPS_SHOWN = 3


def register(router: Router, site: Site) -> None:
    pages = ShopPages(site)
    router.page("GET", "/", pages.home)
    router.page("GET", "/live/{streamKey}", pages.live)
    router.page("GET", "/store", pages.store)
    router.page("GET", "/products/{id}", pages.product)


class ShopPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def home(self, request: Request) -> Page:
        streams = self._site.host.streams
        live = await streams.live()
        upcoming = await streams.upcoming()
        ended = [one for one in await streams.list_all(_LISTED) if one.status == "OFFLINE"]
        past = ended[:_PAST_SHOWN]
        recent = await self._site.host.recordings.replays(limit=_LISTED, staff=request.principal.is_admin)
        return self._site.page(
            request,
            "home.html",
            live=live,
            upcoming=upcoming,
            past=past,
            replays={one.stream_key: one.id for one in reversed(recent)},
            covers=await self._covers(request, [*live, *upcoming, *past]),
            viewers={one.stream_key: streams.viewer_count(one.stream_key) for one in live},
        )

    async def _covers(self, request: Request, streams: Sequence[StreamView]) -> dict[str, str]:
        """A broadcast's picture: its own while it is on air, else that of a product."""
        own = {one.stream_key: self._site.thumbnail(request, one) for one in streams}
        products = await self._site.covers([one.stream_key for one in streams])
        return products | {key: url for key, url in own.items() if url is not None}

    async def live(self, request: Request) -> Page:
        site, key = self._site, request.path_params["streamKey"]
        stream = await site.host.streams.find(key)
        if stream is None:
            raise DoramiError("STREAM_NOT_FOUND")
        products = await site.catalog.list_for_stream(key)
        edge = site.edge_origin(request)
        live_data = {
            "streamKey": stream.stream_key,
            "status": stream.status,
            "scheduledAt": iso(stream.scheduled_at) if stream.scheduled_at else None,
            "viewerCount": site.host.streams.viewer_count(key),
            "products": to_json(products),
            "pinnedProductId": to_json(await site.catalog.pinned(key)),
            "flv": f"{edge}/live/live/{stream.stream_key}.flv",
            "hls": f"{edge}/hls/{stream.stream_key}.m3u8",
        }
        cover = next((one.image_url for one in products if one.image_url), None)
        return site.page(
            request,
            "live.html",
            preview=site.thumbnail(request, stream),
            stream=stream,
            products=products,
            live_data=live_data,
            cover=cover,
            viewers=live_data["viewerCount"],
            kpi=request.args.get("kpi") == "1",
        )

    async def store(self, request: Request) -> Page:
        return self._site.page(request, "store.html", products=await self._site.catalog.list_store())

    async def product(self, request: Request) -> Page:
        site = self._site
        product = await site.catalog.get(request.uuid("id", "PRODUCT_NOT_FOUND"))
        on_air = [one for one in await site.host.streams.live() if one.stream_key in product.stream_keys]
        clips = await site.host.recordings.clips([product.id], _CLIPS_SHOWN, staff=request.principal.is_admin)
        return site.page(
            request,
            "product.html",
            product=product,
            clips=clips,
            stream=on_air[0] if on_air else None,
            colors=[(name, _left(product.variants, color=name)) for name in product.color_options],
            sizes=[(name, _left(product.variants, size=name)) for name in product.size_options],
            problem=site.problem_asked(request),
        )


def _left(variants: Sequence[object], *, color: str | None = None, size: str | None = None) -> bool:
    """Whether any variant of this colour or size can be had; without variants the product's own stock decides."""
    fitting = [
        one
        for one in variants
        if (color is None or getattr(one, "color", None) == color)
        and (size is None or getattr(one, "size", None) == size)
    ]
    return not variants or any(getattr(one, "available", 0) > 0 for one in fitting)
