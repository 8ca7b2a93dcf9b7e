"""RFC 6455 without I/O: the handshake's answer, a parser of client frames, an encoder of server frames."""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
from enum import IntEnum

import attrs

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_CONTROL_MAX = 125
_NO_STATUS = 1005
_STRICT_UTF8 = codecs.getincrementaldecoder("utf-8")
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


class Opcode(IntEnum):
    """RFC 6455, 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_KNOWN = frozenset(int(opcode) for opcode in Opcode)


@attrs.frozen
class Text:
    """A whole text message."""

    text: str


@attrs.frozen
class Binary:
    """A whole binary message."""

    data: bytes


@attrs.frozen
class Ping:
    """To be answered with a pong of the same data, at most 125 bytes."""

    data: bytes


@attrs.frozen
class Pong:
    data: bytes


@attrs.frozen
class Close:
    """The peer closes; 1005 where it gave no code. Nothing that follows is read."""

    code: int
    reason: str


Event = Text | Binary | Ping | Pong | Close


class WebSocketError(Exception):
    """The peer broke the protocol; the connection has to be closed with `code` (RFC 6455, 7.4.1)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


def check_key(key: str) -> None:
    """ValueError where a `Sec-WebSocket-Key` is not 16 bytes in base64 (4.2.1)."""
    try:
        raw = base64.b64decode(key, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if len(raw) != 16:
        raise ValueError("not 16 bytes")


def accept_key(key: str) -> str:
    """`Sec-WebSocket-Accept` for a key that was checked (4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """One final, unmasked frame (5.2, 5.1: a server never masks)."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126, size >> 8, size & 0xFF)) + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def encode_close(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to what a control frame can hold, at a character's border."""
    text = reason.encode()[: _CONTROL_MAX - 2].decode("utf-8", "ignore").encode()
    return encode_frame(Opcode.CLOSE, b"" if code == _NO_STATUS else code.to_bytes(2, "big") + text)


def apply_mask(data: bytes, mask: bytes) -> bytes:
    """XORs with the repeated 4-byte mask (5.3), as one operation on two long integers."""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


class FrameParser:
    """Bytes of a client in, events out. `max_bytes` bounds one message, however it is cut into frames.

    What a message cannot be any more fails at once (8.1, and as strictly as can be): text that is no UTF-8 whatever
    follows is refused at its first such byte, in the middle of a frame too. `next_event` raises WebSocketError once;
    after that, and after a Close, everything is ignored.
    """

    __slots__ = (
        "_buffer",
        "_check",
        "_done",
        "_final",
        "_left",
        "_mask",
        "_max",
        "_message",
        "_message_opcode",
        "_need",
    )

    def __init__(self, max_bytes: int) -> None:
        self._buffer = bytearray()
        self._need = 2
        self._max = max_bytes
        self._message: bytearray | None = None
        self._message_opcode = 0
        self._check: codecs.IncrementalDecoder | None = None
        self._left = 0
        """Of the data frame that has begun, this much is to come, masked with `_mask`; `_final`: the message's last."""
        self._mask = b""
        self._final = False
        self._done = False

    def feed(self, data: bytes) -> None:
        if not self._done:
            self._buffer += data

    def next_event(self) -> Event | None:
        """The next whole event, or None until more is fed."""
        try:
            while not self._done and len(self._buffer) >= self._need:
                event = self._go_on() if self._left else self._next_frame()
                if event is not None:
                    return event
        except WebSocketError:
            self._finish()
            raise
        return None

    def _finish(self) -> None:
        self._done = True
        self._buffer = bytearray()
        self._message = self._check = None

    def _next_frame(self) -> Event | None:
        """Takes one frame, or begins it, or sets `_need` to the size that is worth another look."""
        buffer = self._buffer
        first, second = buffer[0], buffer[1]
        opcode, final = first & 0x0F, bool(first & 0x80)
        if first & 0x70:
            raise WebSocketError(1002, "reserved bits")
        if opcode not in _KNOWN:
            raise WebSocketError(1002, "unknown opcode")
        if not second & 0x80:
            raise WebSocketError(1002, "frame is not masked")
        size, start = second & 0x7F, 6
        if opcode >= 8 and (size > _CONTROL_MAX or not final):
            raise WebSocketError(1002, "control frame too long or fragmented")
        if size > _CONTROL_MAX:
            start, least = (8, 126) if size == 126 else (14, 65536)
            if len(buffer) < start - 4:
                self._need = start - 4
                return None
            size = int.from_bytes(buffer[2 : start - 4], "big")
            if size < least or size >> 63:
                raise WebSocketError(1002, "length is not minimal")
        if opcode < 8:
            self._check_data_frame(opcode, size)
        end = start + size
        if len(buffer) < end and (opcode >= 8 or len(buffer) < start):
            self._need = end if opcode >= 8 else start
            return None
        payload = bytes(buffer[start:end])
        mask = bytes(buffer[start - 4 : start])
        del buffer[:end]
        self._need = 2
        whole = len(payload) == size
        if payload:
            payload = apply_mask(payload, mask)
        if opcode >= 8:
            return self._control(opcode, payload)
        if final and opcode and whole:
            return Text(_utf8(payload)) if opcode == Opcode.TEXT else Binary(payload)
        if opcode:
            self._message, self._message_opcode = bytearray(), opcode
            self._check = _STRICT_UTF8() if opcode == Opcode.TEXT else None
        self._final = final
        return self._take(payload, mask, size)

    def _go_on(self) -> Event | None:
        """More of the payload that has begun."""
        payload = apply_mask(bytes(self._buffer[: self._left]), self._mask)
        del self._buffer[: len(payload)]
        return self._take(payload, self._mask, self._left)

    def _take(self, payload: bytes, mask: bytes, expected: int) -> Event | None:
        """Adds what has come of `expected` bytes to the message."""
        assert self._message is not None
        self._message += payload
        self._left = expected - len(payload)
        is_last = self._final and not self._left
        if self._check is not None:
            _check_utf8(self._check, payload, is_last)
        if self._left:
            turn = len(payload) % 4
            self._mask, self._need = mask[turn:] + mask[:turn], 1
            return None
        self._need = 2
        if not is_last:
            return None
        data, self._message, self._check = bytes(self._message), None, None
        return Text(_utf8(data)) if self._message_opcode == Opcode.TEXT else Binary(data)

    def _check_data_frame(self, opcode: int, size: int) -> None:
        if (opcode == Opcode.CONTINUATION) != (self._message is not None):
            raise WebSocketError(1002, "fragments out of order")
        if size + len(self._message or b"") > self._max:
            raise WebSocketError(1009, "message too large")

    def _control(self, opcode: int, payload: bytes) -> Event:
        if opcode == Opcode.PING:
            return Ping(payload)
        if opcode == Opcode.PONG:
            return Pong(payload)
        if not payload:
            self._finish()
            return Close(_NO_STATUS, "")
        code = int.from_bytes(payload[:2], "big")
        if len(payload) == 1 or not (code in _CLOSE_CODES or 3000 <= code <= 4999):
            raise WebSocketError(1002, "bad close code")
        reason = _utf8(payload[2:])
        self._finish()
        return Close(code, reason)


def _check_utf8(decoder: codecs.IncrementalDecoder, data: bytes, is_last: bool) -> None:
    try:
        decoder.decode(data, is_last)
    except UnicodeDecodeError:
        raise WebSocketError(1007, "not UTF-8") from None
    begun = decoder.getstate()[0]
    if begun[:1] == b"\xed" and begun[1:2] >= b"\xa0":  # half a surrogate, of which CPython wants to see the end
        raise WebSocketError(1007, "not UTF-8")


def _utf8(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise WebSocketError(1007, "not UTF-8") from None
