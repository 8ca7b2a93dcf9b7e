"""RTMP messages: their type numbers, and the protocol control messages (RTMP 1.0, sections 5.4, 6.2 and 7.1)."""

from __future__ import annotations

import struct
from enum import IntEnum

import attrs


class RtmpProtocolError(Exception):
    """The peer broke the protocol; the connection cannot go on. The sentence is for the log."""


class MessageType(IntEnum):
    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACK_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    COMMAND_AMF3 = 17
    DATA = 18
    COMMAND = 20
    AGGREGATE = 22


class UserControl(IntEnum):
    STREAM_BEGIN = 0
    PING_REQUEST = 6
    PING_RESPONSE = 7


# chunk stream ids: 2 is given by the specification, the others are the usual choice
CONTROL_CHUNKS = 2
COMMAND_CHUNKS = 3
MEDIA_CHUNKS = 4

_U32 = struct.Struct(">I")
_U32U8 = struct.Struct(">IB")
_EVENT = struct.Struct(">HI")


@attrs.frozen(slots=True)
class Message:
    """One whole message; `timestamp` in milliseconds modulo 2**32."""

    type_id: int
    stream_id: int
    timestamp: int
    payload: bytes


def set_chunk_size(size: int) -> Message:
    return Message(MessageType.SET_CHUNK_SIZE, 0, 0, _U32.pack(size))


def acknowledgement(received: int) -> Message:
    """`received` counts all bytes since the beginning; it wraps at 2**32."""
    return Message(MessageType.ACKNOWLEDGEMENT, 0, 0, _U32.pack(received & 0xFFFFFFFF))


def window_ack_size(size: int) -> Message:
    return Message(MessageType.WINDOW_ACK_SIZE, 0, 0, _U32.pack(size))


def set_peer_bandwidth(size: int) -> Message:
    """Limit type 2, dynamic (5.4.5)."""
    return Message(MessageType.SET_PEER_BANDWIDTH, 0, 0, _U32U8.pack(size, 2))


def user_control(event: UserControl, value: int) -> Message:
    return Message(MessageType.USER_CONTROL, 0, 0, _EVENT.pack(event, value))


def read_u32(message: Message) -> int:
    """The number at the start of a control message; RtmpProtocolError where there is none."""
    if len(message.payload) < 4:
        raise RtmpProtocolError(f"control message {message.type_id} of {len(message.payload)} bytes")
    return int(_U32.unpack_from(message.payload)[0])


def read_user_control(message: Message) -> tuple[int, int]:
    """Event number and its first value, 0 where it has none (7.1.7)."""
    if len(message.payload) < 2:
        raise RtmpProtocolError("a user control message without event")
    event = int.from_bytes(message.payload[:2], "big")
    return event, int.from_bytes(message.payload[2:6], "big")


def split_aggregate(message: Message) -> list[Message]:
    """The messages inside an aggregate (7.1.6), their times moved so that the first has the aggregate's own."""
    body = message.payload
    parts: list[Message] = []
    at = 0
    shift = 0
    while len(body) - at >= 11:
        size = int.from_bytes(body[at + 1 : at + 4], "big")
        timestamp = int.from_bytes(body[at + 4 : at + 7], "big") | body[at + 7] << 24
        end = at + 11 + size
        if end > len(body):
            raise RtmpProtocolError("an aggregate message ends inside one of its parts")
        if not parts:
            shift = message.timestamp - timestamp
        parts.append(Message(body[at], message.stream_id, (timestamp + shift) & 0xFFFFFFFF, body[at + 11 : end]))
        at = end + 4  # the back pointer: the size once more, of no use going forward
    if at < len(body):
        raise RtmpProtocolError("an aggregate message has trailing bytes")
    return parts
