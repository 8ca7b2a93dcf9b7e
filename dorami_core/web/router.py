"""Where routes are collected at boot; implements `hooks.Router`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs

from dorami_core.base.principal import Access
from dorami_core.hooks.http import Handler, Request

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+|/\{[a-zA-Z_][a-zA-Z0-9_]*\})+|/")


@attrs.frozen(kw_only=True)
class ApiRoute:
    """A JSON route. The fields after `summary` are for the core's own routes."""

    method: str
    path: str
    handler: Handler
    access: Access
    body: type | None = None
    query: type | None = None
    response: type | None = None
    status: int = 200
    summary: str = ""
    csrf: bool = True
    """Asks for the token where cookies speak for the client."""
    lenient: bool = False
    """A bearer that is not valid is a guest's, not an error (sign-in, refresh, logout)."""
    idempotent: bool = True
    """Honours Idempotency-Key on POST."""
    envelope: bool = True
    guard: Callable[[Request], None] | None = None
    """Runs before the body is looked at; raises to hide the route."""


@attrs.frozen(kw_only=True)
class PageRoute:
    method: str
    path: str
    handler: Handler
    access: Access
    form: type | None = None


class WebRouter:
    """Collects routes; ValueError for a path under the wrong prefix, an unknown method, or a route given twice."""

    def __init__(self) -> None:
        self._api: list[ApiRoute] = []
        self._pages: list[PageRoute] = []
        self._seen: set[tuple[str, str]] = set()

    @property
    def api_routes(self) -> tuple[ApiRoute, ...]:
        return tuple(self._api)

    @property
    def page_routes(self) -> tuple[PageRoute, ...]:
        return tuple(self._pages)

    def api(
        self,
        method: str,
        path: str,
        handler: Handler,
        *,
        access: Access = Access.USER,
        body: type | None = None,
        query: type | None = None,
        response: type | None = None,
        status: int = 200,
        summary: str = "",
        **core: Any,
    ) -> None:
        """As `hooks.Router.api`; `core` sets the remaining fields of ApiRoute."""
        if not path.startswith("/api/"):
            raise ValueError(f"{path} is not under /api/")
        self._claim(method, path)
        self._api.append(
            ApiRoute(
                method=method,
                path=path,
                handler=handler,
                access=access,
                body=body,
                query=query,
                response=response,
                status=status,
                summary=summary,
                **core,
            )
        )

    def page(
        self,
        method: str,
        path: str,
        handler: Handler,
        *,
        access: Access = Access.PUBLIC,
        form: type | None = None,
    ) -> None:
        """As `hooks.Router.page`."""
        if path == "/api" or path.startswith(("/api/", "/static/")) or path == "/metrics":
            raise ValueError(f"{path} is not for pages")
        self._claim(method, path)
        self._pages.append(PageRoute(method=method, path=path, handler=handler, access=access, form=form))

    def _claim(self, method: str, path: str) -> None:
        if method not in _METHODS:
            raise ValueError(f"{method} is not one of {', '.join(_METHODS)}")
        if _PATH.fullmatch(path) is None:
            raise ValueError(f"{path} is no path of a route")
        shape = (method, re.sub(r"\{[^}]*\}", "{}", path))
        if shape in self._seen:
            raise ValueError(f"{method} {path} is registered twice")
        self._seen.add(shape)
