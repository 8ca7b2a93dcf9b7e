"""HTTP/1.1 requests and small answers over a raw socket. httptools (llhttp) parses; only a POST may have a body."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl

import attrs
import httptools
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
        header = self.headers.get("cookie")
        if header is None:
            return None
        try:
            found = SimpleCookie(header).get(name)
        except CookieError:
            return None
        return found.value or None if found else None

    @property
    def wants_websocket(self) -> bool:
        return (
            self.headers.get("upgrade", "").lower() == "websocket"
            and "upgrade" in self.headers.get("connection", "").lower()
        )


@lru_cache(maxsize=64)
def _arguments(query: str) -> list[tuple[str, str]]:
    """A crowd asks alike; ValueError for more than 50."""
    return parse_qsl(query, keep_blank_values=True, max_num_fields=50)


def encode_head(status: int, headers: Headers) -> bytes:
    """Status line and headers (RFC 9112, 4)."""
    lines = [f"HTTP/1.1 {status} {_PHRASES[status]}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class _Head:
    """What the parser says of one request; its callbacks must not raise."""

    __slots__ = ("body", "body_size", "headers", "is_complete", "is_over", "keeps_alive", "parser", "size", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.size = self.body_size = 0
        self.is_complete = self.is_over = self.keeps_alive = False
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_complete:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.is_complete = True
        self.keeps_alive = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.body.append(body)
        self.body_size += len(body)

    def on_message_complete(self) -> None:
        self.is_over = True

    def feed(self, data: bytes) -> None:
        """BadRequest where it is no HTTP/1.x request."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # whether it is one is ours to say
        except httptools.HttpParserError as error:
            # A request without a version ends with its line, however much comes with it.
            is_old = self.is_complete and self.parser.get_http_version() == "0.9"
            raise BadRequest(505 if is_old else 400) from error

    def drop_parser(self) -> None:
        """Nothing more comes. The two hold each other, and would wait for the garbage collector."""
        del self.parser


class HttpConnection:
    """Requests of one connection, one after another. `first` is what another process has read of it already."""

    def __init__(self, sock: socket.socket, peer: str, first: bytes = b"") -> None:
        self.sock = sock
        self._peer = peer
        self._buffer = bytearray(first)
        self._head: _Head  # of the present request
        self._taken: bytearray | None = None
        self._left: int | None = 0
        """Of the body, bytes that nobody has read yet; None: chunks, until the parser knows their end."""

    @property
    def received(self) -> bytes:
        """All that came since the present request began, whatever follows it included; until `settle`."""
        return bytes((self._taken or b"") + self._buffer)

    def settle(self) -> None:
        """The request is served here, so nobody asks for its bytes."""
        self._taken = None

    async def next_request(self) -> Request | None:
        """None at the end of the connection, or where no whole request came within 10 s; the body of a POST is still to
        be read. Raises BadRequest."""
        head = self._head = _Head()
        self._taken = bytearray()
        self._left = 0
        self._take_head(head)
        if not head.is_complete and self._fill():  # it often is there already
            self._take_head(head)
        if not head.is_complete:
            with trio.move_on_after(REQUEST_TIMEOUT_S):
                while not head.is_complete:
                    await trio.lowlevel.wait_readable(self.sock)
                    if self._fill():
                        self._take_head(head)
                    elif head.size or self._buffer:
                        raise BadRequest(400)
                    else:
                        return None
        return self._build(head) if head.is_complete else None

    def _fill(self) -> bool:
        """False at the end of the stream, or where there is nothing yet and that is no matter."""
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return True
        self._buffer += data
        return bool(data)

    def _take_head(self, head: _Head) -> None:
        """Gives the parser what has come, up to the end of the head."""
        buffer = self._buffer
        while buffer and not head.is_complete:
            # the end may have begun in what was taken before
            before = bytes(self._taken[-3:]) if self._taken else b""
            end = (before + buffer).find(b"\r\n\r\n")
            count = len(buffer) if end < 0 else end + 4 - len(before)
            piece = bytes(buffer[:count])
            del buffer[:count]
            head.size += count
            if head.size > HEADER_MAX_BYTES:
                raise BadRequest(431)
            if self._taken is not None:
                self._taken += piece
            head.feed(piece)

    async def read_body(self, request: Request, max_bytes: int) -> bytes:
        """All of a POST's body. BadRequest: 413 beyond `max_bytes`, 408 after 30 s, 400 where it breaks off."""
        if self._left is not None and self._left > max_bytes:
            raise BadRequest(413)
        if self._left != 0 and not self._buffer and request.headers.get("expect", "").lower() == "100-continue":
            await send_all(self.sock, b"HTTP/1.1 100 Continue\r\n\r\n")
        with trio.move_on_after(BODY_TIMEOUT_S):
            return await (self._read_chunks(max_bytes) if self._left is None else self._read_length(self._left))
        raise BadRequest(408)

    async def _read_length(self, length: int) -> bytes:
        while len(self._buffer) < length:
            await self._read_more()
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._left = 0
        return body

    async def _read_chunks(self, max_bytes: int) -> bytes:
        """Line by line, so that the parser never sees what follows the last chunk."""
        head, buffer = self._head, self._buffer
        while not head.is_over:
            if not buffer:
                await self._read_more()
            end = buffer.find(b"\n") + 1 or len(buffer)
            head.feed(bytes(buffer[:end]))
            del buffer[:end]
            if head.body_size > max_bytes:
                raise BadRequest(413)
        self._left = 0
        head.drop_parser()
        return b"".join(head.body)

    async def _read_more(self) -> None:
        await trio.lowlevel.wait_readable(self.sock)
        if not self._fill():
            raise BadRequest(400)

    def _build(self, head: _Head) -> Request:
        if head.parser.get_http_version() not in ("1.0", "1.1"):
            raise BadRequest(505)
        method = head.parser.get_method().decode("latin-1")
        path, _, query = head.target.decode("latin-1").partition("?")
        headers: dict[str, str] = {}
        for raw_name, raw_value in head.headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            if name in headers:
                if name == "host":
                    raise BadRequest(400)  # RFC 9112, 3.2
                joint = "; " if name == "cookie" else ", "
                value = headers[name] + joint + value
            headers[name] = value
        if "transfer-encoding" in headers:
            self._left = None
        else:
            self._left = int(headers.get("content-length") or 0)
        if method != "POST" and self._left != 0:
            raise BadRequest(413)
        if "host" not in headers and head.parser.get_http_version() == "1.1":
            raise BadRequest(400)
        try:
            arguments = dict(_arguments(query)) if query else {}
        except ValueError:
            raise BadRequest(400) from None
        if self._left is not None:
            head.drop_parser()
        return Request(method, path, arguments, headers, self._peer)

    def take_rest(self) -> bytes:
        """What the client sent after its request: the beginning of another protocol."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    async def respond(self, request: Request | None, status: int, headers: Headers, body: bytes = b"") -> bool:
        """A whole answer, without the body for HEAD. True where another request may follow."""
        is_unread = self._left != 0
        goes_on = request is not None and self._head.keeps_alive and not is_unread
        goes_on = goes_on and ("Connection", "close") not in headers
        if not goes_on and ("Connection", "close") not in headers:
            headers = [*headers, ("Connection", "close")]
        await send_all(self.sock, _encode(request, status, headers, body))
        if is_unread:
            await self._linger()
        return goes_on

    def respond_nowait(self, request: Request, status: int, headers: Headers, body: bytes) -> None:
        """The connection's last words, as far as the kernel takes them."""
        try:
            self.sock.send(_encode(request, status, headers, body))
        except OSError:
            return

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


def _encode(request: Request | None, status: int, headers: Headers, body: bytes) -> bytes:
    length = [] if status == 204 else [("Content-Length", str(len(body)))]
    head = encode_head(status, [*headers, *length])
    return head if request is not None and request.method == "HEAD" else head + body


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
