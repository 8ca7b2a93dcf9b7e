"""Socket.IO v5 without I/O: packets of the default (text) parser, with binary attachments both ways.

Source: socket.io-protocol, v5: `<type>[<n attachments>-][<namespace>,][<ack id>][JSON]`, carried in Engine.IO messages.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import attrs
import msgspec

from dorami_core.base.structure import PLAIN

MAX_ATTACHMENTS = 10
_MAX_ID_DIGITS = 15  # stays an exact integer in JavaScript
MAX_ID = 10**_MAX_ID_DIGITS - 1
MAX_NAMESPACE = 64
RESERVED_EVENTS = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)


class PacketType(IntEnum):
    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


_TYPES = tuple(PacketType)
_PLAIN = frozenset({str, int, float, bool, type(None)})
_BINARY = {PacketType.EVENT: PacketType.BINARY_EVENT, PacketType.ACK: PacketType.BINARY_ACK}


class PacketError(Exception):
    """The client sent what is no Socket.IO packet; the connection is closed."""


@attrs.frozen
class Packet:
    """A whole packet; BINARY_EVENT and BINARY_ACK arrive as EVENT and ACK with bytes in their data."""

    type: PacketType
    namespace: str = "/"
    data: Any = None
    id: int | None = None


def encode(packet: Packet) -> tuple[bytes, list[bytes]]:
    """The text form, and the attachments that follow it as binary messages: `data` is JSON-able, but for bytes anywhere
    in it. ValueError for more than 10 of them, which no client would accept."""
    attachments: list[bytes] = []
    if packet.type in _BINARY and has_bytes(packet.data):
        data = _take_bytes(packet.data, attachments)
        if len(attachments) > MAX_ATTACHMENTS:
            raise ValueError(f"more than {MAX_ATTACHMENTS} attachments")
        packet = attrs.evolve(packet, type=_BINARY[packet.type], data=data)
    head = str(int(packet.type))
    if attachments:
        head += f"{len(attachments)}-"
    if packet.namespace != "/":
        head += packet.namespace + ","
    if packet.id is not None:
        head += str(packet.id)
    start = head.encode()
    return start if packet.data is None else start + msgspec.json.encode(packet.data), attachments


def has_bytes(value: Any) -> bool:
    """Whether attachments are needed. Asked of every packet that leaves, and most are text and numbers throughout."""
    if isinstance(value, PLAIN):
        return False
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return isinstance(value, (bytes, bytearray, memoryview))
    return any(has_bytes(item) for item in value if type(item) not in _PLAIN)


def count_bytes(value: Any) -> int:
    """How many attachments are needed."""
    if isinstance(value, PLAIN):
        return 0
    if isinstance(value, (bytes, bytearray, memoryview)):
        return 1
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return sum(count_bytes(item) for item in items if type(item) not in _PLAIN)


def _take_bytes(value: Any, attachments: list[bytes]) -> Any:
    """Puts placeholders where bytes are, numbered in the order in which they are met."""
    if isinstance(value, dict):
        return {key: _take_bytes(item, attachments) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_take_bytes(item, attachments) for item in value]
    if not isinstance(value, (bytes, bytearray, memoryview)):
        return value
    attachments.append(bytes(value))
    return {"_placeholder": True, "num": len(attachments) - 1}


class Decoder:
    """Text and binary messages in, whole packets out. `max_bytes` bounds the attachments of one packet together."""

    __slots__ = ("_attachments", "_max_bytes", "_missing", "_packet")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._packet: Packet | None = None
        self._attachments: list[bytes] = []
        self._missing = 0

    def feed(self, message: str | bytes) -> Packet | None:
        """One Engine.IO message; None while attachments are missing. PacketError closes the connection."""
        if isinstance(message, bytes):
            return self._attach(message)
        if self._packet is not None:
            raise PacketError("text instead of an attachment")
        packet, missing = _parse(message)
        if missing is None:
            return packet
        self._packet, self._missing = packet, missing
        return self._complete()

    def _attach(self, data: bytes) -> Packet | None:
        if self._packet is None:
            raise PacketError("unexpected binary message")
        self._attachments.append(data)
        if sum(map(len, self._attachments)) > self._max_bytes:
            raise PacketError("attachments too large")
        return self._complete()

    def _complete(self) -> Packet | None:
        if len(self._attachments) < self._missing:
            return None
        packet, attachments = self._packet, self._attachments
        self._packet, self._attachments = None, []
        assert packet is not None
        try:
            return attrs.evolve(packet, data=_fill(packet.data, attachments))
        except RecursionError:
            raise PacketError("nested too deeply") from None


def _fill(value: Any, attachments: list[bytes]) -> Any:
    """Puts attachments where their placeholders are."""
    if isinstance(value, list):
        return [_fill(item, attachments) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("_placeholder") is True:
        number = value.get("num")
        if type(number) is not int or not 0 <= number < len(attachments):
            raise PacketError("illegal attachment")
        return attachments[number]
    return {key: _fill(item, attachments) for key, item in value.items()}


def _parse(text: str) -> tuple[Packet, int | None]:
    """The packet, and how many attachments follow (None: not a binary packet)."""
    if not text or text[0] not in "0123456":
        raise PacketError("unknown packet type")
    kind = _TYPES[int(text[0])]
    at, attachments = 1, None
    if kind in (PacketType.BINARY_EVENT, PacketType.BINARY_ACK):
        dash = text.find("-", 1, 5)
        if dash < 0 or not _digits(text[1:dash]):
            raise PacketError("illegal number of attachments")
        attachments = int(text[1:dash])
        if attachments > MAX_ATTACHMENTS:
            raise PacketError("too many attachments")
        kind = PacketType.EVENT if kind is PacketType.BINARY_EVENT else PacketType.ACK
        at = dash + 1
    namespace = "/"
    if text[at : at + 1] == "/":
        comma = text.find(",", at)
        end = len(text) if comma < 0 else comma
        namespace, at = text[at:end], end + 1
        if len(namespace) > MAX_NAMESPACE:
            raise PacketError("namespace too long")
    start, limit = at, min(len(text), at + _MAX_ID_DIGITS + 1)
    while at < limit and "0" <= text[at] <= "9":
        at += 1
    if at - start > _MAX_ID_DIGITS:
        raise PacketError("acknowledgement id too long")
    number = int(text[start:at]) if at > start else None
    packet = Packet(kind, namespace, _json(text[at:]) if at < len(text) else None, number)
    check(packet)
    return packet, attachments


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise PacketError("payload is not JSON") from error


def check(packet: Packet) -> None:
    """The payload that each type allows (v5, "Packet encoding"); PacketError for any other."""
    data = packet.data
    match packet.type:
        case PacketType.CONNECT:
            fine = data is None or isinstance(data, dict)
        case PacketType.DISCONNECT:
            fine = data is None
        case PacketType.EVENT:
            fine = isinstance(data, list) and bool(data) and _is_event_name(data[0])
        case PacketType.ACK:
            fine = isinstance(data, list) and packet.id is not None
        case _:
            fine = False  # CONNECT_ERROR goes from server to client only
    if not fine:
        raise PacketError(f"bad payload of {packet.type.name}")


def _is_event_name(name: Any) -> bool:
    return (type(name) is str and name not in RESERVED_EVENTS) or type(name) in (int, float)
