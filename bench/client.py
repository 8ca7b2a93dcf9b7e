"""One WebSocket of a load client on a Loop: connects, upgrades, hands over text messages, answers pings."""

from __future__ import annotations

import os
import socket
import struct
from urllib.parse import urlsplit

import attrs

from bench import frames
from bench.loop import NOTHING, READ, WRITE, Loop
from bench.target import CannotRun

SOCKET_IO = "/socket.io/?EIO=4&transport=websocket"
ENGINE_PING = b"2"
ENGINE_PONG = b"3"
READ_BYTES = 65536
_RESET = struct.pack("ii", 1, 0)


@attrs.frozen
class Address:
    """Where an edge listens, looked up once."""

    host: str
    """For the header `Host`."""
    family: int
    sockaddr: tuple[object, ...]

    @classmethod
    def of(cls, edge: str) -> Address:
        where = urlsplit(edge)
        if where.scheme != "http":
            raise CannotRun(f"{edge}: the load client speaks http only; name the edge itself, not what is before it")
        found = socket.getaddrinfo(where.hostname, where.port or 80, type=socket.SOCK_STREAM)[0]
        return cls(where.netloc, found[0], found[4])


class Client:
    """What is sent before the connection stands is lost, so begin in `opened`. After `close` or `lost` it is no more
    than its figures."""

    __slots__ = ("_head", "_host", "_loop", "_path", "_protocol", "_reader", "close_code", "is_open", "sock")

    def __init__(
        self, loop: Loop, where: Address, path: str = SOCKET_IO, *, protocol: str | None = None, receive_buffer: int = 0
    ) -> None:
        self._loop = loop
        self._host, self._path, self._protocol = where.host, path, protocol
        self._head = b""
        self._reader = frames.FrameReader()
        self.close_code: int | None = None
        """Of the server's close frame."""
        self.is_open = True
        self.sock = socket.socket(where.family)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect_ex(where.sockaddr)
        loop.watch(self.sock.fileno(), self._on_connect, WRITE)

    # for subclasses

    def begin(self) -> None:
        """The TCP connection stands."""
        self._loop.change(self.sock.fileno(), self._on_head, READ)
        self.write(frames.upgrade(self._path, self._host, self._protocol))

    def opened(self) -> None:
        """The WebSocket stands."""

    def packet(self, payload: bytes) -> None:
        """A text message that is no Engine.IO ping."""

    def lost(self, reason: str) -> None:
        """The connection ended, and not by `close` or `abort`; called once."""

    # what can be done

    def send(self, text: str) -> None:
        self.write(frames.frame(text.encode()))

    def write(self, data: bytes) -> None:
        """ConnectionError where the kernel does not take all of it: whoever reads that little has no load test."""
        if not self.is_open:
            return
        try:
            sent = self.sock.send(data)
        except OSError as error:
            self.end(_why(error))
            return
        if sent != len(data):
            self.end("the server stopped reading")

    def close(self) -> None:
        """FIN (or RST, where something is unread)."""
        if self.is_open:
            self.is_open = False
            self._loop.unwatch(self.sock.fileno())
            self.sock.close()

    def abort(self) -> None:
        """RST: what a phone does that moved to another network and back."""
        if self.is_open:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.close()

    def stall(self) -> None:
        """Reads no more; the end of the connection is still noticed."""
        if self.is_open:
            self._loop.change(self.sock.fileno(), self._on_hang_up, NOTHING)

    def end(self, reason: str) -> None:
        if self.is_open:
            self.close()
            self.lost(reason)

    # events

    def receive(self) -> bytes | None:
        """What came; None where nothing did, or where it was the end."""
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            self.end(_why(error))
            return None
        if not data:
            self.end("closed by the server" if self.close_code is None else f"closed with {self.close_code}")
            return None
        return data

    def take(self, data: bytes) -> None:
        try:
            found = self._reader.feed(data)
        except ConnectionError as error:
            self.end(str(error))
            return
        for opcode, payload in found:
            if not self.is_open:
                return
            if opcode == frames.TEXT:
                if payload == ENGINE_PING:
                    self.write(frames.frame(ENGINE_PONG))
                else:
                    self.packet(payload)
            elif opcode == frames.PING:
                self.write(frames.frame(payload, frames.PONG))
            elif opcode == frames.CLOSE:
                self.close_code = int.from_bytes(payload[:2], "big")

    def _on_connect(self, mask: int) -> None:
        error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.end(os.strerror(error))
            return
        self.begin()

    def _on_head(self, mask: int) -> None:
        data = self.receive()
        if data is None:
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        self._head = b""
        status = head.split(b"\r\n")[0]
        if b" 101 " not in status + b" ":
            self.end(status.decode("latin-1"))
            return
        self._loop.change(self.sock.fileno(), self._on_data, READ)
        self.opened()
        if rest:
            self.take(rest)

    def _on_data(self, mask: int) -> None:
        data = self.receive()
        if data is not None:
            self.take(data)

    def _on_hang_up(self, mask: int) -> None:
        self.end(os.strerror(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) if mask & ~NOTHING else "closed")


def _why(error: OSError) -> str:
    return error.strerror or str(error)
