"""Many cheap viewers in one Trio task each: raw sockets that speak just enough WebSocket and Socket.IO.

What arrives is counted in the bytes of a frame and not parsed, so that one core can take a hundred thousand a second.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from typing import Any
from urllib.parse import urlsplit

import trio

MARK = b'"chat:message"'
STAMP = b"bench:"


class Viewer:
    """One connection that has joined the chat of one broadcast."""

    def __init__(self, sock: trio.socket.SocketType, *, samples: bool) -> None:
        self._sock = sock
        self._samples = samples
        self._rest = b""
        self.received = 0
        self.latencies_s: list[float] = []
        self.numbers: list[int] = []

    async def send(self, packet: str) -> None:
        """A text frame, masked as RFC 6455 5.3 asks of a client."""
        payload = packet.encode()
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))
        size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
        await _send_all(self._sock, b"\x81" + size + mask + masked)

    async def read(self) -> bytes:
        data = await self._sock.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    async def expect(self, mark: bytes) -> bytes:
        """Reads until `mark` has come; what follows it is kept."""
        seen = self._rest
        while mark not in seen:
            seen += await self.read()
        before, _, self._rest = seen.partition(mark)
        return before

    async def listen(self) -> None:
        """Counts for ever; answers pings."""
        tail = self._rest[-len(MARK) + 1 :]
        while True:
            data = await self.read()
            now = time.monotonic_ns()
            text = tail + data
            self.received += text.count(MARK)
            if self._samples:
                at = text.find(STAMP)
                while at >= 0:
                    stamp = text[at + len(STAMP) : at + len(STAMP) + 40].split(b'"')[0].split(b":")
                    if len(stamp) == 2:
                        self.numbers.append(int(stamp[0]))
                        self.latencies_s.append((now - int(stamp[1])) / 1e9)
                    at = text.find(STAMP, at + 1)
            tail = text[-len(MARK) + 1 :]
            if b"\x81\x012" in text:
                await self.send("3")


async def _send_all(sock: trio.socket.SocketType, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[await sock.send(view) :]


async def connect(edge: str, stream_key: str, *, token: str | None = None, samples: bool = False) -> Viewer:
    """Connects, joins namespace `/chat` and the room. ConnectionError where the server refuses."""
    where = urlsplit(edge)
    sock = trio.socket.socket()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await sock.connect((where.hostname or "127.0.0.1", where.port or 80))
    viewer = Viewer(sock, samples=samples)
    request = (
        f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await _send_all(sock, request.encode())
    head = await viewer.expect(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise ConnectionError(head.split(b"\r\n")[0].decode())
    auth: dict[str, Any] = {"token": token} if token else {}
    await viewer.send("40/chat," + json.dumps(auth))
    await viewer.expect(b'40/chat,{"sid"')
    await viewer.send("42/chat,0" + json.dumps(["chat:join-room", {"liveId": stream_key}]))
    await viewer.expect(b'43/chat,0[{"ok":true')
    return viewer
