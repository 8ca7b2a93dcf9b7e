"""The parser of socket.io-msgpack-parser: golden bytes, what closes, and both parsers in one room."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from edge_harness import RawClient, running_edge, without_offset
from hypothesis import given
from hypothesis import strategies as st
from polling_client import PollingClient
from test_edge_packets import json_values
from test_edge_sockets import Studio

from dorami_core.edge.msgpack_packets import MsgpackDecoder, encode
from dorami_core.edge.socketio import Packet, PacketError, PacketType
from dorami_core.edge.wire import SOCKET_IO_MSGPACK

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = list(PacketType)[:5]
HELLO = bytes.fromhex("83a47479706502a36e7370a12fa46461746192a568656c6c6fa3796f75")
pack = msgspec.msgpack.encode


def test_the_golden_packet() -> None:
    packet = Packet(EVENT, "/", ["hello", "you"])
    assert encode(packet) == HELLO
    assert MsgpackDecoder().feed(HELLO) == packet
    assert SOCKET_IO_MSGPACK.event("/", "hello", "you") == b"\x82\x1d" + HELLO
    assert msgspec.msgpack.decode(SOCKET_IO_MSGPACK.ack("/chat", 7, {"ok": True})[2:]) == {
        "type": 3,
        "nsp": "/chat",
        "data": [{"ok": True}],
        "id": 7,
    }


def test_what_javascript_says_differently() -> None:
    undefined = b"\xd4\x00\x00"
    assert MsgpackDecoder().feed(b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data" + undefined) == Packet(CONNECT)
    event = b"\x84\xa4type\x02\xa3nsp\xa1/\xa7options\x81\xa8compress\xc3\xa4data"
    assert MsgpackDecoder().feed(event + b"\x93\xa1e" + undefined + b"\x81\xa1a" + undefined) == Packet(
        EVENT, "/", ["e", None, {}]
    )
    date = b"\xd7\x00" + (1_700_000_000_123).to_bytes(8, "big")
    packet = MsgpackDecoder().feed(event + b"\x92\xa1e" + date)
    assert packet is not None
    assert packet.data[1].startswith("2023-11-14T22:13:20.123")


@pytest.mark.parametrize(
    "message",
    [
        "40",
        b"",
        b"\xc1",
        pack([1]),
        pack(1),
        pack({"type": 2, "nsp": "/"}),
        pack({"type": 2, "nsp": "/", "data": []}),
        pack({"type": 2, "nsp": "/", "data": ["connect"]}),
        pack({"type": 2, "nsp": "/", "data": {"0": "a"}}),
        pack({"type": 2, "data": ["a"]}),
        pack({"type": 2, "nsp": "chat", "data": ["a"]}),
        pack({"type": 2, "nsp": "/" + "n" * 100, "data": ["a"]}),
        pack({"type": 2, "nsp": "/", "data": ["a"], "id": -1}),
        pack({"type": 2, "nsp": "/", "data": ["a"], "id": 2**60}),
        pack({"type": 2, "nsp": "/", "data": ["a"], "id": 1.5}),
        pack({"type": 2, "nsp": "/", "data": ["a"], "id": True}),
        pack({"type": True, "nsp": "/", "data": {}}),
        pack({"type": 0, "nsp": "/", "data": []}),
        pack({"type": 1, "nsp": "/", "data": {}}),
        pack({"type": 3, "nsp": "/", "data": []}),
        pack({"type": 4, "nsp": "/", "data": {"message": "x"}}),
        pack({"type": 5, "nsp": "/", "data": ["a"]}),
        pack({"type": 2, "nsp": "/", "data": ["a", {1: 2}]}),
        pack({"type": 2, "nsp": "/", "data": ["a", float("nan")]}),
        pack({"type": 2, "nsp": "/", "data": ["a", float("inf")]}),
        pack({"type": 2, "nsp": "/", "data": ["a"]}) + b"\x01",
        b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e\xd4\x05\x00",
        b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e\xd7\x00\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\xdd\xff\xff\xff\xff\xa1e",
        b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data" + b"\x91" * 100_000,
    ],
)
def test_what_closes_the_connection(message: str | bytes) -> None:
    with pytest.raises(PacketError):
        MsgpackDecoder().feed(message)


msgpack_values = st.recursive(
    json_values | st.binary() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    namespace=st.sampled_from(["/", "/chat"]),
    arguments=st.lists(msgpack_values, max_size=3),
    number=st.none() | st.integers(0, 10**15 - 1),
)
def test_events_survive_the_way(namespace: str, arguments: list[Any], number: int | None) -> None:
    packet = Packet(EVENT, namespace, ["e", *arguments], number)
    assert MsgpackDecoder().feed(encode(packet)) == packet


@given(st.binary(max_size=80))
def test_noise_is_a_packet_or_an_error(noise: bytes) -> None:
    try:
        MsgpackDecoder().feed(noise)
    except PacketError as error:
        assert error.args


def test_numbers_too_large_are_an_error_of_ours() -> None:
    with pytest.raises(ValueError, match="msgpack"):
        encode(Packet(EVENT, "/", ["e", 2**70]))


async def say(client: RawClient, **packet: Any) -> None:
    await client.send_frame(2, pack({"nsp": "/"} | packet))


async def hear(client: RawClient) -> Any:
    opcode, payload = await client.frame()
    assert opcode == 2, payload
    return msgspec.msgpack.decode(payload)


async def test_both_parsers_in_one_room(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        text, binary, poller = await edge.viewer(), await edge.websocket(), await PollingClient.open(edge)
        assert (await binary.text())[0] == "0", "Engine.IO's own packets stay text"
        await say(binary, type=0)
        reply = await hear(binary)
        assert (reply["type"], reply["nsp"], reply["data"]["guestToken"]) == (0, "/", "signed:2")
        await say(binary, type=0, nsp="/nowhere")
        assert await hear(binary) == {"type": 4, "nsp": "/nowhere", "data": {"message": "Invalid namespace"}}
        await say(binary, type=2, id=3, data=["join", {"text": "live"}])
        assert await hear(binary) == {"type": 3, "nsp": "/", "id": 3, "data": [{"ok": True}]}
        await say(binary, type=2, id=4, data=["blob", {"data": b"\0\1\2"}])
        assert (await hear(binary))["data"] == [{"ok": True, "data": 3}]
        await text.call("join", {"text": "live"})
        await poller.push("40")
        await poller.next()
        await poller.call("join", {"text": "live"})
        edge.rooms.emit("/", "live", "say", {"text": "가"})
        said = await hear(binary)
        offset = said["data"].pop()
        assert said == {"type": 2, "nsp": "/", "data": ["say", {"text": "가"}]}
        heard = await text.text()
        assert json.loads(heard[2:])[-1] == offset, "one order for both parsers"
        assert without_offset(heard) == '42["say",{"text":"가"}]'
        assert without_offset(await poller.next()) == '42["say",{"text":"가"}]'
        before = edge.rooms.statistics().encodes
        edge.rooms.emit("/", "live", "say", 1)
        assert (await hear(binary))["data"][:-1] == ["say", 1]
        await text.text()
        assert edge.rooms.statistics().encodes == before + 2
        await binary.send("40")
        await binary.end()
        assert edge.counters.disconnects == {"parse_error": 1}


async def test_msgpack_on_long_polling(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.open(edge)
        await client.push("b" + base64.b64encode(pack({"type": 0, "nsp": "/"})).decode())
        reply = await client.next()
        assert reply[0] == "b"
        assert msgspec.msgpack.decode(base64.b64decode(reply[1:]))["data"]["guestToken"] == "signed:1"
