"""The seller's desk: broadcasts, one broadcast with its address for the encoder and its products, and where broadcasts
are sent on to."""

from __future__ import annotations

from dorami_core.hooks import Access, DoramiError, Page, Request, Router, to_json
from dorami_storefront.curve import draw
from dorami_storefront.site import Site

_OTHERS = 500
"""Products of the shop that can be brought into a broadcast."""
PLATFORMS = ("YOUTUBE", "INSTAGRAM", "TIKTOK", "CUSTOM")


def register(router: Router, site: Site) -> None:
    pages = AdminPages(site)
    router.page("GET", "/admin", pages.broadcasts, access=Access.ADMIN)
    router.page("GET", "/admin/streams/{streamKey}", pages.broadcast, access=Access.ADMIN)
    router.page("GET", "/admin/chat", pages.chat, access=Access.ADMIN)
    router.page("GET", "/admin/restream", pages.restream, access=Access.ADMIN)
    router.page("GET", "/admin/recordings", pages.recordings, access=Access.ADMIN)


class AdminPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def broadcasts(self, request: Request) -> Page:
        streams = self._site.host.streams
        found = await streams.list_all(50)
        return self._site.page(
            request,
            "admin_home.html",
            streams=found,
            announced=await self._site.host.recordings.announced(),
            viewers={one.stream_key: streams.viewer_count(one.stream_key) for one in found},
        )

    async def broadcast(self, request: Request) -> Page:
        site, key = self._site, request.path_params["streamKey"]
        stream = await site.host.streams.find(key)
        if stream is None:
            raise DoramiError("STREAM_NOT_FOUND")
        products = await site.catalog.list_for_stream(key)
        others = [one for one in await site.catalog.list_store(_OTHERS) if key not in one.stream_keys]
        return site.page(
            request,
            "admin_stream.html",
            stream=stream,
            products=products,
            others=others,
            curve=draw(await site.host.streams.viewer_minutes(key)),
            viewers=site.host.streams.viewer_count(key),
            admin_data={
                "streamKey": key,
                "status": stream.status,
                "products": to_json(products),
                "shownIn": {str(one.id): one.stream_keys for one in others},
                "pinnedProductId": to_json(await site.catalog.pinned(key)),
            },
        )

    async def chat(self, request: Request) -> Page:
        return self._site.page(request, "admin_chat.html")

    async def restream(self, request: Request) -> Page:
        """The targets themselves are asked for by the page's script, once a second while it is seen."""
        return self._site.page(request, "admin_restream.html", platforms=PLATFORMS)

    async def recordings(self, request: Request) -> Page:
        """The list is asked for by the page's script."""
        streams = await self._site.host.streams.list_all(200)
        titles = {one.stream_key: one.title for one in streams}
        only_announced = request.args.get("announced") == "1"
        return self._site.page(
            request,
            "admin_recordings.html",
            only_announced=only_announced,
            admin_data={"titles": titles, "onlyAnnounced": only_announced},
        )
