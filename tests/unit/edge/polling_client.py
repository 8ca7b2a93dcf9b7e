"""A client of long polling that keeps its connections and says exactly what a test wants."""

from __future__ import annotations

import json
from typing import Any

import attrs
import trio
from edge_harness import Edge, RawClient

PATH = "/socket.io/?EIO=4&transport=polling"


@attrs.frozen
class Reply:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Wire:
    """One connection, kept alive."""

    def __init__(self, stream: trio.SocketStream, port: int) -> None:
        self.stream = stream
        self._port = port
        self._buffer = b""

    async def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> None:
        lines = {"Host": f"127.0.0.1:{self._port}"} | {name.replace("_", "-"): text for name, text in headers.items()}
        if body is not None and "Content-Length" not in lines:
            lines["Content-Length"] = str(len(body))
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {text}\r\n" for name, text in lines.items())
        await self.stream.send_all(head.encode() + b"\r\n" + (body or b""))

    async def reply(self) -> Reply:
        with trio.fail_after(60):
            while b"\r\n\r\n" not in self._buffer:
                await self._more()
            raw, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            lines = raw.decode("latin-1").split("\r\n")
            headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines[1:])}
            size = int(headers.get("content-length", 0))
            while len(self._buffer) < size:
                await self._more()
            body, self._buffer = self._buffer[:size], self._buffer[size:]
            return Reply(int(lines[0].split()[1]), headers, body.decode())

    async def _more(self) -> None:
        data = await self.stream.receive_some(65536)
        if not data:
            raise EOFError
        self._buffer += data

    async def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        await self.send(method, path, body, **headers)
        return await self.reply()


class PollingClient:
    """A session on two connections: one to receive, one to send."""

    def __init__(self, edge: Edge, getter: Wire, poster: Wire) -> None:
        self.edge = edge
        self.getter = getter
        self.poster = poster
        self.opened: dict[str, Any] = {}
        self.path = ""
        self.packets: list[str] = []

    @classmethod
    async def open(cls, edge: Edge, **headers: str) -> PollingClient:
        client = cls(edge, *[Wire(await edge.connect(), edge.port) for _ in range(2)])
        reply = await client.getter.ask("GET", PATH, **headers)
        assert reply.status == 200, reply
        assert reply.text[0] == "0"
        client.opened = json.loads(reply.text[1:])
        client.path = f"{PATH}&sid={client.opened['sid']}"
        return client

    @classmethod
    async def viewer(cls, edge: Edge, namespace: str = "/", **headers: str) -> PollingClient:
        """A client that has joined one namespace."""
        client = await cls.open(edge, **headers)
        prefix = "" if namespace == "/" else namespace + ","
        await client.push(f"40{prefix}")
        assert (await client.next()).startswith(f"40{prefix}{{")
        return client

    async def begin_poll(self) -> None:
        """Sends a GET and returns once the server waits."""
        await self.getter.send("GET", self.path)
        await trio.testing.wait_all_tasks_blocked()

    async def poll(self) -> list[str]:
        reply = await self.getter.ask("GET", self.path)
        assert reply.status == 200, reply
        return reply.text.split("\x1e")

    async def next(self) -> str:
        """The next packet, polling as often as it takes."""
        while not self.packets:
            self.packets = await self.poll()
        return self.packets.pop(0)

    async def push(self, *packets: str) -> None:
        reply = await self.poster.ask("POST", self.path, "\x1e".join(packets).encode())
        assert (reply.status, reply.text) == (200, "ok"), reply

    async def call(self, event: str, payload: Any = None, ack: int = 7) -> Any:
        """Emits and returns the acknowledgement, which has to be the next packet."""
        await self.push(f"42{ack}{json.dumps([event] if payload is None else [event, payload])}")
        reply = await self.next()
        assert reply.startswith(f"43{ack}["), reply
        return json.loads(reply[len(f"43{ack}") :])[0]

    async def is_known(self) -> bool:
        """Whether the server still has the session; ends it where it has, by a POST of nothing legal."""
        reply = await Wire(await self.edge.connect(), self.edge.port).ask("POST", self.path, b"")
        assert reply.status == 400
        return bool(reply.json["code"] != 1)

    async def websocket(self) -> RawClient:
        return await self.edge.websocket(f"EIO=4&transport=websocket&sid={self.opened['sid']}")

    async def probed(self) -> RawClient:
        """A WebSocket that has had its probe answered."""
        socket = await self.websocket()
        await socket.send("2probe")
        assert await socket.text() == "3probe"
        return socket
