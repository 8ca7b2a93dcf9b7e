"""Orders at the seller's desk: found by filters, confirmed, sent with a number to track, cancelled."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, get_args
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

import attrs
from dorami_orders.api import OrderFilter, OrderStatus, ShippingStatus

from dorami_core.hooks import Access, DoramiError, Page, Redirect, Request, Router
from dorami_storefront.site import Site

STATUSES: tuple[OrderStatus, ...] = get_args(OrderStatus)
SHIPPING: tuple[ShippingStatus, ...] = get_args(ShippingStatus)
FILTERS = ("status", "shippingStatus", "q", "from", "to")


@attrs.frozen
class BackForm:
    """`back` is the filter that the list had, as a query."""

    back: str = ""


@attrs.frozen
class ShippingForm:
    status: str = ""
    carrier: str = ""
    tracking_number: str = ""
    back: str = ""


def register(router: Router, site: Site) -> None:
    pages = OrderDesk(site)
    admin = Access.ADMIN
    router.page("GET", "/admin/orders", pages.show, access=admin)
    router.page("POST", "/admin/orders/{orderId}/confirm", pages.confirm, access=admin, form=BackForm)
    router.page("POST", "/admin/orders/{orderId}/shipping", pages.ship, access=admin, form=ShippingForm)
    router.page("POST", "/admin/orders/{orderId}/cancel", pages.cancel, access=admin, form=BackForm)


class OrderDesk:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def show(self, request: Request) -> Page:
        site = self._site
        asked = _filters(request.args)
        orders = await site.orders.admin_list(self._which(asked), request.args.get("cursor") or None)
        older = urlencode({**asked, "cursor": orders.next_cursor or ""})
        return site.page(
            request,
            "admin_orders.html",
            orders=orders,
            statuses=STATUSES,
            shipping_statuses=SHIPPING,
            asked=asked,
            back=urlencode(asked),
            links=_links(asked),
            export=self._export(asked),
            next_page=f"/admin/orders?{older}" if orders.next_cursor else None,
            problem=site.problem_asked(request),
            confirmed=request.args.get("confirmed", "")[:40],
            changed=request.args.get("changed", "")[:40],
        )

    async def confirm(self, request: Request, form: BackForm) -> Redirect:
        confirm = self._site.orders.confirm_payment
        return await self._done(form.back, "confirmed", confirm, request.path_params["orderId"])

    async def cancel(self, request: Request, form: BackForm) -> Redirect:
        return await self._done(
            form.back, "changed", self._site.orders.cancel, request.user, request.path_params["orderId"]
        )

    async def ship(self, request: Request, form: ShippingForm) -> Redirect:
        status = next((one for one in SHIPPING if one == form.status), "NONE")
        return await self._done(
            form.back,
            "changed",
            self._site.orders.set_shipping,
            request.path_params["orderId"],
            status,
            form.carrier.strip() or None,
            form.tracking_number.strip() or None,
        )

    async def _done(self, back: str, name: str, act: Any, *args: Any) -> Redirect:
        """To the list as it was, which says what came of it."""
        after = _filters(dict(parse_qsl(back)))
        try:
            order = await act(*args)
        except DoramiError as error:
            after["problem"] = self._site.problem_key(error)
        else:
            after[name] = order.id
        return Redirect(f"/admin/orders?{urlencode(after)}")

    def _which(self, asked: Mapping[str, str]) -> OrderFilter:
        first, last = (self._midnight(asked.get(name, "")) for name in ("from", "to"))
        return OrderFilter(
            status=next((one for one in STATUSES if one == asked.get("status")), None),
            shipping_status=next((one for one in SHIPPING if one == asked.get("shippingStatus")), None),
            q=asked.get("q"),
            created_from=first,
            created_to=None if last is None else last + timedelta(days=1),
        )

    def _midnight(self, day: str) -> datetime | None:
        """When a day begins in the shop's time zone."""
        try:
            return datetime.combine(date.fromisoformat(day), time.min, ZoneInfo(self._site.host.timezone))
        except ValueError:
            return None

    def _export(self, asked: Mapping[str, str]) -> str:
        which = self._which(asked)
        query = {name: asked[name] for name in ("status", "shippingStatus", "q") if name in asked}
        for name, moment in (("createdFrom", which.created_from), ("createdTo", which.created_to)):
            if moment is not None:
                query[name] = moment.isoformat()
        return "/api/admin/orders/export" + (f"?{urlencode(query)}" if query else "")


def _filters(args: Mapping[str, str]) -> dict[str, str]:
    """Those that were asked for; what is none of the choices is not."""
    found = {name: args.get(name, "")[:100].replace("\x00", "") for name in FILTERS}
    if found["status"] not in STATUSES:
        found["status"] = ""
    if found["shippingStatus"] not in SHIPPING:
        found["shippingStatus"] = ""
    return {name: text for name, text in found.items() if text}


def _links(asked: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Where each choice of a state leads, the other filters kept."""
    links = {}
    for name, choices in (("status", ("", *STATUSES)), ("shippingStatus", ("", *SHIPPING))):
        for choice in choices:
            query = {**asked, name: choice}
            links[name, choice] = "/admin/orders?" + urlencode({key: query[key] for key in FILTERS if query.get(key)})
    return links
