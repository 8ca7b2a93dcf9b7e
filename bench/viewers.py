"""Cheap viewers: once they have joined, what arrives is counted in the bytes and not parsed, so that one core takes
more than a hundred thousand messages a second. Every so many a viewer is a sample: it reads each message."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench import frames
from bench.client import ENGINE_PONG, SOCKET_IO, Address, Client
from bench.loop import READ, Loop
from bench.scripts import Refused, Script

MARK = b'"chat:message"'
STAMP = b"bench:"
_PING_FRAME = b"\x81\x012"
_KEPT = len(MARK) - 1
_PONG_FRAME = frames.frame(ENGINE_PONG)


def stamp(number: int) -> str:
    """The text of a message: its number, and now in ns of the monotonic clock."""
    return f"bench:{number}:{time.monotonic_ns()}"


def read_stamp(payload: bytes) -> tuple[int, int] | None:
    """Number and time of a stamped message."""
    at = payload.find(STAMP)
    if at < 0:
        return None
    number, sent_ns = payload[at + len(STAMP) : at + 60].split(b'"')[0].split(b" ")[0].split(b":")
    return int(number), int(sent_ns)


class Viewer(Client):
    """`on_joined` and `on_lost` are called once at most, `on_lost` also for who was not let in."""

    __slots__ = (
        "_on_joined",
        "_on_lost",
        "_script",
        "_tail",
        "answer",
        "began",
        "is_sample",
        "joined_at",
        "numbers",
        "received",
        "samples",
    )

    def __init__(
        self,
        loop: Loop,
        where: Address,
        script: Callable[[Callable[[str], None]], Script],
        *,
        on_joined: Callable[[Viewer], None],
        on_lost: Callable[[Viewer, str], None],
        is_sample: bool = False,
        receive_buffer: int = 0,
    ) -> None:
        self.began = time.monotonic()
        super().__init__(loop, where, SOCKET_IO, receive_buffer=receive_buffer)
        self._script: Script | None = script(self.send)
        self._on_joined, self._on_lost = on_joined, on_lost
        self._tail = b""
        self.is_sample = is_sample
        self.answer = ""
        """The packet that let it in."""
        self.joined_at: float | None = None
        self.received = 0
        self.samples: list[tuple[int, int]] = []
        """Of a sample: when each message was sent and how long it took, in ns."""
        self.numbers: list[int] = []

    def opened(self) -> None:
        assert self._script is not None
        next(self._script)

    def packet(self, payload: bytes) -> None:
        if self._script is None:
            self._count(payload)
            return
        try:
            self._script.send(payload.decode())
        except StopIteration as done:
            self.joined_at = time.monotonic()
            self.answer, self._script = done.value, None
            self._on_joined(self)
        except Refused as refused:
            self.end(f"refused: {refused}")

    def lost(self, reason: str) -> None:
        self._on_lost(self, reason)

    def take(self, data: bytes) -> None:
        super().take(data)
        if self._script is None and self.is_open and not self.is_sample:
            self._tail, self._reader.rest = self._reader.rest, b""
            self._loop.change(self.sock.fileno(), self._on_bytes, READ)

    def read_first(self) -> None:
        """From now on this sample is served before all that are none."""
        self._loop.promote(self.sock.fileno(), self._on_data)

    def stall(self) -> None:
        super().stall()
        self._tail = b""

    def _on_bytes(self, mask: int) -> None:
        data = self.receive()
        if data is None:
            return
        tail = self._tail
        text = tail + data
        self.received += text.count(MARK)
        # a ping that ended the last read is still in the tail
        if text.find(_PING_FRAME, max(0, len(tail) - 2)) >= 0:
            self.write(_PONG_FRAME)
        self._tail = text[-_KEPT:]

    def _count(self, payload: bytes) -> None:
        now = time.monotonic_ns()
        if MARK not in payload:
            return
        self.received += 1
        if self.is_sample and (found := read_stamp(payload)) is not None:
            self.numbers.append(found[0])
            self.samples.append((found[1], now - found[1]))
