"""Just enough WebSocket for a client: the upgrade, masked text frames out, the server's frames in (RFC 6455)."""

from __future__ import annotations

import os

TEXT = 1
BINARY = 2
CLOSE = 8
PING = 9
PONG = 10


def upgrade(path: str, host: str, protocol: str | None = None) -> bytes:
    """The request; the key is always the same, since nobody here is to be convinced of the answer."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ]
    if protocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Final and masked (5.2, 5.3)."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
    mask = os.urandom(4)
    key = (mask * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")
    return head + mask + masked


class FrameReader:
    """A server's bytes in, whole frames out. `rest` is what has come of the next one."""

    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Opcodes and payloads; ConnectionError for what a server may not send or none of ours does (masks,
        fragments)."""
        data = self.rest + data
        frames, at, end = [], 0, len(data)
        while end - at >= 2:
            first, size = data[at], data[at + 1]
            if not first & 0x80 or first & 0x70 or size & 0x80:
                raise ConnectionError("a frame that is fragmented, extended or masked")
            start = at + 2
            if size == 126:
                size, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            elif size == 127:
                size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
            if start + size > end:
                break
            frames.append((first & 0x0F, data[start : start + size]))
            at = start + size
        self.rest = data[at:]
        return frames
