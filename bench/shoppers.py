"""Buyers on raw sockets: WebSocket and Socket.IO, as little of both as an add to the cart needs."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import trio

from bench import frames

UPGRADE = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Shopper:
    """One signed-in buyer in namespace `/`, who asks one thing at a time."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._sock = sock
        self._rest = b""
        self._asked = 0

    def close(self) -> None:
        self._sock.close()

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[await self._sock.send(view) :]

    async def send(self, packet: str) -> None:
        await self.write(frames.frame(packet.encode()))

    async def read(self) -> bytes:
        data = await self._sock.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    async def expect(self, mark: bytes) -> bytes:
        """Reads until `mark` has come; what follows it is kept."""
        while mark not in self._rest:
            self._rest += await self.read()
        before, _, self._rest = self._rest.partition(mark)
        return before

    async def ask(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The acknowledgement; what else the server says meanwhile is passed over."""
        self._asked += 1
        await self.send(f"42{self._asked}" + json.dumps([event, payload]))
        answer: dict[str, Any] = (await self._until(f"43{self._asked}["))[0]
        return answer

    async def hear(self, event: str) -> dict[str, Any]:
        """The next event of this name."""
        data: dict[str, Any] = (await self._until(f'42["{event}"'))[1]
        return data

    async def _until(self, mark: str) -> list[Any]:
        while True:
            text = await self._text()
            if text == "2":
                await self.send("3")
            elif text.startswith(mark):
                payload: list[Any] = json.loads(text[text.index("[") :])
                return payload

    async def _text(self) -> str:
        """The next frame's payload. RFC 6455 5.2; a server's frames are not masked and here never fragmented."""
        size = (await self._take(2))[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(await self._take(2 if size == 126 else 8), "big")
        return (await self._take(size)).decode()

    async def _take(self, count: int) -> bytes:
        while len(self._rest) < count:
            self._rest += await self.read()
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken


async def connect_shopper(edge: str, token: str) -> Shopper:
    """ConnectionError where the server refuses."""
    where = urlsplit(edge)
    sock = trio.socket.socket()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await sock.connect((where.hostname or "127.0.0.1", where.port or 80))
    shopper = Shopper(sock)
    await shopper.write(UPGRADE.format(host=where.netloc).encode())
    head = await shopper.expect(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise ConnectionError(head.split(b"\r\n")[0].decode())
    await shopper.send("40" + json.dumps({"token": token}))
    while not (text := await shopper._text()).startswith('40{"sid"'):
        if text.startswith("44"):
            raise ConnectionError(text)
    return shopper
