"""The way of a request through a JSON route: who, may he, is it his, what did he send, answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from quart import Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from dorami_core.base.errors import DoramiError
from dorami_core.hooks.http import FileAnswer, Request
from dorami_core.web import csrf, idempotency
from dorami_core.web.answers import (
    as_domain_error,
    csrf_cookie,
    error_response,
    json_response,
    set_cookie,
)
from dorami_core.web.bodies import MAX_BODY_BYTES, parse_json, parse_query, structure_body
from dorami_core.web.dependencies import WebDependencies
from dorami_core.web.envelope import dump, success
from dorami_core.web.exchange import Incoming, check_csrf, identify, to_request
from dorami_core.web.files import file_response
from dorami_core.web.idempotency import Claim, IdempotencyStore
from dorami_core.web.replies import Cookie, Plain, Reply
from dorami_core.web.router import ApiRoute

View = Callable[..., Awaitable[Response]]
KEEP_S = 1.0
"""What keeping an answer may take at least."""


def api_view(route: ApiRoute, deps: WebDependencies) -> View:
    """Quart's view of a route; never raises but for cancellation."""
    answering = _Answering(route, deps, IdempotencyStore(deps.db))

    async def view(**path_params: str) -> Response:
        incoming: Incoming = g.incoming
        try:
            return await answering.answer(incoming, path_params)
        except Exception as error:
            return error_response(as_domain_error(error, incoming), incoming, deps)

    return view


async def read_body() -> bytes:
    """The whole body; PAYLOAD_TOO_LARGE past 1 MiB."""
    try:
        data = await request.get_data(as_text=False)
    except RequestEntityTooLarge:
        raise DoramiError("PAYLOAD_TOO_LARGE", maxBytes=MAX_BODY_BYTES) from None
    return data if isinstance(data, bytes) else data.encode()


class _Answering:
    def __init__(self, route: ApiRoute, deps: WebDependencies, store: IdempotencyStore) -> None:
        self._route = route
        self._deps = deps
        self._store = store

    async def answer(self, incoming: Incoming, path_params: dict[str, str]) -> Response:
        route, deps = self._route, self._deps
        identified = identify(incoming, deps, bearer_must_hold=not route.lenient)
        identified.principal.require(route.access)
        if route.csrf:
            check_csrf(incoming, identified, incoming.headers.get(csrf.HEADER, ""), deps)
        asked = to_request(incoming, identified, path_params, incoming.cookies.get(csrf.COOKIE, ""))
        if route.guard is not None:
            route.guard(asked)
        arguments: list[Any] = []
        parsed: Any = None
        if incoming.method not in csrf.SAFE_METHODS:
            parsed = parse_json(await read_body(), incoming.headers.get("content-type", ""))
            built = structure_body(parsed, route.body)
            if route.body is not None:
                arguments.append(built)
        if route.query is not None:
            arguments.append(parse_query(incoming.args, route.query))
        key = incoming.headers.get(idempotency.HEADER)
        if key is None or route.method != "POST" or not route.idempotent:
            return await self._call(incoming, asked, arguments)
        claim = await self._store.claim(
            asked.principal.viewer_id,
            f"{incoming.method} {incoming.path}",
            idempotency.checked_key(key),
            idempotency.body_hash([parsed, dict(incoming.args)]),
        )
        if isinstance(claim, Claim):
            return await self._call_once(incoming, asked, arguments, claim)
        return json_response(claim.status, claim.body)

    async def _call(self, incoming: Incoming, asked: Request, arguments: list[Any]) -> Response:
        result = await self._route.handler(asked, *arguments)
        if isinstance(result, FileAnswer):
            return await file_response(result, incoming)
        return self._respond(incoming, result)

    async def _call_once(self, incoming: Incoming, asked: Request, arguments: list[Any], claim: Claim) -> Response:
        """The client may go while we work, and will ask again with the same key: so work and answer are finished and
        kept, in a bounded time, whatever becomes of the connection."""
        response: Response | None = None
        is_final = True
        with trio.move_on_after(idempotency.HANDLER_LIMIT_S, shield=True) as limit:
            try:
                response = await self._call(incoming, asked, arguments)
            except Exception as error:
                refusal = as_domain_error(error, incoming)
                row = self._deps.catalogue[refusal.code]
                response = error_response(refusal, incoming, self._deps)
                is_final = not (row.retryable or row.http_status >= 500)
        # What was done is kept, also where the handler has used up its time: forgotten, it would be done twice.
        with trio.CancelScope(shield=True, deadline=max(limit.deadline, trio.current_time() + KEEP_S)):
            if response is None or not is_final:
                await self._store.forget(claim)
            else:
                await self._store.remember(claim, response.status_code, await response.get_data(as_text=False))
        if response is None:
            # The handler was cut, which rolled its transaction back.
            raise DoramiError("UNAVAILABLE")
        return response

    def _respond(self, incoming: Incoming, result: Any) -> Response:
        route, deps = self._route, self._deps
        if isinstance(result, Plain):
            return Response(result.body, result.status, content_type=result.content_type)
        status = route.status
        cookies: list[Cookie] = []
        if isinstance(result, Reply):
            cookies = list(result.cookies)
            if result.session_id is not None:
                cookies.append(csrf_cookie(deps.csrf.issue(f"s:{result.session_id}")))
            status = result.status or status
            result = result.data
        response = json_response(status, success(result, deps.clock.now()) if route.envelope else dump(result))
        for cookie in cookies:
            set_cookie(response, cookie, secure=incoming.is_secure)
        return response
