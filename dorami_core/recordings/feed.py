"""Cuts the bytes of a relay into parts: a file can have one picture and one sound format only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from dorami_core.media.flv import FlvReader, encode_header, encode_tag
from dorami_core.media.packets import MediaKind, MediaPacket

GAP_MS = 1000
"""Where the clock is so much further than the file, it is marked anew: the file goes on without the gap."""


class Clock(Protocol):
    def now(self) -> datetime: ...


class Marks:
    """Where file and clock run alike. Packets come late, or in a burst, but never early: the least distance of the
    clock from the file is the true one, and a mark that a delay has made goes again when the delay does."""

    def __init__(self) -> None:
        self._marks: list[tuple[int, int]] = []

    def note(self, at_ms: int, unix_ms: int) -> None:
        """A packet of this time in the file came at this time of the clock."""
        ahead = unix_ms - at_ms
        marks = self._marks
        if not marks or ahead - _ahead(marks[-1]) > GAP_MS:
            marks.append((at_ms, unix_ms))
        elif ahead < _ahead(marks[-1]):
            marks[-1] = (marks[-1][0], marks[-1][0] + ahead)
            while len(marks) > 1 and _ahead(marks[-1]) - _ahead(marks[-2]) <= GAP_MS:
                marks.pop()

    def all(self) -> list[tuple[int, int]]:
        return list(self._marks)


def _ahead(mark: tuple[int, int]) -> int:
    return mark[1] - mark[0]


class Parts:
    """`async for` gives the bytes of the part that `begin` began; it ends where the format changes, or the broadcast
    does (then `over`). What belongs to the next part is kept for it."""

    def __init__(self, source: AsyncIterator[bytes], clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._reader = FlvReader()
        self._waiting: list[MediaPacket] = []
        self._headers: dict[MediaKind, MediaPacket] = {}
        self._formats: dict[MediaKind, bytes] = {}
        self._base_ms: int | None = None
        self._begun = False
        self.over = False
        self.marks = Marks()

    def begin(self) -> None:
        """The next part."""
        self._formats, self._base_ms, self._begun, self.marks = {}, None, False, Marks()

    async def wait_for_media(self) -> bool:
        """True once there is something to write; False where the broadcast has ended before."""
        while not self._waiting and not self.over:
            await self._read()
        return bool(self._waiting)

    def __aiter__(self) -> Parts:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if not self._waiting:
                if self.over:
                    raise StopAsyncIteration
                await self._read()
            made = self._make()
            if made:
                return made
            if self._waiting:
                raise StopAsyncIteration  # of another format

    async def _read(self) -> None:
        try:
            data = await anext(self._source)
        except StopAsyncIteration:
            self.over = True
            return
        self._waiting = self._reader.feed(data)

    def _make(self) -> bytes:
        out: list[bytes] = []
        unix_ms = round(self._clock.now().timestamp() * 1000)
        while self._waiting:
            packet = self._waiting[0]
            if packet.is_sequence_header:
                known = self._formats.get(packet.kind)
                if known is not None and known != packet.format:
                    break
                self._headers[packet.kind] = packet
                if known is None and self._begun:
                    self._formats[packet.kind] = packet.format
                    out.append(encode_tag(packet.kind, self._at(packet), packet.payload))
            elif packet.kind is not MediaKind.DATA:
                self._open(packet, out)
                at_ms = self._at(packet)
                self.marks.note(at_ms, unix_ms)
                out.append(encode_tag(packet.kind, at_ms, packet.payload))
            self._waiting.pop(0)
        return b"".join(out)

    def _open(self, first: MediaPacket, out: list[bytes]) -> None:
        """The head of the part, with the formats that hold at its first packet."""
        if self._begun:
            return
        self._begun = True
        self._base_ms = first.timestamp_ms
        kinds = {*self._headers, first.kind}
        out.append(encode_header(audio=MediaKind.AUDIO in kinds, video=MediaKind.VIDEO in kinds))
        for kind, header in self._headers.items():
            self._formats[kind] = header.format
            out.append(encode_tag(kind, 0, header.payload))

    def _at(self, packet: MediaPacket) -> int:
        return max(0, packet.timestamp_ms - (self._base_ms or 0))
