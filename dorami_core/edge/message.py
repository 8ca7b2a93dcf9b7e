"""What is said to many: one event, its place in the order, and its bytes for each wire format, made once."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from dorami_core.base.structure import PlainDict, to_json
from dorami_core.edge.socketio import MAX_ATTACHMENTS, count_bytes, has_bytes
from dorami_core.edge.wire import Chunk, Place, WireFormat
from dorami_core.hooks.sockets import Delivery

_DELIVERIES = tuple(Delivery)
_OVERHEAD_BYTES = 200
"""Of a message in memory, beside its payload."""


@attrs.frozen
class Draft:
    """An event that has no place yet. `payload` is msgpack of `[event, data, delivery, is_numbered]`."""

    namespace: str
    room: str
    payload: bytes
    is_volatile: bool


def draft(namespace: str, room: str, event: str, data: Any, delivery: Delivery, *, is_numbered: bool = False) -> Draft:
    """TypeError or ValueError where `data` cannot be sent (10 pieces of bytes at most). `is_numbered`: an object that
    is to carry its own `seq` and `epoch`, as chat messages do."""
    plain = to_json(data)
    if count_bytes(plain) > MAX_ATTACHMENTS:
        raise ValueError(f"more than {MAX_ATTACHMENTS} attachments")
    try:
        payload = msgspec.msgpack.encode([event, plain, _DELIVERIES.index(delivery), is_numbered])
    except (OverflowError, RecursionError) as error:
        raise ValueError("cannot be sent") from error
    return Draft(namespace, room, payload, delivery is Delivery.LATEST)


class Message:
    """One event of a room on its way to sockets, and in the room's log. `serial` ascends over all rooms of this
    process; `number` over the namespace, `seq` over the room, within `epoch`; a volatile one (LATEST) has no place."""

    __slots__ = (
        "_chunks",
        "at",
        "data",
        "delivery",
        "event",
        "namespace",
        "number",
        "place",
        "room",
        "serial",
        "size",
    )

    def __init__(self, namespace: str, room: str, payload: bytes, place: Place | None, number: int, at: float) -> None:
        self.event, self.data, delivery, is_numbered = msgspec.msgpack.decode(payload)
        if is_numbered and place is not None:
            self.data |= {"seq": place.seq, "epoch": place.epoch}
        if type(self.data) is dict and not has_bytes(self.data):
            self.data = PlainDict(self.data)
        self.delivery = _DELIVERIES[delivery]
        self.namespace = namespace
        self.room = room
        self.place = place
        self.number = number
        self.at = at
        self.serial = 0
        self.size = len(payload) + _OVERHEAD_BYTES
        self._chunks: dict[WireFormat, Chunk] = {}

    @property
    def encodes(self) -> int:
        return len(self._chunks)

    def chunk(self, wire: WireFormat) -> Chunk:
        found = self._chunks.get(wire)
        if found is None:
            key = (self.namespace, self.room, self.event) if self.delivery is Delivery.LATEST else None
            data = wire.event(self.namespace, self.event, self.data, self.place)
            found = self._chunks[wire] = Chunk(data, self.delivery, key)
        return found
