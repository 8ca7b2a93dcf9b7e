"""A running edge, a raw WebSocket client, and the few outside things that the edge asks for."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import attrs
import trio

from dorami_core.base.errors import DoramiError, ErrorCatalogue
from dorami_core.base.ids import GuestId, UserId
from dorami_core.base.principal import Principal, UserIdentity
from dorami_core.base.settings import EdgeSettings
from dorami_core.edge.counters import EdgeCounters
from dorami_core.edge.placement import Place
from dorami_core.edge.rooms import RoomIndex
from dorami_core.edge.server import serve_edge
from dorami_core.edge.services import Admission, VideoOut
from dorami_core.edge.sockets import SocketRegistry
from dorami_core.edge.websocket import apply_mask
from dorami_core.media.sinks import ByteSink

NAMES = UUID("00000000-0000-0000-0000-00000000d04a")


def user_id(name: str) -> UserId:
    return UserId(uuid5(NAMES, name))


class TokenBook:
    """Tokens are `user:NAME` and `admin:NAME`; guest tokens `signed:NUMBER`."""

    def __init__(self) -> None:
        self.guests = 0

    def authenticate(self, token: str | None, guest_token: str | None) -> tuple[Principal, str | None]:
        if token is not None:
            role, _, name = token.partition(":")
            if role not in ("user", "admin") or not name:
                raise DoramiError("UNAUTHORIZED")
            return Principal(UserIdentity(user_id(name), "ADMIN" if role == "admin" else "USER", name)), None
        if guest_token is not None and guest_token.startswith("signed:"):
            return Principal(guest_id=GuestId(guest_token.removeprefix("signed:"))), None
        self.guests += 1
        return Principal(guest_id=GuestId(str(self.guests))), f"signed:{self.guests}"


class VideoFolder:
    """HLS from a folder; one FLV stream, `demo-stream`, fed by the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sinks: list[ByteSink] = []
        self.viewer_came = trio.Event()
        self.end = trio.Event()
        self.left = trio.Event()
        self.waiting = 0
        self.news = trio.Event()

    async def serve_flv(self, stream_key: str, sink: ByteSink) -> None:
        if stream_key != "demo-stream":
            raise DoramiError("STREAM_NOT_FOUND")
        sink.send_nowait(b"FLV\x01")
        self.sinks.append(sink)
        self.viewer_came.set()
        try:
            await self.end.wait()
        finally:
            self.left.set()

    async def read(self, name: str, query: Mapping[str, str], gone: Callable[[], Awaitable[None]]) -> bytes:
        """With `_HLS_msn` after `news`."""
        path = self.folder / name
        if not path.is_file():
            raise DoramiError("NOT_FOUND")
        if "_HLS_msn" in query:
            self.waiting += 1
            try:
                await self._wait(gone)
            finally:
                self.waiting -= 1
        return path.read_bytes()

    async def _wait(self, gone: Callable[[], Awaitable[None]]) -> None:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await gone()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            await self.news.wait()
            nursery.cancel_scope.cancel()
        if not self.news.is_set():
            raise trio.ClosedResourceError


@attrs.frozen
class Edge:
    port: int
    registry: SocketRegistry
    rooms: RoomIndex
    counters: EdgeCounters
    video: VideoFolder
    stop: Callable[[], None]
    streams: list[trio.SocketStream]
    """All that was opened; closed with the edge."""

    async def connect(self, *, receive_buffer: int | None = None) -> trio.SocketStream:
        sock = trio.socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await sock.connect(("127.0.0.1", self.port))
        stream = trio.SocketStream(sock)
        self.streams.append(stream)
        return stream

    async def websocket(
        self,
        query: str = "EIO=4&transport=websocket",
        *,
        receive_buffer: int | None = None,
        **headers: str,
    ) -> RawClient:
        """After the upgrade; the open packet is still to be read."""
        client = RawClient(await self.connect(receive_buffer=receive_buffer), self.port)
        status = await client.upgrade(f"/socket.io/?{query}", headers)
        assert status == 101, status
        return client

    async def viewer(self, namespace: str = "/", auth: dict[str, Any] | None = None, **kwargs: Any) -> RawClient:
        """A client that has joined one namespace."""
        client = await self.websocket(**kwargs)
        assert (await client.text())[0] == "0"
        await client.join(namespace, auth)
        return client


class RawClient:
    """Speaks frames, so that tests can be as rude as they need."""

    def __init__(self, stream: trio.SocketStream, port: int) -> None:
        self.stream = stream
        self.port = port
        self.buffer = bytearray()
        self.session: dict[str, Any] = {}
        self.head = b""

    async def upgrade(self, target: str, headers: dict[str, str]) -> int:
        lines = {
            "Host": f"127.0.0.1:{self.port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        text = f"GET {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        await self.stream.send_all(text.encode() + b"\r\n")
        while b"\r\n\r\n" not in self.buffer:
            await self._more()
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.head, self.buffer = head, bytearray(rest)
        return int(head.split()[1])

    async def _more(self) -> None:
        data = await self.stream.receive_some(65536)
        if not data:
            raise EOFError
        self.buffer += data

    async def send_frame(self, opcode: int, payload: bytes, *, final: bool = True) -> None:
        await self.stream.send_all(client_frame(opcode, payload, final=final))

    async def send(self, text: str) -> None:
        await self.send_frame(1, text.encode())

    async def frame(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload; EOFError at the end."""
        with trio.fail_after(60):
            while True:
                found = server_frame(self.buffer)
                if found is not None:
                    return found
                await self._more()

    async def text(self) -> str:
        opcode, payload = await self.frame()
        assert opcode == 1, (opcode, payload)
        return payload.decode()

    async def close_code(self) -> int:
        """Reads on until the close frame."""
        while True:
            opcode, payload = await self.frame()
            if opcode == 8:
                return int.from_bytes(payload[:2], "big")

    async def end(self) -> None:
        """Reads on until the server ends the connection, in whatever way."""
        try:
            while True:
                await self.frame()
        except (EOFError, trio.BrokenResourceError):
            return

    async def join(self, namespace: str = "/", auth: dict[str, Any] | None = None) -> dict[str, Any]:
        prefix = "" if namespace == "/" else namespace + ","
        await self.send(f"40{prefix}{json.dumps(auth) if auth is not None else ''}")
        reply = await self.text()
        assert reply.startswith(f"40{prefix}{{"), reply
        self.session = json.loads(reply.removeprefix(f"40{prefix}"))
        return self.session

    async def call(self, event: str, payload: Any = None, *, namespace: str = "/", ack: int = 7) -> Any:
        """Emits and returns the acknowledgement, which has to be the next frame."""
        prefix = "" if namespace == "/" else namespace + ","
        await self.send(f"42{prefix}{ack}{json.dumps([event] if payload is None else [event, payload])}")
        reply = await self.text()
        head = f"43{prefix}{ack}["
        assert reply.startswith(head), reply
        return json.loads(reply[len(head) - 1 :])[0]


def without_offset(text: str) -> str:
    """An event of a room without the offset that follows its arguments."""
    found = re.sub(r',"[0-9a-f]{8}\.\d+"\]$', "]", text)
    assert found != text, text
    return found


MASKS = random.Random(1)
"""The same masks in every run: frames are parameters of tests too, and give those their names."""


def client_frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    mask = MASKS.randbytes(4)
    head = bytes([(0x80 if final else 0) | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += bytes([0xFE]) + len(payload).to_bytes(2, "big")
    else:
        head += bytes([0xFF]) + len(payload).to_bytes(8, "big")
    return head + mask + apply_mask(payload, mask)


def server_frame(buffer: bytearray) -> tuple[int, bytes] | None:
    """Takes one frame of a server off the buffer."""
    if len(buffer) < 2:
        return None
    size, start = buffer[1], 2
    if size > 125:
        start = 4 if size == 126 else 10
        size = int.from_bytes(buffer[2:start], "big")
    if len(buffer) < start + size:
        return None
    opcode, payload = buffer[0] & 0x0F, bytes(buffer[start : start + size])
    del buffer[: start + size]
    return opcode, payload


@asynccontextmanager
async def running_edge(
    folder: Path,
    registry: SocketRegistry | None = None,
    *,
    hosts: tuple[str, ...] = (),
    cors_origins: tuple[str, ...] = (),
    web_port: int = 8000,
    trusted_proxies: tuple[str, ...] = (),
    flv_queue_max_bytes: int = 8_000_000,
    place: Place | None = None,
    video: VideoOut | None = None,
    admission: Admission | None = None,
    **settings: Any,
) -> AsyncIterator[Edge]:
    section = EdgeSettings(**settings)
    rooms, counters, own_video = RoomIndex(section.gather_max_s), EdgeCounters(), VideoFolder(folder)
    registry = registry or SocketRegistry(["/"])
    async with trio.open_nursery() as nursery:

        async def serve(task_status: trio.TaskStatus[int]) -> None:
            await serve_edge(
                "127.0.0.1",
                0,
                settings=section,
                hosts=hosts,
                cors_origins=cors_origins,
                web_port=lambda: web_port,
                trusted_proxies=trusted_proxies,
                authenticator=TokenBook(),
                admission=admission,
                sockets=registry,
                rooms=rooms,
                video=video or own_video,
                catalogue=ErrorCatalogue(),
                counters=counters,
                flv_queue_max_bytes=flv_queue_max_bytes,
                place=place,
                exposition=lambda: b"edge_is_here 1\n",
                task_status=task_status,
            )

        port = await nursery.start(serve)
        streams: list[trio.SocketStream] = []
        try:
            yield Edge(port, registry, rooms, counters, own_video, nursery.cancel_scope.cancel, streams)
        finally:
            for stream in streams:
                stream.socket.close()
        nursery.cancel_scope.cancel()
