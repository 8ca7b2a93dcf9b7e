"""Engine.IO v4 without I/O: packets, the open packet, the heartbeat's state.

Source: engine.io-protocol, v4. A text packet is a type digit and its payload; a binary message is sent as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import attrs
import msgspec

CLOSE = "1"
PING = "2"
NOOP = "6"
PROBE = "2probe"
PROBE_ANSWER = "3probe"
UPGRADE = "5"
_LATE_SHARE = 0.05
"""Of its timeout a ping may be sent late, by the tick of who watches the times, without moving the end."""


class EngineError(Exception):
    """The client sent what no Engine.IO v4 client sends; the session is closed."""


class Refusal(Enum):
    """Why a handshake is answered with 400: the code and the message that the reference server uses."""

    TRANSPORT_UNKNOWN = (0, "Transport unknown")
    SESSION_UNKNOWN = (1, "Session ID unknown")
    BAD_HANDSHAKE_METHOD = (2, "Bad handshake method")
    BAD_REQUEST = (3, "Bad request")
    FORBIDDEN = (4, "Forbidden")
    UNSUPPORTED_VERSION = (5, "Unsupported protocol version")

    def body(self) -> bytes:
        code, message = self.value
        return msgspec.json.encode({"code": code, "message": message})


@attrs.frozen
class Message:
    """What the layer above is to read."""

    data: str | bytes


@attrs.frozen
class ClosePacket:
    """The client ends the session."""


Event = Message | ClosePacket


def open_packet(
    sid: str, upgrades: Sequence[str], *, ping_interval_s: float, ping_timeout_s: float, max_payload: int
) -> str:
    """Type 0, the handshake; `upgrades` names the transports that this one can change to."""
    fields = {
        "sid": sid,
        "upgrades": upgrades,
        "pingInterval": round(ping_interval_s * 1000),
        "pingTimeout": round(ping_timeout_s * 1000),
        "maxPayload": max_payload,
    }
    return "0" + msgspec.json.encode(fields).decode()


def message_packet(payload: bytes) -> bytes:
    return b"4" + payload


class Heartbeat:
    """Server to client: a ping every interval, a pong within the timeout. Times are any clock's seconds."""

    __slots__ = ("_at", "_awaiting", "_interval", "_timeout")

    def __init__(self, now: float, interval_s: float, timeout_s: float) -> None:
        self._interval = interval_s
        self._timeout = timeout_s
        self._awaiting = False
        self._at = now + interval_s

    def look_at(self, now: float) -> float:
        """When to call `tick` next: while a pong is awaited, no later than the ping that follows it may be due."""
        return min(self._at, now + self._interval)

    def pong(self, now: float) -> None:
        if self._awaiting:
            self._awaiting = False
            self._at = now + self._interval

    def put_off(self, now: float) -> None:
        """Reading was paused by us, so a missing pong says nothing: begin the wait again."""
        if self._awaiting:
            self._at = now + self._timeout

    def tick(self, now: float) -> str | None:
        """`"ping"` where one is to be sent now, `"lost"` where its answer never came, None before `due`."""
        if now < self._at:
            return None
        if self._awaiting:
            return "lost"
        self._awaiting = True
        self._at = now + self._timeout - min(now - self._at, self._timeout * _LATE_SHARE)
        return "ping"


def receive(data: str | bytes, heartbeat: Heartbeat, now: float) -> Event | None:
    """One packet of the client; EngineError for an unknown type, an empty packet or a ping (v4 pings come from us)."""
    if isinstance(data, bytes):
        return Message(data)
    kind = data[:1]
    if kind == "4":
        return Message(data[1:])
    if kind == "3":
        heartbeat.pong(now)
        return None
    if kind == CLOSE:
        return ClosePacket()
    if kind == NOOP:
        return None
    raise EngineError(f"packet type {kind!r}")
