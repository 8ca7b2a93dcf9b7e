"""The HTTP side of an SRS as it was seen: FLV that hangs where nobody publishes, its API, and kicking by DELETE."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import trio

from dorami_core.media.flv import encode_header, encode_tag
from dorami_core.media.packets import MediaPacket

# As SRS 5.0.216 and 6.0.157 send them (trunk/src/app/srs_app_http_hooks.cpp, srs_app_heartbeat.cpp).
ON_PUBLISH = (
    '{"server_id":"vid-0xk989d","service_id":"382k456r","action":"on_publish","client_id":"341w361a",'
    '"ip":"127.0.0.1","vhost":"__defaultVhost__","app":"live",'
    '"tcUrl":"rtmp://127.0.0.1:1935/live?vhost=__defaultVhost__","stream":"livestream","param":"?k=v",'
    '"stream_url":"/live/livestream","stream_id":"vid-124q9y3"}'
)
HEARTBEAT = (
    '{"device_id":"my-srs-device","ip":"192.168.1.100","server":"vid-0xk989d","service":"382k456r","pid":"12345",'
    '"rtmp":["1935"],"http":["8080"],"api":["1985"],"srt":["udp://0.0.0.0:10080"],"rtc":["udp://0.0.0.0:8000"]}'
)


def on_publish(stream: str, secret: str, client_id: str = "341w361a") -> dict[str, Any]:
    body: dict[str, Any] = json.loads(ON_PUBLISH)
    return {**body, "stream": stream, "param": f"?secret={secret}", "client_id": client_id}


def on_unpublish(stream: str, client_id: str = "341w361a") -> dict[str, Any]:
    return {**on_publish(stream, "x", client_id), "action": "on_unpublish"}


class SrsServer:
    """`publish` is what an encoder does to SRS, `send` its packets; both ends of the callbacks are the test's."""

    def __init__(self) -> None:
        self.url = ""
        self.publishers: dict[str, str] = {}
        self.kicked: list[str] = []
        self.pulls = 0
        self._pullers: dict[str, list[trio.MemorySendChannel[bytes]]] = {}

    def publish(self, stream: str, client_id: str = "341w361a") -> None:
        self.publishers[stream] = client_id

    def unpublish(self, stream: str) -> None:
        """Viewers get EOF as soon as the publisher stops."""
        self.publishers.pop(stream, None)
        for channel in self._pullers.pop(stream, []):
            channel.close()

    def send(self, stream: str, *packets: MediaPacket) -> None:
        data = b"".join(encode_tag(p.kind, p.timestamp_ms, p.payload) for p in packets)
        for channel in self._pullers.get(stream, []):
            channel.send_nowait(data)

    def is_pulled(self, stream: str) -> bool:
        return bool(self._pullers.get(stream))

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        task_status.started()
        await trio.serve_listeners(self._connection, listeners)

    async def _connection(self, stream: trio.SocketStream) -> None:
        async with stream:
            try:
                await self._answer(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    async def _answer(self, stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            data = await stream.receive_some(4096)
            if not data:
                return
            request += data
        method, target = request.split(b" ")[:2]
        path = target.decode().partition("?")[0]
        if path.endswith(".flv"):
            await self._flv(stream, path.removeprefix("/live/").removesuffix(".flv"))
            return
        answer: dict[str, Any] = {"code": 0}
        if method == b"DELETE":
            client_id = path.rpartition("/")[2]
            self.kicked.append(client_id)
            for name in [name for name, holder in self.publishers.items() if holder == client_id]:
                self.unpublish(name)
        else:
            answer["streams"] = [
                {"id": "vid-1", "name": name, "app": "live", "publish": {"active": True, "cid": client_id}}
                for name, client_id in self.publishers.items()
            ]
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        await stream.send_all(head.encode() + body)

    async def _flv(self, stream: trio.SocketStream, name: str) -> None:
        self.pulls += 1
        if name not in self.publishers:
            while await stream.receive_some(4096):  # no headers, as SRS does
                continue
            return
        send, receive = trio.open_memory_channel[bytes](1000)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nConnection: close\r\n\r\n")
        await stream.send_all(encode_header(audio=True, video=True))
        self._pullers.setdefault(name, []).append(send)
        async with trio.open_nursery() as nursery:

            async def watch(scope: trio.CancelScope) -> None:
                while await stream.receive_some(4096):
                    continue
                scope.cancel()

            nursery.start_soon(partial(watch, nursery.cancel_scope))
            async for data in receive:
                await stream.send_all(data)
            nursery.cancel_scope.cancel()
        if send in self._pullers.get(name, []):
            self._pullers[name].remove(send)
