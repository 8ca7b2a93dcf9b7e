"""What the edge answers to which request."""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Awaitable, Callable

import attrs
import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.peers import has_forwarded, is_loopback, is_served
from dorami_core.edge import video
from dorami_core.edge.connection import WebSocketTransport
from dorami_core.edge.exchange import Answer, Exchange
from dorami_core.edge.handshake import serve_engine_io
from dorami_core.edge.http1 import BadRequest, Headers, HttpConnection, Request, error_body
from dorami_core.edge.origins import cors_headers, is_allowed_origin, preflight
from dorami_core.edge.placement import ENGINE_IO, HLS_FILE, LIVE_FLV, hand_over
from dorami_core.edge.plain_transport import serve_plain
from dorami_core.edge.services import EdgeServices

log = structlog.get_logger()
_METHODS = ("GET", "HEAD", "OPTIONS")
_ENGINE_IO_METHODS = ("GET", "POST", "OPTIONS")
_JSON = ("Content-Type", "application/json; charset=utf-8")
_METRICS = ("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
_BAD_STATUS = {413: "PAYLOAD_TOO_LARGE"}


async def serve_connection(sock: socket.socket, peer: str, services: EdgeServices, first: bytes = b"") -> None:
    """One accepted connection until its end, when the socket is closed, or until it is an open WebSocket. Network
    errors end it quietly. `first` is what the process that accepted it has read."""
    counters = services.counters
    counters.open_connections += 1
    transport: WebSocketTransport | None = None
    try:
        transport = await _serve_http(HttpConnection(sock, peer, first), services)
        if transport is not None:
            await transport.serve()
    except (OSError, trio.TooSlowError, trio.ClosedResourceError):
        counters.disconnects["http_error"] += 1
    except Exception:
        counters.disconnects["error"] += 1
        log.exception("edge.connection_failed", address=peer)
    finally:
        counters.open_connections -= 1
        if transport not in services.transports and sock.fileno() >= 0:
            sock.close()


async def _serve_http(connection: HttpConnection, services: EdgeServices) -> WebSocketTransport | None:
    while True:
        try:
            request = await connection.next_request()
        except BadRequest as bad:
            error = DoramiError(_BAD_STATUS.get(bad.status, "VALIDATION_FAILED"))
            refusal = _refuse(error, None, services, ())
            services.counters.requests[refusal.status] += 1
            await connection.respond(None, refusal.status, [*refusal.headers, ("Connection", "close")], refusal.body)
            return None
        if request is None:
            return None
        answer = await _answer(request, connection, services)
        if not isinstance(answer, Answer):
            return answer
        services.counters.requests[answer.status] += 1
        is_sent = False
        try:
            goes_on = await connection.respond(request, answer.status, answer.headers, answer.body)
            is_sent = True
        finally:
            if answer.after is not None:
                answer.after(is_sent)
        if not goes_on:
            return None


async def _answer(
    request: Request, connection: HttpConnection, services: EdgeServices
) -> Answer | WebSocketTransport | None:
    """None: the answer was sent and the connection is over, or it is another process's now."""
    origin, host = request.headers.get("origin"), request.headers.get("host")
    if not is_served(host or "", services.hosts):
        return _refuse(DoramiError("MISDIRECTED_REQUEST"), request, services, ())
    allowed = origin is None or is_allowed_origin(origin, host or "", services.cors_origins, services.web_port())
    exchange = Exchange(request, connection, services, cors_headers(origin, allowed), allowed)
    try:
        if services.place is not None and await hand_over(request, connection, services.place):
            return None
        connection.settle()
        is_engine_io = request.path in ENGINE_IO
        if request.method == "OPTIONS":
            methods = ", ".join(_ENGINE_IO_METHODS if is_engine_io else _METHODS)
            return Answer(204, [*exchange.cors, *(preflight(methods) if allowed and origin else ())])
        if is_engine_io:
            return await serve_engine_io(exchange)
        if request.method not in _METHODS:
            raise DoramiError("METHOD_NOT_ALLOWED")
        if request.path == "/ws":
            return serve_plain(exchange)
        if request.path == "/healthz":
            return Answer(200, [_JSON, ("Cache-Control", "no-store")], b'{"status":"ok"}')
        if request.path == "/metrics" and is_loopback(request.peer) and not has_forwarded(request.headers):
            return Answer(200, [_METRICS, ("Cache-Control", "no-store")], services.exposition())
        for pattern, serve in _PATTERNS:
            if match := pattern.fullmatch(request.path):
                return await serve(exchange, match[1])
        raise DoramiError("NOT_FOUND")
    except DoramiError as error:
        return _refuse(error, request, services, exchange.cors)


def _refuse(error: DoramiError, request: Request | None, services: EdgeServices, cors: Headers) -> Answer:
    lang = request.lang if request is not None else "ko"
    status, body = error_body(error, services.catalogue, lang, services.clock)
    extra = [("Allow", ", ".join(_METHODS))] if status == 405 else []
    if error.retry_after_ms is not None:
        extra.append(("Retry-After", str(math.ceil(error.retry_after_ms / 1000))))
    return Answer(status, [_JSON, ("Cache-Control", "no-store"), *extra, *cors], body)


async def _flv(exchange: Exchange, stream_key: str) -> Answer | None:
    sock, services, head_only = exchange.connection.sock, exchange.services, exchange.request.method == "HEAD"
    try:
        await video.serve_flv(stream_key, sock, exchange.cors, services, head_only=head_only)
    except DoramiError as error:
        answer = _refuse(error, exchange.request, services, exchange.cors)
        # what the client sent meanwhile was read and dropped
        return attrs.evolve(answer, headers=[*answer.headers, ("Connection", "close")])
    services.counters.requests[200] += 1
    return None


async def _hls(exchange: Exchange, name: str) -> Answer:
    answer = await video.read_hls(exchange.request, name, exchange.connection.sock, exchange.services.video)
    return attrs.evolve(answer, headers=[*answer.headers, *exchange.cors])


_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[Exchange, str], Awaitable[Answer | None]]], ...] = (
    (LIVE_FLV, _flv),
    (HLS_FILE, _hls),
)
