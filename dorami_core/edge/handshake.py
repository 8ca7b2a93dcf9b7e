"""The Engine.IO endpoint: handshakes of both transports, polls, posts, and the WebSocket that takes over.

Source: engine.io-protocol, v4; refusals are JSON with the codes of the reference server.
"""

from __future__ import annotations

import trio

from dorami_core.base.errors import DoramiError
from dorami_core.edge import engineio, payload, websocket
from dorami_core.edge.engine_transport import EngineTransport
from dorami_core.edge.engineio import EngineError, Refusal
from dorami_core.edge.exchange import Answer, Exchange
from dorami_core.edge.http1 import BadRequest, Headers, Request
from dorami_core.edge.peer import Ended
from dorami_core.edge.polling import Polling
from dorami_core.edge.session import Session
from dorami_core.edge.upgrade import accept, handshake_of, switch, websocket_refusal

_YIELD_EVERY = 100
_TEXT = ("Content-Type", "text/plain; charset=UTF-8")


async def serve_engine_io(exchange: Exchange) -> Answer | EngineTransport | None:
    """None: the peer is gone."""
    request, services = exchange.request, exchange.services
    query = request.query
    refusal = _refusal(request)
    if refusal is not None:
        return _refuse(exchange, refusal)
    if not exchange.origin_allowed:
        raise DoramiError("FORBIDDEN", problem="origin")
    is_polling = query["transport"] == "polling"
    if "sid" not in query:
        return _open_polling(exchange) if is_polling else _open_websocket(exchange)
    session = services.sessions.find(query["sid"])
    if session is not None:
        session.on_time(trio.current_time())  # the wheel may be up to a tick late
    if services.sessions.has_moved(query["sid"]):
        return _refuse(exchange, Refusal.BAD_REQUEST) if is_polling else _turn_away(exchange)
    if session is None and request.method == "GET" and is_polling and services.sessions.take_left(query["sid"]):
        return _text(exchange, engineio.NOOP.encode())
    if session is None or session.polling is None or not session.is_open:
        return _refuse(exchange, Refusal.SESSION_UNKNOWN)
    if not is_polling:
        return _probe(exchange, session, session.polling)
    if request.method == "GET":
        return await _poll(exchange, session, session.polling)
    return await _push(exchange, session, session.polling)


def _refusal(request: Request) -> Refusal | None:
    query = request.query
    if query.get("transport") not in ("polling", "websocket"):
        return Refusal.TRANSPORT_UNKNOWN
    if query.get("EIO") != "4":
        return Refusal.UNSUPPORTED_VERSION
    is_polling = query["transport"] == "polling"
    if request.method != "GET" and not (request.method == "POST" and is_polling and "sid" in query):
        return Refusal.BAD_HANDSHAKE_METHOD
    return None if is_polling or request.wants_websocket else Refusal.BAD_REQUEST


def _headers(exchange: Exchange) -> Headers:
    return [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), *exchange.cors]


def _refuse(exchange: Exchange, refusal: Refusal) -> Answer:
    return Answer(400, [("Content-Type", "application/json"), *_headers(exchange)], refusal.body())


def _text(exchange: Exchange, body: bytes) -> Answer:
    return Answer(200, [_TEXT, *_headers(exchange)], body)


def _open_polling(exchange: Exchange) -> Answer:
    services = exchange.services
    session = Session(None, handshake_of(exchange), services)
    session.polling = Polling(services.sessions.new_sid())
    if not services.sessions.add(session.polling.sid, session):
        raise DoramiError("UNAVAILABLE")
    return _text(exchange, session.begin(session.polling.sid, ("websocket",)).encode())


async def _poll(exchange: Exchange, session: Session, polling: Polling) -> Answer | None:
    """Holds the GET until there is something to say."""
    if polling.is_polled:
        session.end("overlap")
        return _refuse(exchange, Refusal.BAD_REQUEST)
    polling.is_polled = True
    outbox, connection = session.outbox, exchange.connection
    try:
        while session.is_open and not outbox.queued_bytes and not polling.is_probed:
            if not await polling.wait(connection.sock):
                session.end("transport_close")
                return None
    except OSError:
        session.end("peer_reset")
        raise
    except trio.Cancelled:
        connection.respond_nowait(exchange.request, 200, _text(exchange, b"").headers, polling.farewell.encode())
        raise
    packets = outbox.take(session.services.settings.max_payload_bytes, payload.from_frames)
    ending = engineio.NOOP if session.is_open else polling.farewell
    answer = _text(exchange, payload.SEPARATOR_BYTES.join(packets) or ending.encode())

    def after(is_sent: bool) -> None:
        polling.is_polled = False
        if not is_sent:
            session.end("peer_reset")

    return Answer(answer.status, answer.headers, answer.body, after)


async def _push(exchange: Exchange, session: Session, polling: Polling) -> Answer:
    """Takes a POST's packets; answered when all of them have been taken, so that who floods has to wait."""
    if polling.is_pushed:
        session.end("overlap")
        return _refuse(exchange, Refusal.BAD_REQUEST)
    polling.is_pushed = True
    try:
        body = await exchange.connection.read_body(exchange.request, session.services.settings.max_payload_bytes)
        for count, message in enumerate(payload.split(body), 1):
            if not session.is_open:
                break
            later = session.receive(message)
            if later is not None:
                await later()
            if not count % _YIELD_EVERY:
                await trio.lowlevel.checkpoint()
    except Ended as end:
        session.end(end.reason, engineio.NOOP)
        if end.reason != "transport_close":
            return _refuse(exchange, Refusal.BAD_REQUEST)
        if not polling.is_polled:
            session.services.sessions.leave(polling.sid)
        return _text(exchange, b"ok")
    except EngineError:
        session.end("parse_error")
        return _refuse(exchange, Refusal.BAD_REQUEST)
    except BadRequest as bad:
        session.end("message_too_big" if bad.status == 413 else "transport_close")
        if bad.status == 413:
            raise DoramiError("PAYLOAD_TOO_LARGE") from None
        return _refuse(exchange, Refusal.BAD_REQUEST)
    except (OSError, trio.TooSlowError):
        session.end("peer_reset")
        raise
    finally:
        polling.is_pushed = False
    return _text(exchange, b"ok") if session.is_open else _refuse(exchange, Refusal.BAD_REQUEST)


def _open_websocket(exchange: Exchange) -> Answer | EngineTransport:
    refused = websocket_refusal(exchange)
    if refused is not None:
        return refused
    sock = exchange.connection.sock
    session = Session(sock, handshake_of(exchange), exchange.services)
    head, first = switch(exchange)
    return EngineTransport(sock, session, first, head)


def _probe(exchange: Exchange, session: Session, polling: Polling) -> Answer | EngineTransport | None:
    refused = websocket_refusal(exchange)
    if refused is not None:
        return refused
    if polling.probe is not None:
        return _turn_away(exchange)
    transport = EngineTransport(exchange.connection.sock, session, accept(exchange))
    polling.probe = trio.CancelScope()
    return transport


def _turn_away(exchange: Exchange) -> Answer | None:
    """The session has a WebSocket already: this one is opened and closed, which a browser can tell from a network
    that lets no WebSocket through."""
    refused = websocket_refusal(exchange)
    if refused is None:
        accept(exchange)
        exchange.connection.sock.send(websocket.encode_close(1008, "the session has a WebSocket"))
    return refused
