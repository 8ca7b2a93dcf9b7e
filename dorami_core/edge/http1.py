"""HTTP/1.1 requests and small answers over a raw socket. h11 parses; only a POST may have a body."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

import attrs
import h11
import msgspec
import trio

from dorami_core.base import languages
from dorami_core.base.clock import Clock
from dorami_core.base.envelope import error_envelope
from dorami_core.base.errors import DoramiError, ErrorCatalogue, Lang

HEADER_MAX_BYTES = 16 * 1024
REQUEST_TIMEOUT_S = 10.0
SEND_TIMEOUT_S = 30.0
BODY_TIMEOUT_S = 30.0
_LINGER_S = 1.0
_READ_BYTES = 16 * 1024
Headers = Sequence[tuple[str, str]]


class BadRequest(Exception):
    """No HTTP/1.x request, one whose body is too large or has no place, or one whose header passes 16 KiB; `status` is
    the answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@attrs.frozen
class Request:
    """A request's head. Names of headers are in lower case; values of repeated ones are joined (RFC 9110, 5.3)."""

    method: str
    path: str
    """As it was sent, percent signs and all."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    peer: str
    """The IP address at the other end of the socket; a proxy's where there is one."""

    @property
    def lang(self) -> Lang:
        """As on the web's pages."""
        cookies = {languages.COOKIE: self.cookie(languages.COOKIE) or ""}
        return languages.choose(self.query, cookies, self.headers.get("accept-language", ""))

    def cookie(self, name: str) -> str | None:
        try:
            found = SimpleCookie(self.headers.get("cookie", "")).get(name)
        except CookieError:
            return None
        return found.value or None if found else None

    @property
    def wants_websocket(self) -> bool:
        return (
            self.headers.get("upgrade", "").lower() == "websocket"
            and "upgrade" in self.headers.get("connection", "").lower()
        )


def encode_head(status: int, headers: Headers) -> bytes:
    """Status line and headers, for answers that h11 does not frame (an upgrade, an endless body)."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class HttpConnection:
    """Requests of one connection, one after another. `first` is what another process has read of it already."""

    def __init__(self, sock: socket.socket, peer: str, first: bytes = b"") -> None:
        self.sock = sock
        self._peer = peer
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_MAX_BYTES)
        self._received: bytearray | None = None
        if first:
            self._h11.receive_data(first)

    @property
    def received(self) -> bytes:
        """All that came since the present request began, whatever follows it included; until `settle`."""
        return bytes(self._received or b"")

    def settle(self) -> None:
        """The request is served here, so nobody asks for its bytes."""
        self._received = None

    async def next_request(self) -> Request | None:
        """None at the end of the connection, or where no whole request came within 10 s; the body of a POST is still to
        be read. Raises BadRequest."""
        self._received = bytearray(self._h11.trailing_data[0])
        with trio.move_on_after(REQUEST_TIMEOUT_S):
            try:
                event = await self._next_event()
                if not isinstance(event, h11.Request):
                    return None
                request = self._build(event)
                if request.method != "POST" and not isinstance(await self._next_event(), h11.EndOfMessage):
                    raise BadRequest(413)
            except h11.RemoteProtocolError as error:
                raise BadRequest(error.error_status_hint) from error
            return request
        return None

    async def read_body(self, request: Request, max_bytes: int) -> bytes:
        """All of a POST's body. BadRequest: 413 beyond `max_bytes`, 408 after 30 s, 400 where it breaks off."""
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > max_bytes:
            raise BadRequest(413)
        if self._h11.they_are_waiting_for_100_continue:
            go_on = self._h11.send(h11.InformationalResponse(status_code=100, headers=[]))
            await send_all(self.sock, go_on or b"")
        parts: list[bytes] = []
        size = 0
        with trio.move_on_after(BODY_TIMEOUT_S):
            try:
                while isinstance(event := await self._next_event(), h11.Data):
                    parts.append(bytes(event.data))
                    size += len(event.data)
                    if size > max_bytes:
                        raise BadRequest(413)
            except h11.RemoteProtocolError as error:
                raise BadRequest(error.error_status_hint) from error
            return b"".join(parts)
        raise BadRequest(408)

    async def _next_event(self) -> Any:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            await trio.lowlevel.wait_readable(self.sock)
            try:
                data = self.sock.recv(_READ_BYTES)
            except BlockingIOError:
                continue
            if self._received is not None:
                self._received += data
            self._h11.receive_data(data)
        return event

    def _build(self, event: h11.Request) -> Request:
        # h11 checks its limit only while a head is incomplete
        if len(event.target) + sum(len(name) + len(value) + 4 for name, value in event.headers) > HEADER_MAX_BYTES:
            raise BadRequest(431)
        path, _, query = event.target.decode("latin-1").partition("?")
        headers: dict[str, str] = {}
        for raw_name, raw_value in event.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            joint = "; " if name == "cookie" else ", "
            headers[name] = f"{headers[name]}{joint}{value}" if name in headers else value
        try:
            arguments = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=50))
        except ValueError:
            raise BadRequest(400) from None
        return Request(event.method.decode("latin-1"), path, arguments, headers, self._peer)

    def take_rest(self) -> bytes:
        """What the client sent after its request: the beginning of another protocol."""
        return self._h11.trailing_data[0]

    async def respond(self, request: Request | None, status: int, headers: Headers, body: bytes = b"") -> bool:
        """A whole answer, without the body for HEAD. True where another request may follow."""
        is_unread = self._h11.their_state is h11.SEND_BODY
        if is_unread and ("Connection", "close") not in headers:
            headers = [*headers, ("Connection", "close")]
        await send_all(self.sock, self._encode(request, status, headers, body))
        if is_unread:
            await self._linger()
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            return True
        return False

    def respond_nowait(self, request: Request, status: int, headers: Headers, body: bytes) -> None:
        """The connection's last words, as far as the kernel takes them."""
        try:
            self.sock.send(self._encode(request, status, headers, body))
        except OSError:
            return

    def _encode(self, request: Request | None, status: int, headers: Headers, body: bytes) -> bytes:
        length = [] if status == 204 else [("Content-Length", str(len(body)))]
        response = h11.Response(
            status_code=status,
            reason=HTTPStatus(status).phrase.encode(),
            headers=[(name.encode(), value.encode("latin-1")) for name, value in (*headers, *length)],
        )
        parts = [self._h11.send(response)]
        if body and (request is None or request.method != "HEAD"):
            parts.append(self._h11.send(h11.Data(data=body)))
        parts.append(self._h11.send(h11.EndOfMessage()))
        return b"".join(part for part in parts if part)

    async def _linger(self) -> None:
        """Reads on for a second: closing with unread bytes would reset the connection and lose the answer."""
        self.sock.shutdown(socket.SHUT_WR)
        with trio.move_on_after(_LINGER_S):
            while True:
                await trio.lowlevel.wait_readable(self.sock)
                try:
                    if not self.sock.recv(_READ_BYTES):
                        return
                except BlockingIOError:
                    continue


async def send_all(sock: socket.socket, data: bytes) -> None:
    """Everything, within 30 s; OSError or trio.TooSlowError where the peer does not take it."""
    with trio.fail_after(SEND_TIMEOUT_S):
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[sock.send(rest) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(sock)


def error_body(error: DoramiError, catalogue: ErrorCatalogue, lang: Lang, clock: Clock) -> tuple[int, bytes]:
    """The JSON error envelope and its status."""
    status, envelope = error_envelope(error, catalogue, lang, clock.now())
    return status, msgspec.json.encode(envelope)
