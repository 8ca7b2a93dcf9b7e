"""What the edge answers to which request."""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable

import attrs
import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.peers import is_served
from dorami_core.edge import video, websocket
from dorami_core.edge.connection import Client, Handshake
from dorami_core.edge.engineio import Refusal
from dorami_core.edge.http1 import BadRequest, Headers, HttpConnection, Request, encode_head, error_body
from dorami_core.edge.origins import PREFLIGHT, cors_headers, is_allowed_origin
from dorami_core.edge.services import EdgeServices

log = structlog.get_logger()
_METHODS = ("GET", "HEAD", "OPTIONS")
_JSON = ("Content-Type", "application/json; charset=utf-8")
_LIVE_FLV = re.compile(r"/live/(?:live/)?([a-z0-9-]{4,64})\.flv")
_HLS_FILE = re.compile(r"/(?:hls|live)/([^/]+)")
_BAD_STATUS = {413: "PAYLOAD_TOO_LARGE"}


@attrs.frozen
class Answer:
    """A whole response."""

    status: int
    headers: Headers
    body: bytes = b""


@attrs.frozen
class Upgrade:
    """The connection is a WebSocket from here on; `first` is what the client sent after its request."""

    handshake: Handshake
    first: bytes


@attrs.frozen
class _Exchange:
    request: Request
    connection: HttpConnection
    services: EdgeServices
    cors: Headers
    origin_allowed: bool


async def serve_connection(sock: socket.socket, peer: str, services: EdgeServices) -> None:
    """One accepted connection until its end; the socket is closed. Network errors end it quietly."""
    counters = services.counters
    counters.open_connections += 1
    try:
        upgrade = await _serve_http(sock, peer, services)
        if upgrade is not None:
            client = Client(sock, upgrade.handshake, services)
            first = upgrade.first
            del upgrade
            await client.run(first)
    except (OSError, trio.TooSlowError, trio.ClosedResourceError):
        counters.disconnects["http_error"] += 1
    except Exception:
        counters.disconnects["error"] += 1
        log.exception("edge.connection_failed", address=peer)
    finally:
        counters.open_connections -= 1
        if sock.fileno() >= 0:
            sock.close()


async def _serve_http(sock: socket.socket, peer: str, services: EdgeServices) -> Upgrade | None:
    connection = HttpConnection(sock, peer)
    while True:
        try:
            request = await connection.next_request()
        except BadRequest as bad:
            error = DoramiError(_BAD_STATUS.get(bad.status, "VALIDATION_FAILED"))
            answer = _refuse(error, None, services, ())
            services.counters.requests[answer.status] += 1
            await connection.respond(None, answer.status, [*answer.headers, ("Connection", "close")], answer.body)
            return None
        if request is None:
            return None
        answer_or_upgrade = await _answer(request, connection, services)
        if not isinstance(answer_or_upgrade, Answer):
            return answer_or_upgrade
        answer = answer_or_upgrade
        services.counters.requests[answer.status] += 1
        if not await connection.respond(request, answer.status, answer.headers, answer.body):
            return None


async def _answer(request: Request, connection: HttpConnection, services: EdgeServices) -> Answer | Upgrade | None:
    """None: the answer was sent and the connection is over."""
    origin, host = request.headers.get("origin"), request.headers.get("host")
    if not is_served(host or "", services.hosts):
        return _refuse(DoramiError("MISDIRECTED_REQUEST"), request, services, ())
    allowed = origin is None or is_allowed_origin(origin, host or "", services.cors_origins, services.web_port())
    exchange = _Exchange(request, connection, services, cors_headers(origin, allowed), allowed)
    try:
        if request.method not in _METHODS:
            raise DoramiError("METHOD_NOT_ALLOWED")
        if request.method == "OPTIONS":
            return Answer(204, [*exchange.cors, *(PREFLIGHT if allowed and origin else ())])
        if request.path in ("/socket.io/", "/socket.io"):
            return await _engine_io(exchange)
        if request.path == "/healthz":
            return Answer(200, [_JSON, ("Cache-Control", "no-store")], b'{"status":"ok"}')
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
    return Answer(status, [_JSON, ("Cache-Control", "no-store"), *extra, *cors], body)


async def _flv(exchange: _Exchange, stream_key: str) -> Answer | None:
    sock, services, head_only = exchange.connection.sock, exchange.services, exchange.request.method == "HEAD"
    try:
        await video.serve_flv(stream_key, sock, exchange.cors, services, head_only=head_only)
    except DoramiError as error:
        answer = _refuse(error, exchange.request, services, exchange.cors)
        # what the client sent meanwhile was read and dropped
        return attrs.evolve(answer, headers=[*answer.headers, ("Connection", "close")])
    services.counters.requests[200] += 1
    return None


async def _hls(exchange: _Exchange, name: str) -> Answer:
    headers, body = await video.read_hls(name, exchange.services.video)
    return Answer(200, [*headers, *exchange.cors], body)


_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[_Exchange, str], Awaitable[Answer | None]]], ...] = (
    (_LIVE_FLV, _flv),
    (_HLS_FILE, _hls),
)


async def _engine_io(exchange: _Exchange) -> Answer | Upgrade:
    """The handshake of Engine.IO v4; the only transport so far is WebSocket (RFC 6455, 4.2)."""
    request, services = exchange.request, exchange.services
    refusal = _engine_io_refusal(request)
    if refusal is not None:
        return Answer(400, [("Content-Type", "application/json"), *exchange.cors], refusal.body())
    if not exchange.origin_allowed:
        raise DoramiError("FORBIDDEN", problem="origin")
    if request.headers.get("sec-websocket-version") != "13":
        return Answer(426, [("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket"), *exchange.cors])
    try:
        accept = websocket.accept_key(request.headers.get("sec-websocket-key", ""))
    except ValueError:
        raise DoramiError("VALIDATION_FAILED", problem="Sec-WebSocket-Key") from None
    handshake = Handshake(
        address=services.proxies.client(request.peer, "http", request.headers).peer,
        lang=request.lang,
        access_token=request.cookie("access_token"),
        guest_token=request.cookie("guest"),
    )
    services.counters.requests[101] += 1
    first = exchange.connection.take_rest()
    head = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
    # 129 bytes on a fresh socket: the kernel takes them at once
    exchange.connection.sock.send(encode_head(101, head))
    return Upgrade(handshake, first)


def _engine_io_refusal(request: Request) -> Refusal | None:
    query = request.query
    if query.get("transport") != "websocket":
        return Refusal.TRANSPORT_UNKNOWN
    if query.get("EIO") != "4":
        return Refusal.UNSUPPORTED_VERSION
    if request.method != "GET":
        return Refusal.BAD_HANDSHAKE_METHOD
    if "sid" in query:
        return Refusal.SESSION_UNKNOWN
    return None if request.wants_websocket else Refusal.BAD_REQUEST
