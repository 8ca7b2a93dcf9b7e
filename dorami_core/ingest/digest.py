"""The digest handshake, of which RTMP 1.0 says nothing: what Flash Media Server and Flash Player prove to one another.

C1 and S1 hold an HMAC-SHA256 of their other bytes. Where it is, four bytes tell that are added: those of the first
or of the second half, after time and version. S2 holds one of its first 1504 bytes, keyed by the digest in C1.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

PACKET_BYTES = 1536
DIGEST_BYTES = 32
_HALVES = (8, 772)
_PLACES = 728
_SECRET = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
_PLAYER = b"Genuine Adobe Flash Player 001"
_SERVER = b"Genuine Adobe Flash Media Server 001"
SERVER_VERSION = bytes((4, 0, 5, 1))


def find_digest(packet: bytes, key: bytes = _PLAYER) -> tuple[int, bytes] | None:
    """The half that tells the place, and the digest, of a C1 (or S1, with the server's key); None where none is right:
    then the peer speaks the simple handshake."""
    for half in _HALVES:
        place = _place(packet, half)
        found = packet[place : place + DIGEST_BYTES]
        if hmac.compare_digest(found, _digest_around(packet, place, key)):
            return half, found
    return None


def answer(c1: bytes, random: Callable[[int], bytes]) -> tuple[bytes, bytes] | None:
    """S1 and S2 for this C1; None where it has no digest."""
    found = find_digest(c1)
    if found is None:
        return None
    half, digest = found
    s1 = bytes(4) + SERVER_VERSION + random(PACKET_BYTES - 8)
    place = _place(s1, half)
    s1 = s1[:place] + _digest_around(s1, place, _SERVER) + s1[place + DIGEST_BYTES :]
    body = random(PACKET_BYTES - DIGEST_BYTES)
    return s1, body + _hmac(_hmac(_SERVER + _SECRET, digest), body)


def _place(packet: bytes, half: int) -> int:
    return half + 4 + sum(packet[half : half + 4]) % _PLACES


def _digest_around(packet: bytes, place: int, key: bytes) -> bytes:
    return _hmac(key, packet[:place] + packet[place + DIGEST_BYTES :])


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
