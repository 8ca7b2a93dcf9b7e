"""The handshake of RTMP 1.0, section 5.2: one byte of version, then 1536 bytes each way, and their echoes; for a
client that begins so, with digests (`digest.py`)."""

from __future__ import annotations

import os
from collections.abc import Callable

from dorami_core.ingest import digest
from dorami_core.ingest.messages import RtmpProtocolError

VERSION = 3
PACKET_BYTES = 1536
_RANDOM_BYTES = PACKET_BYTES - 8


class _Handshake:
    """`done` when both sides have what they need; `leftover` then holds what came after it."""

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        # Time and version fields stay 0: a version above 0 would promise digests.
        self._random = random
        self._own = bytes(8) + random(_RANDOM_BYTES)
        self._buffer = bytearray()
        self._peer: bytes | None = None
        self.done = False

    @property
    def leftover(self) -> bytes:
        return bytes(self._buffer) if self.done else b""

    def _take(self, size: int) -> bytes | None:
        if len(self._buffer) < size:
            return None
        part = bytes(self._buffer[:size])
        del self._buffer[:size]
        return part

    def _receive_version_and_packet(self, data: bytes) -> bytes | None:
        """The peer's packet, the first time it is whole; a wrong version is refused at its first byte."""
        self._buffer += data
        if self._peer is not None:
            return None
        if self._buffer and self._buffer[0] != VERSION:
            raise RtmpProtocolError(f"no RTMP handshake: the first byte is 0x{self._buffer[0]:02x}")
        packet = self._take(1 + PACKET_BYTES)
        if packet is None:
            return None
        self._peer = packet[1:]
        return self._peer

    def _finish(self) -> None:
        # The echo's content is not compared: encoders that answer to the digest handshake do not echo.
        if self._peer is not None and not self.done and self._take(PACKET_BYTES) is not None:
            self.done = True


class ServerHandshake(_Handshake):
    """C0 C1 in, S0 S1 S2 out, C2 in."""

    def receive(self, data: bytes) -> bytes:
        """What is to be sent now; RtmpProtocolError where the first byte is not version 3."""
        peer = self._receive_version_and_packet(data)
        self._finish()
        if peer is None:
            return b""
        own, echo = digest.answer(peer, self._random) or (self._own, peer)
        return bytes((VERSION,)) + own + echo


class ClientHandshake(_Handshake):
    """C0 C1 out, S0 S1 S2 in, C2 out."""

    def start(self) -> bytes:
        return bytes((VERSION,)) + self._own

    def receive(self, data: bytes) -> bytes:
        """What is to be sent now; RtmpProtocolError where the first byte is not version 3."""
        peer = self._receive_version_and_packet(data)
        self._finish()
        return peer if peer is not None else b""
