"""The Quart-Trio app, put together from registered routes."""

from __future__ import annotations

import re
from typing import Any

import trio
from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from dorami_core.base.errors import DoramiError
from dorami_core.base.peers import Proxies, is_served
from dorami_core.web.answers import as_domain_error, error_response, from_http_status
from dorami_core.web.api_views import api_view
from dorami_core.web.bodies import MAX_BODY_BYTES
from dorami_core.web.core_routes import CoreRoutes, metrics_view
from dorami_core.web.dependencies import WebDependencies
from dorami_core.web.exchange import Incoming, read_incoming
from dorami_core.web.headers import cors_headers, docs_policy, preflight_headers, security_headers
from dorami_core.web.measures import WebMeasures
from dorami_core.web.page_views import error_page, page_view
from dorami_core.web.router import WebRouter
from dorami_core.web.templates import Pages

DRAIN_S = 1.0
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


def build_app(router: WebRouter, deps: WebDependencies) -> QuartTrio:
    """The app with all routes of `router` and the core's own, which are added to it.

    Raises MessagesError for incomplete messages, ValueError for a package or a route that cannot be.
    """
    pages = Pages(deps.templates)
    CoreRoutes(deps).register(router)
    app = QuartTrio("dorami_core.web", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    _Frame(deps, pages).install(app)
    for route in router.api_routes:
        _add(app, route.method, route.path, api_view(route, deps))
    for page in router.page_routes:
        _add(app, page.method, page.path, page_view(page, deps, pages))
    _add(app, "GET", "/metrics", metrics_view(deps))
    app.add_url_rule("/static/<package>/<path:path>", "static_file", pages.static.respond, methods=["GET"])
    return app


def _add(app: QuartTrio, method: str, path: str, view: Any) -> None:
    rule = re.sub(r"\{([^}]*)\}", r"<\1>", path)
    app.add_url_rule(rule, f"{method} {path}", view, methods=[method])


class _Frame:
    """What happens around every view."""

    def __init__(self, deps: WebDependencies, pages: Pages) -> None:
        self._deps = deps
        self._pages = pages
        self._proxies = Proxies(deps.trusted_proxies)
        self._hosts = frozenset(host.lower() for host in deps.hosts)
        self._origins = frozenset(deps.cors_origins)
        self._measures = WebMeasures(deps.metrics)

    def install(self, app: QuartTrio) -> None:
        app.before_request(self.before)
        app.after_request(self.after)
        app.register_error_handler(HTTPException, self.on_http_error)
        app.register_error_handler(Exception, self.on_error)

    async def before(self) -> Response | None:
        incoming = g.incoming = read_incoming(request, self._proxies)
        g.started = trio.current_time()
        if not is_served(incoming.host, self._hosts):
            return error_response(DoramiError("MISDIRECTED_REQUEST"), incoming, self._deps)
        if incoming.method == "OPTIONS" and incoming.is_api and "access-control-request-method" in incoming.headers:
            return self._preflight(incoming)
        return None

    def _preflight(self, incoming: Incoming) -> Response:
        """The CORS-preflight request of the Fetch standard, 4.8."""
        if incoming.headers.get("origin") not in self._origins:
            return error_response(DoramiError("FORBIDDEN"), incoming, self._deps)
        return Response(b"", 204, preflight_headers())

    async def after(self, response: Response) -> Response:
        # Hypercorn's HTTP/1.1 loses the next request of a connection, or the connection with our answer in it, when
        # the answer is out before the body is in. So the rest of the body is waited for, but not for ever.
        with trio.move_on_after(DRAIN_S) as drain:
            await request.body._complete.wait()
        if drain.cancelled_caught:
            response.headers["Connection"] = "close"
        incoming: Incoming | None = g.get("incoming")
        if incoming is None:
            return response
        response.headers.update(security_headers(incoming, self._deps.edge_port()))
        if incoming.is_api:
            response.headers.add("Vary", "Origin")
            origin = incoming.headers.get("origin")
            if origin in self._origins:
                response.headers.update(cors_headers(origin or ""))
            if response.mimetype == "text/html":
                response.headers["Content-Security-Policy"] = docs_policy(incoming.nonce)
        route = request.url_rule.rule if request.url_rule is not None else "none"
        method = incoming.method if incoming.method in _METHODS else "other"
        self._measures.observe(route, method, response.status_code, trio.current_time() - g.started)
        return response

    async def on_http_error(self, error: HTTPException) -> Any:
        if error.code is not None and error.code < 400:
            return error.get_response()
        response = await self._refused(from_http_status(error.code))
        if error.code == 405:
            allowed = sorted(getattr(error, "valid_methods", None) or ())
            response.headers["Allow"] = ", ".join(allowed)
        return response

    async def on_error(self, error: Exception) -> Response:
        if "incoming" not in g:
            raise error
        return await self._refused(as_domain_error(error, g.incoming))

    async def _refused(self, error: DoramiError) -> Response:
        incoming: Incoming | None = g.get("incoming")
        if incoming is None:
            # A WebSocket handshake: those are the edge's, on its own port.
            return Response(b"", self._deps.catalogue[error.code].http_status)
        if incoming.is_api:
            return error_response(error, incoming, self._deps)
        return error_page(error, self._deps, self._pages, incoming)
