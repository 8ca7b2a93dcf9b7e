"""Payloads of Engine.IO's long polling, without I/O: several packets in one body.

Source: engine.io-protocol, v4, "HTTP long-polling": packets are joined by U+001E, a binary message is `b` and base64.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from dorami_core.edge.engineio import EngineError
from dorami_core.edge.websocket import Opcode

SEPARATOR = "\x1e"
SEPARATOR_BYTES = SEPARATOR.encode()


def split(body: bytes) -> Iterator[str | bytes]:
    """Packets of a client, one by one: text as it is, binary messages as bytes. EngineError for what is no payload."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise EngineError("payload is not UTF-8") from None
    start = 0
    while start >= 0:
        end = text.find(SEPARATOR, start)
        part = text[start:] if end < 0 else text[start:end]
        start = -1 if end < 0 else end + 1
        yield _binary(part) if part.startswith("b") else part


def _binary(part: str) -> bytes:
    try:
        return base64.b64decode(part[1:], validate=True)
    except (binascii.Error, ValueError):
        raise EngineError("binary message is not base64") from None


def from_frames(frames: bytes) -> bytes:
    """The data frames of a server, which are what queues hold, as packets of a payload. Control frames are left out."""
    packets, at = [], 0
    while at < len(frames):
        opcode, size, start = frames[at] & 0x0F, frames[at + 1], at + 2
        if size > 125:
            start += 2 if size == 126 else 8
            size = int.from_bytes(frames[at + 2 : start], "big")
        at = start + size
        if opcode == Opcode.TEXT:
            packets.append(frames[start:at])
        elif opcode == Opcode.BINARY:
            packets.append(b"b" + base64.b64encode(frames[start:at]))
    return SEPARATOR_BYTES.join(packets)
