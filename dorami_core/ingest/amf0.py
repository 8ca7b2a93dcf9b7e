"""AMF0, the value encoding of RTMP commands and metadata (Action Message Format 0, December 2007)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, Union

import attrs

MAX_DEPTH = 16
MAX_VALUES = 4096

_NUMBER = struct.Struct(">d")
_LENGTH16 = struct.Struct(">H")
_LENGTH32 = struct.Struct(">I")
_DATE = struct.Struct(">dh")

_OBJECT_END = 0x09


class Amf0Error(ValueError):
    """The bytes are no AMF0 that is taken here, or the value cannot be written as AMF0."""


class Undefined:
    """The type of `UNDEFINED`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final = Undefined()


@attrs.frozen
class Date:
    """AMF0 2.13: milliseconds since 1970 UTC; the zone field is reserved and normally 0."""

    milliseconds: float
    zone: int = 0


Amf0Value: TypeAlias = Union[
    bool, int, float, str, Undefined, Date, "Mapping[str, Amf0Value]", "Sequence[Amf0Value]", None
]


class EcmaArray(dict[str, Amf0Value]):
    """AMF0 2.10: an object that is written with a (non-binding) count of its members."""


def decode(data: bytes) -> list[Amf0Value]:
    """All values that follow one another in `data`; Amf0Error where one is broken, too deep or too many."""
    decoder = Decoder(data)
    values = []
    while decoder.remaining:
        values.append(decoder.value())
    return values


def encode(*values: Amf0Value) -> bytes:
    """The values one after another; Amf0Error for what AMF0 cannot say."""
    out = bytearray()
    for value in values:
        _write(out, value, 0)
    return bytes(out)


class Decoder:
    """Reads values one at a time. At most MAX_DEPTH levels and MAX_VALUES values; never more memory than a small
    multiple of the input, since a count in the input is not trusted."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self.at = at
        self._values = 0

    @property
    def remaining(self) -> int:
        return len(self._data) - self.at

    def value(self, depth: int = 0) -> Amf0Value:
        """The next value. XML is a string, a typed object an object; references and AMF3 are refused."""
        if depth > MAX_DEPTH:
            raise Amf0Error(f"more than {MAX_DEPTH} levels")
        self._values += 1
        if self._values > MAX_VALUES:
            raise Amf0Error(f"more than {MAX_VALUES} values")
        marker = self._take(1)[0]
        match marker:
            case 0x00:
                return float(_NUMBER.unpack(self._take(8))[0])
            case 0x01:
                return self._take(1)[0] != 0
            case 0x02:
                return self._text(_LENGTH16)
            case 0x03:
                return self._members(depth)
            case 0x05:
                return None
            case 0x06 | 0x0D:
                return UNDEFINED
            case 0x08:
                self._take(4)
                return EcmaArray(self._members(depth))
            case 0x0A:
                (count,) = _LENGTH32.unpack(self._take(4))
                if count > min(self.remaining, MAX_VALUES):
                    raise Amf0Error(f"an array of {count} values in {self.remaining} bytes")
                return [self.value(depth + 1) for _ in range(count)]
            case 0x0B:
                return Date(*_DATE.unpack(self._take(10)))
            case 0x0C | 0x0F:
                return self._text(_LENGTH32)
            case 0x10:
                self._text(_LENGTH16)
                return self._members(depth)
        raise Amf0Error(f"marker 0x{marker:02x} is not taken")

    def string(self) -> str:
        """The next value, which must be a string."""
        value = self.value()
        if not isinstance(value, str):
            raise Amf0Error(f"a string was expected, not {type(value).__name__}")
        return value

    def _members(self, depth: int) -> dict[str, Amf0Value]:
        members: dict[str, Amf0Value] = {}
        while True:
            name = self._text(_LENGTH16)
            if not name and self.remaining and self._data[self.at] == _OBJECT_END:
                self.at += 1
                return members
            members[name] = self.value(depth + 1)

    def _text(self, length: struct.Struct) -> str:
        (size,) = length.unpack(self._take(length.size))
        try:
            return str(self._take(size), "utf-8")
        except UnicodeDecodeError as error:
            raise Amf0Error("a string is not UTF-8") from error

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._data):
            raise Amf0Error("the bytes end inside a value")
        part = self._data[self.at : end]
        self.at = end
        return part


def _write(out: bytearray, value: Amf0Value, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Amf0Error(f"more than {MAX_DEPTH} levels")
    if value is None:
        out.append(0x05)
    elif isinstance(value, bool):
        out += b"\x01\x01" if value else b"\x01\x00"
    elif isinstance(value, int | float):
        out.append(0x00)
        out += _number(value)
    elif isinstance(value, str):
        text = value.encode("utf-8")
        if len(text) <= 0xFFFF:
            out.append(0x02)
            out += _LENGTH16.pack(len(text))
        else:
            out.append(0x0C)
            out += _LENGTH32.pack(len(text))
        out += text
    elif isinstance(value, Undefined):
        out.append(0x06)
    elif isinstance(value, Date):
        out.append(0x0B)
        out += _DATE.pack(value.milliseconds, value.zone)
    elif isinstance(value, Mapping):
        if isinstance(value, EcmaArray):
            out.append(0x08)
            out += _LENGTH32.pack(len(value))
        else:
            out.append(0x03)
        for name, member in value.items():
            _write_name(out, name)
            _write(out, member, depth + 1)
        out += b"\x00\x00\x09"
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        out.append(0x0A)
        out += _LENGTH32.pack(len(value))
        for item in value:
            _write(out, item, depth + 1)
    else:
        raise Amf0Error(f"{type(value).__name__} has no AMF0 form")


def _number(value: float) -> bytes:
    try:
        return _NUMBER.pack(float(value))
    except OverflowError as error:
        raise Amf0Error("a number is too large") from error


def _write_name(out: bytearray, name: str) -> None:
    text = name.encode("utf-8")
    if len(text) > 0xFFFF:
        raise Amf0Error("a member's name is longer than 65535 bytes")
    out += _LENGTH16.pack(len(text))
    out += text
