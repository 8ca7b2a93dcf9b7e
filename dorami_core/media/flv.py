"""FLV bytes: the header, tags, and a reader that takes them as they come (FLV 10.1, annex E)."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from dorami_core.media.packets import MediaKind, MediaPacket

MAX_TAG_BYTES = 0xFFFFFF
"""DataSize is 24 bits wide (E.4.1)."""
_SIGNATURE = b"FLV\x01"
_TAG_HEADER = 11
_KINDS = frozenset(int(kind) for kind in MediaKind)


class FlvError(Exception):
    """These bytes are no FLV, or a tag is above the bound."""


def encode_header(*, audio: bool, video: bool) -> bytes:
    """The file header and PreviousTagSize0 (E.2, E.3). Players wait for every kind that is announced here."""
    return _SIGNATURE + bytes((audio << 2 | video,)) + b"\x00\x00\x00\x09\x00\x00\x00\x00"


def encode_tag(kind: int, timestamp_ms: int, payload: bytes) -> bytes:
    """One tag and its PreviousTagSize (E.4.1); bits 24 to 31 of the time go into TimestampExtended.

    FlvError if the payload is above MAX_TAG_BYTES.
    """
    size = len(payload)
    if size > MAX_TAG_BYTES:
        raise FlvError(f"a tag of {size} bytes does not fit")
    time = timestamp_ms & 0xFFFFFFFF
    head = struct.pack(">II", kind << 24 | size, (time & 0xFFFFFF) << 8 | time >> 24)
    return b"".join((head, b"\x00\x00\x00", payload, struct.pack(">I", size + _TAG_HEADER)))


def encode_metadata(values: Mapping[str, float]) -> bytes:
    """The payload of an onMetaData script tag of numbers (E.4.4; AMF0 string and ECMA array)."""
    fields = b"".join(_name(key) + b"\x00" + struct.pack(">d", value) for key, value in values.items())
    return b"\x02" + _name("onMetaData") + b"\x08" + struct.pack(">I", len(values)) + fields + b"\x00\x00\x09"


def _name(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


class FlvReader:
    """Turns a stream of FLV bytes, cut anywhere, into packets. Holds at most one incomplete tag.

    PreviousTagSize is skipped unread, as players do: encoders that never seek write it wrong.
    """

    def __init__(self, *, max_tag_bytes: int = MAX_TAG_BYTES) -> None:
        self._max_tag_bytes = max_tag_bytes
        self._buffer = bytearray()
        self._header_read = False

    def feed(self, data: bytes) -> list[MediaPacket]:
        """Packets that are complete with `data`; FlvError where the bytes are no FLV, or a tag is too large."""
        buffer = self._buffer
        buffer += data
        position = 0
        if not self._header_read:
            position = self._read_header()
            if not position:
                return []
        packets = []
        while len(buffer) - position >= _TAG_HEADER:
            first, time = struct.unpack_from(">II", buffer, position)
            size, kind = first & 0xFFFFFF, first >> 24
            if kind not in _KINDS:
                raise FlvError(f"tag type {kind} is none of {sorted(_KINDS)}")
            if size > self._max_tag_bytes:
                raise FlvError(f"a tag of {size} bytes is above {self._max_tag_bytes}")
            start = position + _TAG_HEADER
            if len(buffer) < start + size + 4:
                break
            timestamp_ms = time >> 8 | (time & 0xFF) << 24
            packets.append(MediaPacket(MediaKind(kind), timestamp_ms, bytes(buffer[start : start + size])))
            position = start + size + 4
        del buffer[:position]
        return packets

    def _read_header(self) -> int:
        buffer = self._buffer
        if not _SIGNATURE.startswith(buffer[:4]):
            raise FlvError("the FLV signature is missing")
        if len(buffer) < 9:
            return 0
        offset = int.from_bytes(buffer[5:9], "big")
        if not 9 <= offset <= 1024:
            raise FlvError(f"a header of {offset} bytes")
        if len(buffer) < offset + 4:
            return 0
        self._header_read = True
        return offset + 4
