"""The seller's desk: broadcasts, one broadcast with its address for the encoder and its products, orders, and
where broadcasts are sent on to."""

from __future__ import annotations

from typing import get_args
from urllib.parse import urlencode

import attrs
from dorami_orders.api import OrderFilter, OrderStatus

from dorami_core.hooks import Access, DoramiError, Page, Redirect, Request, Router, to_json
from dorami_storefront.curve import draw
from dorami_storefront.site import Site

PLATFORMS = ("YOUTUBE", "INSTAGRAM", "TIKTOK", "CUSTOM")
STATUSES: tuple[OrderStatus, ...] = get_args(OrderStatus)


@attrs.frozen
class ConfirmForm:
    """`back` is the filter that the list had."""

    back: str = ""


def register(router: Router, site: Site) -> None:
    pages = AdminPages(site)
    router.page("GET", "/admin", pages.broadcasts, access=Access.ADMIN)
    router.page("GET", "/admin/streams/{streamKey}", pages.broadcast, access=Access.ADMIN)
    router.page("GET", "/admin/chat", pages.chat, access=Access.ADMIN)
    router.page("GET", "/admin/restream", pages.restream, access=Access.ADMIN)
    router.page("GET", "/admin/recordings", pages.recordings, access=Access.ADMIN)
    router.page("GET", "/admin/orders", pages.orders, access=Access.ADMIN)
    router.page("POST", "/admin/orders/{orderId}/confirm", pages.confirm, access=Access.ADMIN, form=ConfirmForm)


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
        return site.page(
            request,
            "admin_stream.html",
            stream=stream,
            products=products,
            curve=draw(await site.host.streams.viewer_minutes(key)),
            viewers=site.host.streams.viewer_count(key),
            admin_data={
                "streamKey": key,
                "status": stream.status,
                "products": to_json(products),
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

    async def orders(self, request: Request) -> Page:
        site = self._site
        status, q = _status(request.args.get("status", "")), request.args.get("q", "")[:100].replace("\x00", "")
        which = OrderFilter(status=status, q=q or None)
        orders = await site.orders.admin_list(which, request.args.get("cursor") or None)
        following = {"status": status or "", "q": q, "cursor": orders.next_cursor or ""}
        shown = {name: text for name, text in following.items() if text and name != "cursor"}
        return site.page(
            request,
            "admin_orders.html",
            orders=orders,
            statuses=STATUSES,
            status=status,
            q=q,
            export="/api/admin/orders/export" + (f"?{urlencode(shown)}" if shown else ""),
            next_page=f"/admin/orders?{urlencode(following)}" if orders.next_cursor else None,
            problem=site.problem_asked(request),
            confirmed=request.args.get("confirmed", "")[:40],
        )

    async def confirm(self, request: Request, form: ConfirmForm) -> Redirect:
        back: dict[str, str] = {"status": _status(form.back) or ""}
        try:
            order = await self._site.orders.confirm_payment(request.path_params["orderId"])
        except DoramiError as error:
            back["problem"] = self._site.problem_key(error)
        else:
            back["confirmed"] = order.id
        return Redirect(f"/admin/orders?{urlencode(back)}")


def _status(text: str) -> OrderStatus | None:
    return next((status for status in STATUSES if status == text), None)
