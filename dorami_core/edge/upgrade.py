"""From an HTTP request to a WebSocket (RFC 6455, 4.2)."""

from __future__ import annotations

from dorami_core.base.errors import DoramiError
from dorami_core.edge import websocket
from dorami_core.edge.exchange import Answer, Exchange
from dorami_core.edge.http1 import encode_head
from dorami_core.edge.peer import Handshake


def handshake_of(exchange: Exchange) -> Handshake:
    request, services = exchange.request, exchange.services
    return Handshake(
        address=services.proxies.client(request.peer, "http", request.headers).peer,
        lang=request.lang,
        access_token=request.cookie("access_token"),
        guest_token=request.cookie("guest"),
    )


def websocket_refusal(exchange: Exchange) -> Answer | None:
    """RFC 6455, 4.2.1."""
    headers = exchange.request.headers
    if headers.get("sec-websocket-version") != "13":
        return Answer(426, [("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket"), *exchange.cors])
    try:
        websocket.check_key(headers.get("sec-websocket-key", ""))
    except ValueError:
        raise DoramiError("VALIDATION_FAILED", problem="Sec-WebSocket-Key") from None
    return None


def accept(exchange: Exchange, subprotocol: str | None = None) -> bytes:
    """Answers 101; what the client has sent after its request."""
    head, first = switch(exchange, subprotocol)
    # some 130 bytes on a socket whose earlier answers were taken: the kernel takes them at once
    exchange.connection.sock.send(head)
    return first


def switch(exchange: Exchange, subprotocol: str | None = None) -> tuple[bytes, bytes]:
    """The 101 that is still to be sent (RFC 6455, 4.2.2), and what the client has sent after its request."""
    exchange.services.counters.requests[101] += 1
    first = exchange.connection.take_rest()
    accept = websocket.accept_key(exchange.request.headers["sec-websocket-key"])
    head = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
    if subprotocol is not None:
        head.append(("Sec-WebSocket-Protocol", subprotocol))
    return encode_head(101, head), first
