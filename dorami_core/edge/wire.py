"""How a message to clients looks on the wire. A room encodes once for each format that its members speak."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import attrs
import msgspec

from dorami_core.base.structure import to_json
from dorami_core.edge import engineio, msgpack_packets, websocket
from dorami_core.edge.socketio import Packet, PacketType, encode
from dorami_core.hooks.sockets import Delivery


@attrs.frozen
class Chunk:
    """Bytes that go out whole or not at all, and what may happen to them while they wait."""

    data: bytes
    delivery: Delivery = Delivery.REQUIRED
    key: Hashable = None
    """For LATEST: what a newer one replaces."""


class WireFormat(Protocol):
    """Makes whole frames, ready for `send`. One object per format; it is the key under which rooms sort members."""

    def event(self, namespace: str, event: str, data: Any) -> bytes: ...
    def ack(self, namespace: str, ack_id: int, data: Any) -> bytes: ...
    def packet(self, packet: Packet) -> bytes: ...


def plain(data: Any) -> Any:
    """JSON-able: dicts and lists of plain values stay; attrs objects, ids, times and money become theirs."""
    return to_json(data)


class SocketIoText:
    """The default parser of Socket.IO v5 in Engine.IO messages over WebSocket text frames."""

    def event(self, namespace: str, event: str, data: Any) -> bytes:
        return self._frame(f"2{_prefix(namespace)}", [event, plain(data)])

    def ack(self, namespace: str, ack_id: int, data: Any) -> bytes:
        return self._frame(f"3{_prefix(namespace)}{ack_id}", [plain(data)])

    def packet(self, packet: Packet) -> bytes:
        return text_frame(engineio.message_packet(encode(packet)))

    def _frame(self, head: str, payload: Sequence[Any]) -> bytes:
        body = engineio.message_packet(head).encode() + msgspec.json.encode(payload)
        return websocket.encode_frame(websocket.Opcode.TEXT, body)


class SocketIoMsgpack:
    """socket.io-msgpack-parser: each packet is one binary message."""

    def event(self, namespace: str, event: str, data: Any) -> bytes:
        return self.packet(Packet(PacketType.EVENT, namespace, [event, plain(data)]))

    def ack(self, namespace: str, ack_id: int, data: Any) -> bytes:
        return self.packet(Packet(PacketType.ACK, namespace, [plain(data)], ack_id))

    def packet(self, packet: Packet) -> bytes:
        return websocket.encode_frame(websocket.Opcode.BINARY, msgpack_packets.encode(packet))


def _prefix(namespace: str) -> str:
    return "" if namespace == "/" else namespace + ","


def text_frame(text: str) -> bytes:
    return websocket.encode_frame(websocket.Opcode.TEXT, text.encode())


SOCKET_IO_TEXT = SocketIoText()
SOCKET_IO_MSGPACK = SocketIoMsgpack()

__all__ = [
    "SOCKET_IO_MSGPACK",
    "SOCKET_IO_TEXT",
    "Chunk",
    "PacketType",
    "SocketIoMsgpack",
    "SocketIoText",
    "WireFormat",
    "plain",
    "text_frame",
]
