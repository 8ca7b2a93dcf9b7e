"""Light clients that read every message, lose their connection, and come back by the recovery of their protocol."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import msgspec

from bench.client import SOCKET_IO, Address, Client
from bench.loop import Loop
from bench.viewers import read_stamp

LOSSES = ("reset", "close", "silent")
"""How a connection is lost: RST, as of a phone in another network; FIN; or nothing at all, so that the server believes
in it until a ping is not answered."""
_decode = msgspec.json.decode


class Link(Client):
    """One connection of a Reader; what it hears once it is not the Reader's any more is nobody's."""

    __slots__ = ("_reader_of",)

    def __init__(self, loop: Loop, where: Address, path: str, protocol: str | None, reader: Reader) -> None:
        self._reader_of = reader
        super().__init__(loop, where, path, protocol=protocol)

    def opened(self) -> None:
        self._reader_of.on_open()

    def packet(self, payload: bytes) -> None:
        if self._reader_of.link is self:
            self._reader_of.on_packet(payload)

    def lost(self, reason: str) -> None:
        if self._reader_of.link is self:
            self._reader_of.on_lost(reason)


class Reader(ABC):
    """One client with what it has read over all its connections. It comes in with `connect`, and back with it too."""

    path = SOCKET_IO
    protocol: str | None = None

    def __init__(self, loop: Loop, where: Address, stream: str, on_change: Callable[[Reader, str], None]) -> None:
        """`on_change` is told `joined`, `recovered`, `not recovered`, or why the connection was lost unasked."""
        self.link: Link | None = None
        self.numbers: list[int] = []
        """Of the messages, as they came."""
        self.back_s: list[tuple[float, float]] = []
        """When it came back, and how long from connect() to the answer."""
        self._loop, self._where, self._stream = loop, where, stream
        self._on_change = on_change
        self._is_returning = False
        self._began = 0.0
        self._guest_token: str | None = None
        self._abandoned: list[Link] = []

    def connect(self) -> None:
        self._began = time.monotonic()
        self.link = Link(self._loop, self._where, self.path, self.protocol, self)

    def lose(self, how: str) -> None:
        """The connection is gone, in one of the ways of LOSSES."""
        link, self.link, self._is_returning = self.link, None, True
        if link is None:
            return
        if how == "reset":
            link.abort()
        elif how == "close":
            link.close()
        else:
            link.stall()
            self._abandoned.append(link)

    def close(self) -> None:
        for link in (*self._abandoned, *([self.link] if self.link else [])):
            link.abort()

    def on_open(self) -> None:
        """The WebSocket stands."""
        return

    @abstractmethod
    def on_packet(self, payload: bytes) -> None:
        """What the server says."""

    def on_lost(self, reason: str) -> None:
        self.link, self._is_returning = None, True
        self._on_change(self, reason)

    def say(self, text: str) -> None:
        if self.link is not None:
            self.link.send(text)

    @abstractmethod
    def join(self) -> None:
        """Into the room, as a page would that has just been opened."""

    def returned(self, is_recovered: bool) -> None:
        """The server has told whether what was missed follows; where not, the client joins anew as a page would."""
        self.back_s.append((self._began, time.monotonic() - self._began))
        self._on_change(self, "recovered" if is_recovered else "not recovered")
        if not is_recovered:
            self.join()

    def hear(self, event: str, data: Any) -> None:
        if event == "chat:message":
            self._add(data)
        elif event == "chat:history":
            known = set(self.numbers)
            for message in data:
                if (found := _number(message)) is not None and found not in known:
                    self.numbers.append(found)

    def _add(self, message: Any) -> None:
        found = _number(message)
        if found is not None:
            self.numbers.append(found)


def _number(message: Any) -> int | None:
    found = read_stamp(message["message"].encode())
    return None if found is None else found[0]


class SocketIoReader(Reader):
    """Connection state recovery of Socket.IO: `pid` of the CONNECT reply, and the offset that every event of a room
    carries last."""

    def __init__(self, loop: Loop, where: Address, stream: str, on_change: Callable[[Reader, str], None]) -> None:
        super().__init__(loop, where, stream, on_change)
        self._pid: str | None = None
        self._offset: str | None = None

    def on_open(self) -> None:
        auth: dict[str, str] = {}
        if self._guest_token is not None:
            auth["guestToken"] = self._guest_token
        if self._pid is not None:
            auth["pid"] = self._pid
            if self._offset is not None:
                auth["offset"] = self._offset
        self.say("40/chat," + json.dumps(auth))

    def on_packet(self, payload: bytes) -> None:
        if payload.startswith(b"42/chat,"):
            event, *arguments = _decode(payload[8:])
            if self._pid is not None and arguments and isinstance(arguments[-1], str):
                self._offset = arguments[-1]
            self.hear(event, arguments[0] if arguments else None)
        elif payload.startswith(b"40/chat,"):
            self._on_connected(_decode(payload[8:]))
        elif payload.startswith(b"43/chat,0["):
            if _decode(payload[9:])[0]["ok"]:
                self._on_change(self, "joined")
            else:
                self.on_lost(payload.decode())
        elif payload.startswith((b"44", b"41")):
            self.on_lost(payload.decode()[:200])

    def _on_connected(self, reply: dict[str, Any]) -> None:
        pid = reply.get("pid")
        is_recovered = pid is not None and pid == self._pid
        self._pid = pid
        self._guest_token = reply.get("guestToken", self._guest_token)
        if self._is_returning:
            self.returned(is_recovered)
        else:
            self.join()

    def join(self) -> None:
        self.say("42/chat,0" + json.dumps(["chat:join-room", {"liveId": self._stream}]))


class PlainReader(Reader):
    """The plain WebSocket: `resume` names the last sequence number of the room."""

    path = "/ws"
    protocol = "dorami.v1.json"

    def __init__(self, loop: Loop, where: Address, stream: str, on_change: Callable[[Reader, str], None]) -> None:
        super().__init__(loop, where, stream, on_change)
        self._room = f"/chat:{stream}"
        self._last: dict[str, Any] | None = None

    def on_packet(self, payload: bytes) -> None:
        message = _decode(payload)
        if "ack" in message:
            self._on_answer(message["ack"], message["data"])
        elif message["event"] == "hello":
            self._on_hello(message["data"])
        else:
            if message.get("room") == self._room and "seq" in message:
                self._last = {"room": self._room, "epoch": message["epoch"], "seq": message["seq"]}
            self.hear(message["event"], message.get("data"))

    def _on_hello(self, hello: dict[str, Any]) -> None:
        if self._is_returning and self._guest_token is not None:
            self.say(json.dumps({"event": "auth", "id": 1, "data": {"guestToken": self._guest_token}}))
        else:
            self._guest_token = hello.get("guestToken", self._guest_token)
        if self._is_returning and self._last is not None:
            self.say(json.dumps({"event": "resume", "id": 2, "data": {"rooms": [self._last]}}))
        else:
            self.join()

    def _on_answer(self, number: int, answer: dict[str, Any]) -> None:
        if not answer["ok"]:
            self.on_lost(json.dumps(answer)[:200])
        elif number == 2:
            self.returned(all(room["recovered"] for room in answer["data"]["rooms"]))
        elif number == 3:
            self._on_change(self, "joined")

    def join(self) -> None:
        room = {"liveId": self._stream}
        self.say(json.dumps({"ns": "/chat", "event": "chat:join-room", "id": 3, "data": room}))


READERS: dict[str, Callable[..., Reader]] = {"socketio": SocketIoReader, "ws": PlainReader}
