"""`GET /ws`: the way in to the plain WebSocket."""

from __future__ import annotations

import socket

from dorami_core.base.errors import DoramiError
from dorami_core.edge.connection import WebSocketTransport
from dorami_core.edge.exchange import Answer, Exchange
from dorami_core.edge.peer import Later
from dorami_core.edge.plain import SUBPROTOCOLS, PlainSession
from dorami_core.edge.upgrade import accept, handshake_of, websocket_refusal


class PlainTransport(WebSocketTransport):
    __slots__ = ("_plain",)

    def __init__(self, sock: socket.socket, session: PlainSession, first: bytes) -> None:
        super().__init__(sock, session, first)
        self._plain = session

    def _start(self) -> Later | None:
        return self._plain.start


def serve_plain(exchange: Exchange) -> Answer | PlainTransport:
    """VALIDATION_FAILED for a request that is no WebSocket's, or asks for no subprotocol that we know."""
    request = exchange.request
    if not exchange.origin_allowed:
        raise DoramiError("FORBIDDEN", problem="origin")
    if request.method != "GET" or not request.wants_websocket:
        raise DoramiError("VALIDATION_FAILED", problem="a WebSocket is wanted here")
    refused = websocket_refusal(exchange)
    if refused is not None:
        return refused
    offered = [name.strip() for name in request.headers.get("sec-websocket-protocol", "").split(",")]
    chosen = next((name for name in offered if name in SUBPROTOCOLS), None)
    if chosen is None:
        raise DoramiError("VALIDATION_FAILED", problem="subprotocol", known=sorted(SUBPROTOCOLS))
    sock = exchange.connection.sock
    session = PlainSession(sock, handshake_of(exchange), exchange.services, SUBPROTOCOLS[chosen])
    return PlainTransport(sock, session, accept(exchange, chosen))
