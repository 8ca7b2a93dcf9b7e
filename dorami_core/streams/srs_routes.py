"""The callbacks of SRS (its own protocol: `{"code": 0}` without the envelope; anything else refuses)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Protocol

from dorami_core.base.errors import DoramiError
from dorami_core.base.peers import Networks
from dorami_core.base.principal import Access
from dorami_core.base.settings import SettingsError, SrsSettings
from dorami_core.hooks.http import Request
from dorami_core.ingest.srs import SrsIngest

_OK = {"code": 0}


class CoreRouter(Protocol):
    """The web's router with the options of the core's own routes."""

    def api(self, method: str, path: str, handler: Any, **options: Any) -> None: ...


class SrsRoutes:
    def __init__(self, srs: SrsIngest, settings: SrsSettings) -> None:
        if not settings.token:
            raise SettingsError('srs.token must be set with media.server = "srs", and stand in the callbacks\' URLs')
        self._srs = srs
        self._token = settings.token
        self._sources = Networks(settings.sources)

    def from_source(self, request: Request) -> None:
        """FORBIDDEN from elsewhere than `srs.sources`. SRS drops the query of the heartbeat's URL, so its address is
        all that tells."""
        if request.peer not in self._sources:
            raise DoramiError("FORBIDDEN")

    def with_token(self, request: Request) -> None:
        """FORBIDDEN also without `srs.token`."""
        self.from_source(request)
        if not hmac.compare_digest(request.args.get("token", "").encode(), self._token.encode()):
            raise DoramiError("FORBIDDEN")

    async def auth(self, request: Request, body: Mapping[str, Any]) -> dict[str, int]:
        if body.get("action") != "on_publish" or not await self._srs.on_publish(body):
            raise DoramiError("FORBIDDEN")
        return _OK

    async def done(self, request: Request, body: Mapping[str, Any]) -> dict[str, int]:
        if body.get("action") == "on_unpublish":
            self._srs.on_unpublish(body)
        return _OK

    async def heartbeat(self, request: Request, body: Mapping[str, Any]) -> dict[str, int]:
        self._srs.on_heartbeat()
        return _OK


def register(router: CoreRouter, srs: SrsIngest, settings: SrsSettings) -> None:
    routes = SrsRoutes(srs, settings)
    for name, handler, guard, summary in (
        ("auth", routes.auth, routes.with_token, "SRS: a publisher has come"),
        ("done", routes.done, routes.with_token, "SRS: a publisher has gone"),
        ("heartbeat", routes.heartbeat, routes.from_source, "SRS: it is alive"),
    ):
        router.api(
            "POST",
            f"/api/streaming/srs-{name}",
            handler,
            access=Access.PUBLIC,
            body=dict,
            summary=summary,
            csrf=False,
            lenient=True,
            idempotent=False,
            envelope=False,
            guard=guard,
        )
