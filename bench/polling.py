"""A viewer on Engine.IO's long polling, as the default client begins: one request after another on one connection."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from bench.client import ENGINE_PING, ENGINE_PONG, Address, Client
from bench.loop import READ, Loop
from bench.scripts import Refused, Script

_PATH = "/socket.io/?EIO=4&transport=polling"
_SEPARATOR = b"\x1e"


class PollingViewer(Client):
    """What it has to say goes first, in one POST; else it polls. Stays, answering pings, once it has joined."""

    __slots__ = ("_body", "_is_post", "_on_joined", "_on_lost", "_script", "_sid", "answer", "began", "joined_at")

    def __init__(
        self,
        loop: Loop,
        where: Address,
        script: Callable[[Callable[[str], None]], Script],
        *,
        on_joined: Callable[[PollingViewer], None],
        on_lost: Callable[[PollingViewer, str], None],
    ) -> None:
        self.began = time.monotonic()
        super().__init__(loop, where)
        self._script: Script | None = script(self._say)
        self._on_joined, self._on_lost = on_joined, on_lost
        self._sid = ""
        self._body: list[bytes] = []
        self._is_post = False
        self.answer = ""
        self.joined_at: float | None = None

    def begin(self) -> None:
        self._loop.change(self.sock.fileno(), self._on_http, READ)
        self._request()

    def lost(self, reason: str) -> None:
        self._on_lost(self, reason)

    def _say(self, text: str) -> None:
        self._body.append(text.encode())

    def _request(self) -> None:
        path = f"{_PATH}&sid={self._sid}" if self._sid else _PATH
        body, self._body = _SEPARATOR.join(self._body), []
        self._is_post = bool(body)
        if body:
            head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: text/plain;charset=UTF-8\r\n"
            self.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        else:
            self.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    def _on_http(self, mask: int) -> None:
        data = self.receive()
        if data is None:
            return
        self._head += data
        head, end, body = self._head.partition(b"\r\n\r\n")
        if not end or len(body) < (size := _length(head)):
            return
        self._head = body[size:]
        status = head.split(b"\r\n")[0]
        if b" 200 " not in status + b" ":
            self.end((status + b" " + body[:size]).decode("latin-1")[:200])
            return
        if not self._is_post:
            self._take(body[:size])
        if self.is_open:
            self._request()

    def _take(self, body: bytes) -> None:
        for packet in body.split(_SEPARATOR):
            if not self._sid:
                self._sid = json.loads(packet[1:])["sid"]
                assert self._script is not None
                next(self._script)
            elif packet == ENGINE_PING:
                self._body.append(ENGINE_PONG)
            elif self._script is not None:
                self._feed(packet.decode())

    def _feed(self, packet: str) -> None:
        assert self._script is not None
        try:
            self._script.send(packet)
        except StopIteration as done:
            self.joined_at = time.monotonic()
            self.answer, self._script = done.value, None
            self._on_joined(self)
        except Refused as refused:
            self.end(f"refused: {refused}")


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
