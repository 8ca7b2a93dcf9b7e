"""Routes of the web app itself: CSRF token, health, metrics, OpenAPI."""

from __future__ import annotations

import hmac
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import prometheus_client
import structlog
import trio
from quart import Response, g

from dorami_core.base.errors import DoramiError
from dorami_core.base.metrics import merge_expositions
from dorami_core.base.peers import is_loopback
from dorami_core.base.principal import Access
from dorami_core.hooks.http import Request
from dorami_core.web.answers import csrf_cookie, error_response, guest_cookie
from dorami_core.web.api_views import View
from dorami_core.web.dependencies import HealthCheck, WebDependencies
from dorami_core.web.envelope import dump
from dorami_core.web.exchange import Incoming, csrf_token_for, identify
from dorami_core.web.openapi import build_openapi, docs_page
from dorami_core.web.replies import Plain, Reply
from dorami_core.web.router import WebRouter

log = structlog.get_logger()

CHECK_LIMIT_S = 2.0


class CoreRoutes:
    """Registers what every web process serves."""

    def __init__(self, deps: WebDependencies) -> None:
        self._deps = deps

    def register(self, router: WebRouter) -> None:
        public: dict[str, Any] = {"access": Access.PUBLIC, "lenient": True}
        router.api("GET", "/api/health/live", self.live, summary="The process answers", **public)
        router.api("GET", "/api/health/ready", self.ready, summary="What it needs answers too", **public)
        router.api("GET", "/api/csrf", self.csrf, access=Access.PUBLIC, summary="The token for X-CSRF-Token")
        if self._deps.app_env == "production":
            return
        document: list[bytes] = []

        async def openapi(_: Request) -> Plain:
            if not document:
                document.append(dump(build_openapi(router.api_routes, self._deps.catalogue, _version())))
            return Plain(document[0], "application/json")

        async def docs(_: Request) -> Plain:
            return Plain(docs_page(router.api_routes, g.incoming.nonce).encode(), "text/html; charset=utf-8")

        router.api("GET", "/api/openapi.json", openapi, summary="This API for machines", envelope=False, **public)
        router.api("GET", "/api/docs", docs, summary="This API for people", envelope=False, **public)

    async def csrf(self, _: Request) -> Reply:
        """The token in `data.csrfToken` and in the cookie; a guest is given his id along, since it is bound to that."""
        incoming: Incoming = g.incoming
        identified = identify(incoming, self._deps, bearer_must_hold=True)
        token, _is_new = csrf_token_for(incoming, identified, self._deps)
        cookies = [csrf_cookie(token)]
        if identified.new_guest_token is not None:
            cookies.append(guest_cookie(identified.new_guest_token))
        return Reply({"csrfToken": token}, cookies)

    async def live(self, _: Request) -> dict[str, str]:
        return {"status": "ok"}

    async def ready(self, _: Request) -> Reply:
        """`ok`, or `degraded` where something is away that selling does not need; else UNAVAILABLE."""
        results: dict[str, str] = {}
        async with trio.open_nursery() as nursery:
            for name, check in self._deps.health_checks.items():
                nursery.start_soon(_run_check, name, check, results)
        failed = [name for name, result in results.items() if result != "ok"]
        if any(self._deps.health_checks[name].required for name in failed):
            raise DoramiError("UNAVAILABLE", status="down", checks=results)
        return Reply({"status": "degraded" if failed else "ok", "checks": results})


def _version() -> str:
    try:
        return version("dorami")
    except PackageNotFoundError:
        return "0"


async def _run_check(name: str, check: HealthCheck, results: dict[str, str]) -> None:
    results[name] = "down"
    try:
        with trio.fail_after(CHECK_LIMIT_S):
            await check.check()
    except Exception as error:
        log.warning("web.health_check_failed", check=name, error=repr(error))
    else:
        results[name] = "ok"


def metrics_view(deps: WebDependencies) -> View:
    """`GET /metrics` for this machine, or with the configured bearer; hidden from everybody else."""

    async def view() -> Response:
        incoming: Incoming = g.incoming
        bearer = (incoming.bearer or "").encode()
        has_token = bool(deps.metrics_token) and hmac.compare_digest(bearer, deps.metrics_token.encode())
        if not has_token and not (is_loopback(incoming.peer) and incoming.is_direct):
            return error_response(DoramiError("NOT_FOUND"), incoming, deps)
        body = prometheus_client.generate_latest(deps.metrics)
        others = await deps.metrics_of_others()
        if others:
            body = merge_expositions({"main": body.decode(), **others})
        return Response(body, 200, content_type=prometheus_client.CONTENT_TYPE_LATEST)

    return view
