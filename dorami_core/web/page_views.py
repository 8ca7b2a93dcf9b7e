"""The way of a request through a page: as an API route's, but guests are sent to sign in and errors are pages."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

from quart import Response, g

from dorami_core.base import languages
from dorami_core.base.errors import DoramiError
from dorami_core.hooks.http import Page, Redirect, Request
from dorami_core.identity.tokens import Identified
from dorami_core.web import csrf
from dorami_core.web.answers import as_domain_error, csrf_cookie, guest_cookie, lang_cookie, set_cookie
from dorami_core.web.api_views import View, read_body
from dorami_core.web.bodies import parse_form, structure_form
from dorami_core.web.dependencies import WebDependencies
from dorami_core.web.envelope import retry_after_s
from dorami_core.web.exchange import Incoming, check_csrf, csrf_token_for, identify, to_request
from dorami_core.web.router import PageRoute
from dorami_core.web.templates import Pages

LOGIN_PATH = "/login"
_HTML = "text/html; charset=utf-8"
_LOCAL = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")


def page_view(route: PageRoute, deps: WebDependencies, pages: Pages) -> View:
    """Quart's view of a page; never raises but for cancellation."""

    async def view(**path_params: str) -> Response:
        incoming: Incoming = g.incoming
        identified = identify(incoming, deps, bearer_must_hold=False)
        try:
            result = await _handle(route, deps, incoming, identified, path_params)
            if isinstance(result, Redirect):
                response = _redirect(result.location)
            else:
                response = _rendered(result, deps, pages, incoming, identified)
        except Exception as error:
            refusal = as_domain_error(error, incoming)
            if refusal.code == "UNAUTHORIZED" and identified.principal.user is None:
                response = _redirect(_login_url(incoming))
            else:
                response = error_page(refusal, deps, pages, incoming, identified)
        return _with_cookies(response, deps, incoming, identified)

    return view


async def _handle(
    route: PageRoute, deps: WebDependencies, incoming: Incoming, identified: Identified, path_params: dict[str, str]
) -> Any:
    identified.principal.require(route.access)
    asked = _request(incoming, identified, deps, path_params)
    if incoming.method in csrf.SAFE_METHODS:
        return await route.handler(asked)
    fields = parse_form(await read_body(), incoming.headers.get("content-type", ""))
    submitted = fields.pop(csrf.FIELD, "") or incoming.headers.get(csrf.HEADER, "")
    check_csrf(incoming, identified, submitted, deps)
    if route.form is None:
        return await route.handler(asked)
    return await route.handler(asked, structure_form(fields, route.form))


def _request(incoming: Incoming, identified: Identified, deps: WebDependencies, path_params: dict[str, str]) -> Request:
    # The token is made once for an exchange: form, cookie and context must agree.
    if "csrf_token" not in g:
        g.csrf_token = csrf_token_for(incoming, identified, deps)
    return to_request(incoming, identified, path_params, g.csrf_token[0])


def _rendered(page: Any, deps: WebDependencies, pages: Pages, incoming: Incoming, identified: Identified) -> Response:
    if not isinstance(page, Page):
        raise TypeError(f"a page's handler returned {type(page).__name__}")
    asked = _request(incoming, identified, deps, {})
    context: dict[str, Any] = {
        "request": asked,
        "csrf_token": asked.csrf_token,
        "user": identified.principal.user,
        "edge_port": deps.edge_port(),
        "nonce": incoming.nonce,
    }
    text = pages.render(page.template, incoming.lang, {**context, **page.context})
    return _html(text, page.status)


def error_page(
    error: DoramiError, deps: WebDependencies, pages: Pages, incoming: Incoming, identified: Identified | None = None
) -> Response:
    """The sentence of an error, in the first package's `error.html`, else as plain text."""
    if identified is None:
        identified = identify(incoming, deps, bearer_must_hold=False)
    row = deps.catalogue[error.code]
    sentence = deps.catalogue.sentence(error.code, incoming.lang)
    response = Response(f"{row.http_status} {sentence}\n", row.http_status, content_type="text/plain; charset=utf-8")
    response.headers["Cache-Control"] = "no-store"
    if pages.error_template is not None:
        context = {"code": row.code, "sentence": sentence, "status": row.http_status, "details": error.details}
        try:
            page = Page(pages.error_template, context, row.http_status)
            response = _rendered(page, deps, pages, incoming, identified)
        except Exception as broken:
            # The page about an error must not hide it: the plain sentence is still there.
            as_domain_error(broken, incoming)
    if (seconds := retry_after_s(error)) is not None:
        response.headers["Retry-After"] = str(seconds)
    return response


def _html(text: str, status: int) -> Response:
    response = Response(text, status, content_type=_HTML)
    response.headers["Cache-Control"] = "no-store"
    return response


def _redirect(location: str) -> Response:
    if _LOCAL.fullmatch(location) is None:
        raise ValueError(f"a redirect must stay on this site: {location!r}")
    # What is percent-encoded already stays as it is (RFC 3986, 2.4).
    encoded = quote(location, safe="/?#[]@!$&'()*+,;=:%~")
    return Response(b"", 303, {"Location": encoded, "Cache-Control": "no-store"}, content_type=_HTML)


def _login_url(incoming: Incoming) -> str:
    """Where to sign in and, for what can be asked again, where to go then."""
    if incoming.method not in csrf.SAFE_METHODS:
        return LOGIN_PATH
    query = f"?{urlencode(incoming.args)}" if incoming.args else ""
    return f"{LOGIN_PATH}?next={quote(incoming.path + query, safe='/')}"


def _with_cookies(response: Response, deps: WebDependencies, incoming: Incoming, identified: Identified) -> Response:
    secure = incoming.is_secure
    if identified.new_guest_token is not None:
        set_cookie(response, guest_cookie(identified.new_guest_token), secure=secure)
    token, is_new = g.get("csrf_token") or ("", False)
    if is_new:
        set_cookie(response, csrf_cookie(token), secure=secure)
    asked_lang = languages.known(incoming.args.get("lang"))
    if asked_lang is not None and incoming.cookies.get(languages.COOKIE) != asked_lang:
        set_cookie(response, lang_cookie(asked_lang), secure=secure)
    return response
