"""Socket.IO v5 packets of socket.io-msgpack-parser 3.x, without I/O: one msgpack map in one binary message.

The map is `{type, nsp, data, id?}` with types 0 to 4; bytes are msgpack's own. What comes out is what JSON could have
said, plus bytes, so that a handler cannot tell which parser its client has.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec

from dorami_core.base.clock import iso
from dorami_core.edge.socketio import MAX_ID, MAX_NAMESPACE, Packet, PacketError, PacketType, check

_UNDEFINED = (0, b"\0")
"""JavaScript's undefined, in the extension of notepack; the encoder writes it where JSON leaves a field out."""
_MISSING = object()
_TYPES = (PacketType.CONNECT, PacketType.DISCONNECT, PacketType.EVENT, PacketType.ACK)


def encode(packet: Packet) -> bytes:
    """`data` has to be JSON-able, but for bytes; TypeError or ValueError where it is not."""
    fields: dict[str, Any] = {"type": int(packet.type), "nsp": packet.namespace}
    if packet.data is not None:
        fields["data"] = packet.data
    if packet.id is not None:
        fields["id"] = packet.id
    try:
        return msgspec.msgpack.encode(fields)
    except (OverflowError, RecursionError) as error:
        raise ValueError("cannot be said in msgpack") from error


class MsgpackDecoder:
    """Binary messages in, packets out; there is nothing to remember between them."""

    __slots__ = ()

    def feed(self, message: str | bytes) -> Packet | None:
        """PacketError closes the connection. Other keys of the map, such as the client's `options`, are ignored."""
        if isinstance(message, str):
            raise PacketError("text from a client that speaks msgpack")
        try:
            fields = _as_json(msgspec.msgpack.decode(message, ext_hook=_extension))
        except (msgspec.DecodeError, ValueError, OverflowError, OSError, RecursionError) as error:
            raise PacketError("not msgpack") from error
        if not isinstance(fields, dict):
            raise PacketError("not a map")
        kind, namespace, number = fields.get("type"), fields.get("nsp"), fields.get("id")
        if type(kind) is not int or kind not in _TYPES:
            raise PacketError("unknown packet type")
        if type(namespace) is not str or not namespace.startswith("/") or len(namespace) > MAX_NAMESPACE:
            raise PacketError("illegal namespace")
        if number is not None and (type(number) is not int or not 0 <= number <= MAX_ID):
            raise PacketError("illegal acknowledgement id")
        packet = Packet(PacketType(kind), namespace, fields.get("data"), number)
        check(packet)
        return packet


def _extension(code: int, data: memoryview) -> Any:
    raw = bytes(data)
    if (code, raw) == _UNDEFINED:
        return _MISSING
    if code == 0 and len(raw) == 8:  # notepack's Date: milliseconds, high and low half
        return iso(datetime.fromtimestamp(int.from_bytes(raw, "big", signed=True) / 1000, UTC))
    raise ValueError(f"extension {code}")


def _as_json(value: Any) -> Any:
    """Undefined fields left out, undefined items null, times as text; ValueError for what JSON cannot say."""
    if isinstance(value, dict):
        if not all(type(key) is str for key in value):
            raise ValueError("a key is no text")
        return {key: _as_json(item) for key, item in value.items() if item is not _MISSING}
    if isinstance(value, list):
        return [None if item is _MISSING else _as_json(item) for item in value]
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("no finite number")
    return value
