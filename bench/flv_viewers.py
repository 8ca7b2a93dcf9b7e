"""Cheap FLV viewers on a Loop: read in full up to the first video frame, from then on only counted. Some are samples:
they read the stamp of each frame."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from bench.client import Address
from bench.loop import READ, WRITE, Loop
from bench.viewers import read_stamp
from dorami_core.media.flv import FlvError, FlvReader
from dorami_core.media.packets import MediaKind, MediaPacket

STALL_S = 0.5
"""So long without a byte is a stall: ten intervals, and more than a player keeps ahead of a live broadcast."""
READ_BYTES = 1 << 18
_STAMP_WITHIN = 96
_buffer = bytearray(READ_BYTES)
_view = memoryview(_buffer)


class HttpBody:
    """The body of one HTTP/1.1 response, chunked or until the end; ConnectionError for another status than 200."""

    def __init__(self) -> None:
        self._rest = b""
        self._has_head = False
        self._is_chunked = False
        self._chunk_left = 0

    def feed(self, data: bytes) -> bytes:
        if not self._has_head:
            head, end, data = (self._rest + data).partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return b""
            if head.split(b" ", 2)[1:2] != [b"200"]:
                raise ConnectionError(head.split(b"\r\n")[0].decode("latin-1"))
            self._rest, self._has_head = b"", True
            self._is_chunked = b"transfer-encoding: chunked" in head.lower()
        return self._dechunk(data) if self._is_chunked else data

    def _dechunk(self, data: bytes) -> bytes:
        """RFC 9112, 7.1. The line end after a chunk counts to it, and is taken off."""
        data = self._rest + data
        self._rest = b""
        parts = []
        at = 0
        while at < len(data):
            if not self._chunk_left:
                end = data.find(b"\r\n", at)
                if end < 0:
                    self._rest = data[at:]
                    break
                self._chunk_left = int(data[at:end], 16) + 2
                at = end + 2
            part = data[at : at + self._chunk_left]
            at += len(part)
            body = max(0, self._chunk_left - 2)
            self._chunk_left -= len(part)
            parts.append(part[:body])
        return b"".join(parts)


class FlvViewer:
    """`on_lost` is called once, where the connection ended and not by `close`."""

    __slots__ = (
        "_body",
        "_is_first",
        "_last_s",
        "_loop",
        "_on_lost",
        "_reader",
        "_request",
        "asked_ns",
        "began_s",
        "bytes_in",
        "first_frame_s",
        "is_open",
        "is_sample",
        "numbers",
        "samples",
        "sock",
        "stalls",
    )

    def __init__(
        self,
        loop: Loop,
        where: Address,
        path: str,
        *,
        is_sample: bool,
        on_lost: Callable[[FlvViewer, str], None],
    ) -> None:
        self._loop = loop
        self._request = f"GET {path} HTTP/1.1\r\nHost: {where.host}\r\n\r\n".encode()
        self._body = HttpBody()
        self._reader = FlvReader()
        self._on_lost = on_lost
        self._is_first = False
        self.is_sample = is_sample
        self.is_open = True
        self.began_s = self._last_s = time.monotonic()
        self.asked_ns = 0
        self.first_frame_s: float | None = None
        """From `connect` to the last byte of the first key frame."""
        self.bytes_in = 0
        self.stalls = 0
        self.samples: list[tuple[int, int]] = []
        """When each frame was sent, and how long it took, in ns; not those that were sent before we asked."""
        self.numbers: list[int] = []
        self.sock = socket.socket(where.family)
        self.sock.setblocking(False)
        self.sock.connect_ex(where.sockaddr)
        loop.watch(self.sock.fileno(), self._on_connect, WRITE)

    def begin_count(self) -> None:
        """What came so far is forgotten, but for the first frame."""
        self._last_s = time.monotonic()
        self.bytes_in = self.stalls = 0
        self.samples.clear()

    def end_count(self) -> None:
        self._note_gap(time.monotonic())

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._loop.unwatch(self.sock.fileno())
            self.sock.close()

    def _end(self, reason: str) -> None:
        if self.is_open:
            self.close()
            self._on_lost(self, reason)

    def _on_connect(self, mask: int) -> None:
        try:
            self.asked_ns = time.monotonic_ns()
            self.sock.send(self._request)
        except OSError as error:
            self._end(str(error))
            return
        self._loop.change(self.sock.fileno(), self._on_media, READ)

    def _receive(self) -> int:
        """How many bytes are in the buffer now; 0 where nothing came, or the end."""
        try:
            count = self.sock.recv_into(_buffer)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._end(str(error))
            return 0
        if not count:
            self._end("closed by the server")
            return 0
        now = time.monotonic()
        if now - self._last_s > STALL_S:
            self.stalls += 1
        self._last_s = now
        self.bytes_in += count
        return count

    def _note_gap(self, now: float) -> None:
        if now - self._last_s > STALL_S:
            self.stalls += 1

    def _on_media(self, mask: int) -> None:
        count = self._receive()
        if not count:
            return
        try:
            packets = self._reader.feed(self._body.feed(bytes(_view[:count])))
        except (ConnectionError, FlvError, ValueError) as error:
            self._end(str(error))
            return
        now_ns = time.monotonic_ns()
        for packet in packets:
            self._take(packet, now_ns)
        if self.first_frame_s is None:
            return
        if not self.is_sample:
            self._reader = FlvReader()
            self._loop.change(self.sock.fileno(), self._on_bytes, READ)
        elif not self._is_first:
            self._is_first = True
            self._loop.promote(self.sock.fileno(), self._on_media)

    def _on_bytes(self, mask: int) -> None:
        self._receive()

    def _take(self, packet: MediaPacket, now_ns: int) -> None:
        if packet.kind is not MediaKind.VIDEO or packet.is_sequence_header:
            return
        if self.first_frame_s is None and packet.is_keyframe:
            self.first_frame_s = now_ns / 1e9 - self.began_s
        found = read_stamp(packet.payload[:_STAMP_WITHIN])
        if self.is_sample and found is not None:
            number, sent_ns = found
            self.numbers.append(number)
            if sent_ns > self.asked_ns:
                self.samples.append((sent_ns, now_ns - sent_ns))
