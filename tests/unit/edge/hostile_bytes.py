"""Valid input of every stage of a connection, and ways to spoil it."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Sequence

import msgspec
from edge_harness import client_frame

_pack = msgspec.msgpack.encode

HEADS: Sequence[bytes] = (
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\nCookie: guest=signed:1; lang=ko\r\n\r\n",
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"POST /socket.io/?EIO=4&transport=polling&sid=none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n40",
    b"POST /socket.io/?EIO=4&transport=polling&sid=none HTTP/1.1\r\nHost: localhost\r\n"
    b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n2\r\n40\r\n0\r\n\r\n",
    b"OPTIONS /socket.io/ HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:8000\r\n\r\n",
    b"HEAD /hls/none.m3u8 HTTP/1.1\r\nHost: localhost\r\nAccept-Language: en;q=0.8, ko\r\nRange: bytes=0-\r\n\r\n",
    b"GET /live/none.flv HTTP/1.0\r\nHost: localhost\r\nX-Forwarded-For: 1.2.3.4, ::1\r\n\r\n",
)

PACKETS: Sequence[str] = (
    "40",
    '40/chat,{"token":"user:mina"}',
    "41/chat,",
    '42["say",{"text":"a"}]',
    '4217["who"]',
    '42/chat,18["join",{"text":"room"}]',
    '451-19["blob",{"data":{"_placeholder":true,"num":0}}]',
    '420["break-nothing",[[[[{"a":[1.5e300,-0,null,true]}]]]]]',
    '430[{"ok":true}]',
    '461-0[{"_placeholder":true,"num":0}]',
    "3",
    "6",
    "2probe",
    "5",
)

MSGPACK: Sequence[bytes] = (
    _pack({"type": 0, "nsp": "/"}),
    _pack({"type": 0, "nsp": "/chat", "data": {"token": "user:mina"}}),
    _pack({"type": 2, "nsp": "/", "id": 3, "data": ["who", {}]}),
    _pack({"type": 2, "nsp": "/", "data": ["blob", {"data": b"\0\1\2"}], "options": {"compress": True}}),
    _pack({"type": 3, "nsp": "/", "id": 0, "data": [[[[1.5, -(2**40), None, {"a": "b"}]]]]}),
    _pack({"type": 1, "nsp": "/chat"}),
)

BODIES: Sequence[bytes] = (
    b"40",
    b"40\x1e40/chat,",
    b'42["who"]\x1e420["join",{"text":"room"}]\x1e3',
    b'451-19["blob",{"data":{"_placeholder":true,"num":0}}]\x1eb' + base64.b64encode(bytes(range(64))),
    b"1",
    b"6\x1e\x1e",
)

_ODD = (
    b"\x00",
    b"\xff",
    b"\x1e",
    b"\r\n",
    b"\r\n\r\n",
    b"\x80",
    b"\xed\xa0\x80",
    b"9" * 20,
    b"[" * 200,
    b'"',
    b"-",
    b",",
)


def spoil(chance: random.Random, data: bytes) -> bytes:
    """One to four changes."""
    spoiled = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(spoiled))
        until = min(len(spoiled), at + chance.choice((1, 1, 2, 8, 64)))
        match chance.randrange(7):
            case 0 if spoiled:
                spoiled[at % len(spoiled)] ^= 1 << chance.randrange(8)
            case 1:
                del spoiled[at:until]
            case 2:
                spoiled[at:at] = chance.choice(_ODD)
            case 3:
                spoiled[at:at] = spoiled[at:until] * chance.choice((1, 2, 50))
            case 4:
                spoiled[at:until] = chance.randbytes(until - at)
            case 5:
                del spoiled[at:]
            case _:
                spoiled[at:at] = chance.randbytes(chance.choice((1, 4, 100)))
    return bytes(spoiled)


def maybe_spoiled(chance: random.Random, data: bytes) -> bytes:
    return spoil(chance, data) if chance.random() < 0.5 else data


def noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice((1, 10, 100, 3000)))


def heads(chance: random.Random) -> bytes:
    if chance.random() < 0.1:
        return noise(chance)
    return b"".join(maybe_spoiled(chance, chance.choice(HEADS)) for _ in range(chance.randint(1, 3)))


def frames(chance: random.Random) -> bytes:
    """Frames that are wrong as such, around packets that are right."""
    parts = [client_frame(1, b"40")]
    for _ in range(chance.randint(1, 6)):
        raw = chance.choice(PACKETS).encode()
        kind = chance.randrange(6)
        if kind == 0:
            cut = chance.randint(0, len(raw))
            parts += [client_frame(1, raw[:cut], final=False), client_frame(9, b"?"), client_frame(0, raw[cut:])]
        elif kind == 1:
            parts.append(client_frame(chance.randrange(16), raw[:125], final=chance.random() < 0.8))
        elif kind == 2:
            parts.append(client_frame(8, chance.randbytes(2) + raw[: chance.randint(0, 100)]))
        else:
            parts.append(client_frame(chance.choice((1, 1, 2)), raw))
    return maybe_spoiled(chance, b"".join(parts)) if chance.random() < 0.9 else noise(chance)


def packets(chance: random.Random) -> bytes:
    """Right frames around packets that are wrong; text that is not UTF-8 among them."""
    parts = [client_frame(1, b"40")] if chance.random() < 0.9 else []
    for _ in range(chance.randint(1, 8)):
        raw = maybe_spoiled(chance, chance.choice(PACKETS).encode())
        parts.append(client_frame(1 if chance.random() < 0.85 else 2, raw))
        if raw.startswith((b"45", b"46")) and chance.random() < 0.7:
            parts.append(client_frame(2, chance.randbytes(20)))
    return b"".join(parts)


def msgpack(chance: random.Random) -> bytes:
    parts = [client_frame(2, MSGPACK[0])]
    for _ in range(chance.randint(1, 6)):
        parts.append(client_frame(2, maybe_spoiled(chance, chance.choice(MSGPACK))))
    return b"".join(parts)


def bodies(chance: random.Random) -> bytes:
    return noise(chance) if chance.random() < 0.1 else maybe_spoiled(chance, chance.choice(BODIES))


def events(chance: random.Random) -> bytes:
    """Whole events of a client that is let in, with arguments that no handler expects."""
    names = ("who", "join", "leave", "say", "admin", "note", "blob", "mirror", "", "no such", 5, None)
    values = (None, {}, [], "x", 0, 1.5, {"text": "a"}, {"text": 5}, {"data": "x"}, {"text": "\ud800"[:0] + "\0"})
    parts = []
    for number in range(chance.randint(1, 20)):
        event = [chance.choice(names), *(chance.choice(values) for _ in range(chance.randint(0, 2)))]
        ack = str(number) if chance.random() < 0.5 else ""
        parts.append(client_frame(1, f"42{ack}{json.dumps(event)}".encode()))
    return b"".join(parts)


def cut(chance: random.Random, data: bytes) -> list[bytes]:
    """In reads of any size."""
    if chance.random() < 0.4:
        return [data]
    size = chance.choice((1, 3, 17, 200)) if len(data) < 400 else chance.choice((50, 700, 3000))
    return [data[at : at + size] for at in range(0, len(data), size)]
