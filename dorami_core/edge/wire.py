"""How a message to clients looks on the wire. A room encodes once for each format that its members speak."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import attrs
import msgspec

from dorami_core.base.structure import to_json
from dorami_core.edge import engineio, msgpack_packets, websocket
from dorami_core.edge.socketio import Packet, PacketType, encode, has_bytes
from dorami_core.hooks.sockets import Delivery


@attrs.frozen
class Chunk:
    """Bytes that go out whole or not at all, and what may happen to them while they wait."""

    data: bytes
    delivery: Delivery = Delivery.REQUIRED
    key: Hashable = None
    """For LATEST: what a newer one replaces."""


@attrs.frozen
class Place:
    """Where an event stands: `seq` within the room, `offset` within the namespace (opaque to clients)."""

    room: str
    epoch: str
    seq: int
    offset: str


class WireFormat(Protocol):
    """Makes whole frames, ready for `send`. One object per format; it is the key under which rooms sort members.

    `data` is JSON-able, but for bytes anywhere in it, at most 10; TypeError or ValueError where it is not.
    """

    has_packets: bool
    """Whether it is Socket.IO, whose packets also carry questions to clients."""

    def event(self, namespace: str, event: str, data: Any, place: Place | None = None) -> bytes:
        """With a place: an event of a room, which a client that comes back can be told again."""
        ...

    def ack(self, namespace: str, ack_id: int, data: Any) -> bytes: ...
    def packet(self, packet: Packet) -> bytes: ...


class SocketIoText:
    """The default parser of Socket.IO v5: a packet is one text message, and a binary one for each attachment.

    The offset of connection state recovery is the last argument of an event (socket.io-protocol, "Connection state
    recovery")."""

    has_packets = True

    def event(self, namespace: str, event: str, data: Any, place: Place | None = None) -> bytes:
        payload = [event, to_json(data)] if place is None else [event, to_json(data), place.offset]
        if has_bytes(payload):
            return self.packet(Packet(PacketType.EVENT, namespace, payload))
        return self._frame(f"2{_prefix(namespace)}", payload)

    def ack(self, namespace: str, ack_id: int, data: Any) -> bytes:
        payload = [to_json(data)]
        if has_bytes(payload):
            return self.packet(Packet(PacketType.ACK, namespace, payload, ack_id))
        return self._frame(f"3{_prefix(namespace)}{ack_id}", payload)

    def _frame(self, head: str, payload: list[Any]) -> bytes:
        """The way of nearly all messages, without a packet in between."""
        body = engineio.message_packet(head.encode() + msgspec.json.encode(payload))
        return websocket.encode_frame(websocket.Opcode.TEXT, body)

    def packet(self, packet: Packet) -> bytes:
        text, attachments = encode(packet)
        frame = websocket.encode_frame(websocket.Opcode.TEXT, engineio.message_packet(text))
        if not attachments:
            return frame
        return frame + b"".join([websocket.encode_frame(websocket.Opcode.BINARY, data) for data in attachments])


class SocketIoMsgpack:
    """socket.io-msgpack-parser: each packet is one binary message."""

    has_packets = True

    def event(self, namespace: str, event: str, data: Any, place: Place | None = None) -> bytes:
        payload = [event, to_json(data)] if place is None else [event, to_json(data), place.offset]
        return self.packet(Packet(PacketType.EVENT, namespace, payload))

    def ack(self, namespace: str, ack_id: int, data: Any) -> bytes:
        return self.packet(Packet(PacketType.ACK, namespace, [to_json(data)], ack_id))

    def packet(self, packet: Packet) -> bytes:
        return websocket.encode_frame(websocket.Opcode.BINARY, msgpack_packets.encode(packet))


class PlainFormat:
    """`/ws`: an object a message, JSON as text or msgpack as binary."""

    has_packets = False

    def __init__(self, opcode: websocket.Opcode, encoder: msgspec.json.Encoder | msgspec.msgpack.Encoder) -> None:
        self._opcode = opcode
        self._encoder = encoder

    def encode(self, fields: dict[str, Any]) -> bytes:
        return websocket.encode_frame(self._opcode, self._encoder.encode(fields))

    def event(self, namespace: str, event: str, data: Any, place: Place | None = None) -> bytes:
        fields = {"ns": namespace, "event": event, "data": to_json(data)}
        if place is not None:
            fields |= {"room": f"{namespace}:{place.room}", "epoch": place.epoch, "seq": place.seq}
        return self.encode(fields)

    def ack(self, namespace: str, ack_id: int, data: Any) -> bytes:
        return self.encode({"ack": ack_id, "data": to_json(data)})

    def packet(self, packet: Packet) -> bytes:
        """This protocol has no packets of its own."""
        raise TypeError(f"{packet.type.name} is Socket.IO's")


def _prefix(namespace: str) -> str:
    return "" if namespace == "/" else namespace + ","


def text_frame(text: str) -> bytes:
    return websocket.encode_frame(websocket.Opcode.TEXT, text.encode())


PLAIN_JSON = PlainFormat(websocket.Opcode.TEXT, msgspec.json.Encoder())
PLAIN_MSGPACK = PlainFormat(websocket.Opcode.BINARY, msgspec.msgpack.Encoder())
SOCKET_IO_TEXT = SocketIoText()
SOCKET_IO_MSGPACK = SocketIoMsgpack()
