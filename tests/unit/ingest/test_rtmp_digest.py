"""The digest handshake, with the client's side written apart from the code under test. FFmpeg speaks it too, and
checks both digests: test_rtmp_encoders.py."""

from __future__ import annotations

import hashlib
import hmac
import os

import pytest

from dorami_core.ingest.handshake import ServerHandshake

SECRET = bytes.fromhex("F0EEC24A8068BEE82E00D0D1029E7E576EEC5D2D29806FAB93B8E636CFEB31AE")
PLAYER_KEY = b"Genuine Adobe Flash Player 001"
SERVER_KEY = b"Genuine Adobe Flash Media Server 001"


def sha(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def place(packet: bytes | bytearray, base: int) -> int:
    return (packet[base] + packet[base + 1] + packet[base + 2] + packet[base + 3]) % 728 + base + 4


def make_c1(base: int) -> bytes:
    packet = bytearray(b"\x00\x00\x00\x00\x09\x00\x7c\x02" + os.urandom(1528))
    at = place(packet, base)
    packet[at : at + 32] = sha(PLAYER_KEY, bytes(packet[:at] + packet[at + 32 :]))
    return bytes(packet)


@pytest.mark.parametrize("base", [8, 772])
@pytest.mark.parametrize("step", [1, 700, 4000])
def test_both_sides_prove_themselves(base: int, step: int) -> None:
    c1 = make_c1(base)
    server = ServerHandshake()
    data = b"\x03" + c1
    hello = b"".join(server.receive(data[at : at + step]) for at in range(0, len(data), step))
    assert (len(hello), hello[0]) == (3073, 3)
    s1, s2 = hello[1:1537], hello[1537:]
    assert s1[4] >= 3, "the version by which a client knows that there are digests"
    at = place(s1, base)
    assert s1[at : at + 32] == sha(SERVER_KEY, s1[:at] + s1[at + 32 :])
    at = place(c1, base)
    assert s2[1504:] == sha(sha(SERVER_KEY + SECRET, c1[at : at + 32]), s2[:1504])
    assert server.receive(os.urandom(1536) + b"more") == b""
    assert (server.done, server.leftover) == (True, b"more")


@pytest.mark.parametrize("base", [8, 772])
def test_a_wrong_digest_gets_the_simple_answer(base: int) -> None:
    c1 = bytearray(make_c1(base))
    c1[place(c1, base)] ^= 1
    hello = ServerHandshake().receive(b"\x03" + c1)
    assert hello[1:9] == bytes(8)
    assert hello[1537:] == c1, "an echo"
