"""From what a handler returned, or raised, to Quart's response."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from quart import Response

from dorami_core.base import languages
from dorami_core.base.errors import DoramiError
from dorami_core.web import csrf
from dorami_core.web.dependencies import WebDependencies
from dorami_core.web.envelope import JSON, failure, retry_after_s
from dorami_core.web.exchange import GUEST_COOKIE, Incoming
from dorami_core.web.replies import Cookie

log = structlog.get_logger()

YEAR_S = 365 * 24 * 3600

_HTTP_CODES = {
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.METHOD_NOT_ALLOWED: "METHOD_NOT_ALLOWED",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "PAYLOAD_TOO_LARGE",
}


def json_response(status: int, body: bytes) -> Response:
    """Answers under /api are nobody's but the asker's: they are not stored."""
    response = Response(body, status, content_type=JSON)
    response.headers["Cache-Control"] = "no-store"
    return response


def error_response(error: DoramiError, incoming: Incoming, deps: WebDependencies) -> Response:
    """The error envelope, with Retry-After where the error knows when."""
    status, body = failure(error, deps.catalogue, incoming.lang, deps.clock.now())
    response = json_response(status, body)
    if (seconds := retry_after_s(error)) is not None:
        response.headers["Retry-After"] = str(seconds)
    return response


def as_domain_error(error: BaseException, incoming: Incoming) -> DoramiError:
    """The DoramiError in what a handler raised; anything else is logged and becomes INTERNAL_ERROR."""
    inner = error
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    if isinstance(inner, DoramiError):
        return inner
    log.error("web.failed", method=incoming.method, path=incoming.path, exc_info=error)
    return DoramiError("INTERNAL_ERROR")


def from_http_status(code: int | None) -> DoramiError:
    """What Quart refused by itself: unknown path, wrong method, too much."""
    if code is not None and code in _HTTP_CODES:
        return DoramiError(_HTTP_CODES[HTTPStatus(code)])
    return DoramiError("VALIDATION_FAILED" if code is not None and 400 <= code < 500 else "INTERNAL_ERROR")


def set_cookie(response: Any, cookie: Cookie, *, secure: bool) -> None:
    response.set_cookie(
        cookie.name,
        cookie.value,
        max_age=cookie.max_age_s,
        path=cookie.path,
        httponly=cookie.http_only,
        secure=secure,
        samesite="Lax",
    )


def csrf_cookie(token: str) -> Cookie:
    """Readable by our scripts, which repeat it in a header."""
    return Cookie(csrf.COOKIE, token, None, http_only=False)


def guest_cookie(token: str) -> Cookie:
    return Cookie(GUEST_COOKIE, token, YEAR_S)


def lang_cookie(lang: str) -> Cookie:
    return Cookie(languages.COOKIE, lang, YEAR_S)
