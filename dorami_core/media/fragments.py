"""A piece of a fragmented MP4 (ISO 14496-12, 8.8) that may still be growing, as a file to read.

Such a file has no index, so that reading from its middle would mean reading all before it. Each fragment says when it
begins (`tfdt`, 8.8.12); these are found by stepping from box to box.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

import attrs

MAX_HEAD_BYTES = 1 << 24
"""A `moov` or `moof` longer than this is none of ours."""
LEAD_MS = 20_000
"""The piece begins so much earlier, so that there is a key frame before its beginning."""
TAIL_MS = 2_000


@attrs.frozen
class Box:
    """`body` and `end` are offsets in the file."""

    kind: bytes
    start: int
    body: int
    end: int


def boxes_of(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Boxes one after another; what is cut off is left out."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        box = _box(data[start : start + 16], start)
        if box is None or box.end > end:
            return
        yield box
        start = box.end


def _box(head: bytes, start: int) -> Box | None:
    size, kind, body = int.from_bytes(head[:4], "big"), head[4:8], start + 8
    if size == 1 and len(head) == 16:
        size, body = int.from_bytes(head[8:16], "big"), start + 16
    return None if size < body - start else Box(kind, start, body, start + size)


def _inside(data: bytes, box: Box, *path: bytes) -> Iterator[Box]:
    for child in boxes_of(data, box.body, box.end):
        if child.kind == path[0]:
            if path[1:]:
                yield from _inside(data, child, *path[1:])
            else:
                yield child


def _number(data: bytes, at: int, size: int = 4) -> int:
    return int.from_bytes(data[at : at + size], "big")


def timescales(moov: bytes) -> dict[int, int]:
    """Units per second by track id."""
    found = {}
    for box in boxes_of(moov):
        for track in _inside(moov, box, b"trak"):
            head, media = next(_inside(moov, track, b"tkhd")), next(_inside(moov, track, b"mdia", b"mdhd"))
            # Version 1 has times of 64 bits before the number.
            track_id = _number(moov, head.body + (20 if moov[head.body] == 1 else 12))
            found[track_id] = _number(moov, media.body + (20 if moov[media.body] == 1 else 12))
    return found


def begin_ms(moof: bytes, scales: dict[int, int]) -> int | None:
    """When a fragment begins: the least time of its tracks."""
    times = []
    for box in boxes_of(moof):
        for traf in _inside(moof, box, b"traf"):
            head, time = next(_inside(moof, traf, b"tfhd"), None), next(_inside(moof, traf, b"tfdt"), None)
            if head is None or time is None:
                continue
            scale = scales.get(_number(moof, head.body + 4))
            if scale:
                times.append(_number(moof, time.body + 4, 8 if moof[time.body] == 1 else 4) * 1000 // scale)
    return min(times, default=None)


class Piece:
    """Reads the head of the file and then its fragments from `begin` to `end`, as if there were no others."""

    def __init__(self, file: BinaryIO, head_end: int, begin: int, end: int) -> None:
        self._file = file
        self._ranges = [(0, head_end), (begin, end)]

    def read(self, size: int) -> bytes:
        while self._ranges:
            start, end = self._ranges[0]
            data = os.pread(self._file.fileno(), min(size, end - start), start)
            if data:
                self._ranges[0] = (start + len(data), end)
                return data
            self._ranges.pop(0)
        return b""


def piece_of(file: BinaryIO, from_ms: int, until_ms: int) -> Piece | None:
    """None for a file that is not fragmented (it has an index) or has no whole fragment yet. The piece begins up to
    LEAD_MS earlier and ends a little later; the last fragment is left out where it is not whole."""
    size = os.fstat(file.fileno()).st_size
    scales: dict[int, int] = {}
    head_end = begin = end = at = 0
    while at + 8 <= size:
        box = _box(os.pread(file.fileno(), 16, at), at)
        if box is None or box.end > size:
            break
        if box.kind in (b"moov", b"moof") and box.end - box.start <= MAX_HEAD_BYTES:
            data = os.pread(file.fileno(), box.end - box.start, box.start)
            if box.kind == b"moov":
                scales, head_end = timescales(data), box.end
            elif (time_ms := begin_ms(data, scales)) is not None:
                if not begin or time_ms <= from_ms - LEAD_MS:
                    begin = box.start
                if time_ms > until_ms + TAIL_MS:
                    break
        elif box.kind == b"mdat" and begin:
            end = box.end
        at = box.end
    return Piece(file, head_end, begin, end) if begin < end else None
