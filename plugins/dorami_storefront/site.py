"""What all pages share: the services behind them, and the context of every template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import attrs
from dorami_cart.api import CartApi
from dorami_catalog.api import CatalogApi
from dorami_orders.api import OrdersApi
from dorami_points.api import PointsApi
from dorami_reservation.api import ReservationApi

from dorami_core.hooks import DoramiError, Host, Page, Redirect, Request, StreamView, iso
from dorami_storefront.assets import Assets
from dorami_storefront.display import Display
from dorami_storefront.texts import Texts

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOCAL = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]{0,500}")


@attrs.frozen(kw_only=True)
class Site:
    """The services of the shop as the pages need them."""

    host: Host
    catalog: CatalogApi
    cart: CartApi
    orders: OrdersApi
    queue: ReservationApi
    points: PointsApi
    assets: Assets
    texts: Texts

    def page(self, request: Request, template: str, /, *, http_status: int = 200, **context: Any) -> Page:
        """A page with what every template of ours expects, and `context`."""
        user = request.principal.user
        data = {
            "lang": request.lang,
            "currency": self.host.currency,
            "timezone": self.host.timezone,
            "csrfToken": request.csrf_token,
            "edgeOrigin": self.edge_origin(request),
            "icons": self.assets["icons.svg"],
            "serverTime": iso(self.host.clock.now()),
            "user": None
            if user is None
            else {"id": str(user.id), "name": user.display_name, "isAdmin": request.principal.is_admin},
            "messages": self.texts.for_scripts(request.lang),
        }
        shared = {
            "asset": self.assets.__getitem__,
            "icons": self.assets["icons.svg"],
            "data": data,
            "show": Display(request.lang, self.host.timezone, self.host.currency),
            "is_admin": request.principal.is_admin,
            "signed_in": user is not None,
            "address": request.base_url + request.path,
            "iso": iso,
        }
        return Page(f"dorami_storefront/{template}", {**shared, **context}, http_status)

    async def covers(self, stream_keys: Sequence[str]) -> dict[str, str]:
        """A broadcast's picture: that of its first product that has one. One read for all."""
        wanted, found = set(stream_keys), dict[str, str]()
        for product in await self.catalog.list_store(500) if wanted else ():
            if product.image_url is not None:
                for key in wanted.intersection(product.stream_keys):
                    found.setdefault(key, product.image_url)
        return found

    def thumbnail(self, request: Request, stream: StreamView) -> str | None:
        """The picture of a broadcast that is on air, of some seconds ago at most."""
        if stream.status not in ("LIVE", "INTERRUPTED"):
            return None
        return f"{self.edge_origin(request)}/hls/{stream.stream_key}.jpg"

    def edge_origin(self, request: Request) -> str:
        """Where sockets and video are: next to the web listener's port, or, where a proxy stands before both, here."""
        parts = urlsplit(request.base_url)
        if (parts.port or _DEFAULT_PORTS.get(parts.scheme)) != self.host.web_port:
            return request.base_url
        name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{name}:{self.host.edge_port}"

    def problem_asked(self, request: Request) -> str | None:
        """The message named by `?problem=`, where it is one of those; a page that was redirected to shows it."""
        key = request.args.get("problem", "")
        return key if key.startswith("problem_") and self.texts.knows(key) else None

    def problem_key(self, error: DoramiError) -> str:
        """The message that tells a shopper of this error on the page where it happened; others become error pages."""
        key = f"problem_{error.code.lower()}"
        if not self.texts.knows(key):
            raise error
        return key


def sign_in(path: str) -> Redirect:
    """To the sign-in page and, afterwards, to `path`."""
    return Redirect(f"/login?next={quote(path)}")


def same_site_path(text: str) -> str:
    """A path of this site to go on to; for anything else (another host, a scheme, a backslash) the start page."""
    return text if _LOCAL.fullmatch(text) else "/"
