"""Engine.IO and Socket.IO packets against the examples of their specifications."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorami_core.edge import engineio
from dorami_core.edge.engineio import ClosePacket, EngineError, Heartbeat, Message
from dorami_core.edge.socketio import Decoder, Packet, PacketError, PacketType, encode
from dorami_core.edge.wire import SOCKET_IO_TEXT

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = list(PacketType)[:5]


def decode(*messages: str | bytes) -> Packet:
    decoder = Decoder(1000)
    for message in messages[:-1]:
        assert decoder.feed(message) is None
    packet = decoder.feed(messages[-1])
    assert packet is not None
    return packet


GOLDEN = [
    ("0", Packet(CONNECT)),
    ('0/chat,{"token":"abc"}', Packet(CONNECT, "/chat", {"token": "abc"})),
    ("1/chat,", Packet(DISCONNECT, "/chat")),
    ('2["foo",1]', Packet(EVENT, "/", ["foo", 1])),
    ('2/chat,12["chat:send-message",{"a":"b"}]', Packet(EVENT, "/chat", ["chat:send-message", {"a": "b"}], 12)),
    ('3/chat,12[{"ok":true}]', Packet(ACK, "/chat", [{"ok": True}], 12)),
    ("30[]", Packet(ACK, "/", [], 0)),
]


@pytest.mark.parametrize(("text", "packet"), GOLDEN)
def test_golden_packets_both_ways(text: str, packet: Packet) -> None:
    assert decode(text) == packet
    assert encode(packet) == (text.encode(), [])


def test_only_the_server_says_connect_error() -> None:
    packet = Packet(CONNECT_ERROR, "/chat", {"message": "Not authorized"})
    assert encode(packet) == (b'4/chat,{"message":"Not authorized"}', [])
    with pytest.raises(PacketError):
        decode(encode(packet)[0].decode())


def test_frames_of_the_wire_format() -> None:
    assert SOCKET_IO_TEXT.event("/", "foo", 1) == b'\x81\x0b42["foo",1]'
    assert SOCKET_IO_TEXT.event("/chat", "say", "가") == b"\x81\x15" + '42/chat,["say","가"]'.encode()
    assert SOCKET_IO_TEXT.ack("/chat", 12, {"ok": True}) == b'\x81\x1743/chat,12[{"ok":true}]'
    assert SOCKET_IO_TEXT.packet(Packet(CONNECT, "/chat", {"sid": "x"})) == b'\x81\x1340/chat,{"sid":"x"}'


def test_binary_attachments_take_their_places() -> None:
    packet = decode(
        '52-/a,3["baz",{"one":{"_placeholder":true,"num":1}},{"_placeholder":true,"num":0}]', b"zero", b"one"
    )
    assert packet == Packet(EVENT, "/a", ["baz", {"one": b"one"}, b"zero"], 3)


def test_bytes_leave_as_attachments() -> None:
    packet = Packet(EVENT, "/a", ["baz", {"one": b"zero"}, [bytearray(b"one")]], 3)
    assert encode(packet) == (
        b'52-/a,3["baz",{"one":{"_placeholder":true,"num":0}},[{"_placeholder":true,"num":1}]]',
        [b"zero", b"one"],
    )
    assert encode(Packet(ACK, "/", [b"x"], 0)) == (b'61-0[{"_placeholder":true,"num":0}]', [b"x"])
    assert SOCKET_IO_TEXT.event("/", "e", b"x") == b'\x81\x27451-["e",{"_placeholder":true,"num":0}]\x82\x01x'


def test_no_more_attachments_than_a_client_accepts() -> None:
    assert len(encode(Packet(EVENT, "/", ["e", [b"x"] * 10]))[1]) == 10
    with pytest.raises(ValueError, match="10 attachments"):
        encode(Packet(EVENT, "/", ["e", [b"x"] * 11]))


def test_a_binary_packet_may_have_no_attachment() -> None:
    assert decode('50-["baz"]') == Packet(EVENT, "/", ["baz"])


@pytest.mark.parametrize(
    "messages",
    [
        ("",),
        ("7",),
        ("abc",),
        ("2",),
        ("2{}",),
        ("2[]",),
        ("2[{}]",),
        ("2[true]",),
        ('2["connect"]',),
        ('2["newListener"]',),
        ('2["foo"',),
        ('2/chat["foo"]',),  # no comma: all of it is a namespace
        ("1{}",),
        ("0[]",),
        ("0x",),
        ("3[]",),
        ("31{}",),
        ('21234567890123456["foo"]',),
        ("0/" + "n" * 100 + ",",),
        ("5[]",),
        ('5-["foo"]',),
        ('511-["foo"]',),
        ('5x-["foo"]',),
        (b"alone",),
        ('51-["foo",{"_placeholder":true,"num":0}]', '2["foo"]'),
        ('51-["foo",{"_placeholder":true,"num":1}]', b"x"),
        ('51-["foo",{"_placeholder":true,"num":"0"}]', b"x"),
        ('51-["foo",{"_placeholder":true,"num":0}]', b"x" * 1001),
        ('2["foo",' + "[" * 100_000 + "]" * 100_000 + "]",),
    ],
)
def test_what_closes_the_connection(messages: tuple[str | bytes, ...]) -> None:
    decoder = Decoder(1000)
    for message in messages[:-1]:
        assert decoder.feed(message) is None
    with pytest.raises(PacketError):
        decoder.feed(messages[-1])


def with_bytes(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    namespace=st.sampled_from(["/", "/chat", "/a-b"]),
    name=st.text(min_size=1).map(lambda text: "e:" + text),
    arguments=st.lists(json_values, max_size=3),
    number=st.none() | st.integers(0, 10**15 - 1),
)
def test_events_survive_the_way(namespace: str, name: str, arguments: list[Any], number: int | None) -> None:
    packet = Packet(EVENT, namespace, [name, *arguments], number)
    assert decode(encode(packet)[0].decode()) == packet


bytes_values = st.recursive(st.binary(max_size=20) | st.integers(-9, 9), with_bytes, max_leaves=5)


@given(arguments=st.lists(bytes_values, max_size=2))
def test_attachments_survive_the_way(arguments: list[Any]) -> None:
    packet = Packet(EVENT, "/", ["e", *arguments], 1)
    text, attachments = encode(packet)
    assert decode(text.decode(), *attachments) == packet


@given(st.text(max_size=60))
def test_noise_is_a_packet_or_an_error(noise: str) -> None:
    try:
        Decoder(1000).feed(noise)
    except PacketError as error:
        assert error.args


def test_the_open_packet() -> None:
    text = engineio.open_packet("abc", ["websocket"], ping_interval_s=0.3, ping_timeout_s=20, max_payload=1_000_000)
    assert text[0] == "0"
    assert json.loads(text[1:]) == {
        "sid": "abc",
        "upgrades": ["websocket"],
        "pingInterval": 300,
        "pingTimeout": 20000,
        "maxPayload": 1000000,
    }


def test_engine_packets() -> None:
    heartbeat = Heartbeat(0, 25, 20)
    assert engineio.receive('42["x"]', heartbeat, 1) == Message('2["x"]')
    assert engineio.receive(b"raw", heartbeat, 1) == Message(b"raw")
    assert engineio.receive("1", heartbeat, 1) == ClosePacket()
    assert engineio.receive("6", heartbeat, 1) is None
    for bad in ("", "2", "2probe", "0", "5", "x"):
        with pytest.raises(EngineError):
            engineio.receive(bad, heartbeat, 1)


def test_refusals_have_the_reference_codes() -> None:
    assert json.loads(engineio.Refusal.TRANSPORT_UNKNOWN.body()) == {"code": 0, "message": "Transport unknown"}


def test_the_heartbeat_waits_for_its_pong() -> None:
    heartbeat = Heartbeat(100, 25, 20)
    assert heartbeat.look_at(100) == 125
    assert heartbeat.tick(124.9) is None
    assert heartbeat.tick(125) == "ping"
    assert heartbeat.tick(144.9) is None
    assert engineio.receive("3", heartbeat, 130) is None
    assert heartbeat.look_at(130) == 155
    assert heartbeat.tick(155) == "ping"
    assert heartbeat.tick(175) == "lost"


def test_a_ping_that_is_sent_a_little_late_moves_no_end() -> None:
    heartbeat = Heartbeat(0, 25, 20)
    assert heartbeat.tick(25.5) == "ping"
    assert heartbeat.tick(44.9) is None
    assert heartbeat.tick(45) == "lost"
    stalled = Heartbeat(0, 25, 20)
    assert stalled.tick(100) == "ping"
    assert stalled.tick(118.9) is None
    assert stalled.tick(119) == "lost"


def test_a_pong_nobody_asked_for_moves_nothing() -> None:
    heartbeat = Heartbeat(0, 25, 20)
    engineio.receive("3", heartbeat, 24)
    assert heartbeat.look_at(24) == 25


def test_a_long_timeout_does_not_put_off_the_next_ping() -> None:
    heartbeat = Heartbeat(0, 5, 60)
    assert heartbeat.tick(5) == "ping"
    assert heartbeat.look_at(5) == 10
    engineio.receive("3", heartbeat, 6)
    assert heartbeat.tick(10) is None
    assert heartbeat.look_at(10) == 11
    assert heartbeat.tick(11) == "ping"


def test_a_paused_reader_is_no_lost_peer() -> None:
    heartbeat = Heartbeat(0, 25, 20)
    assert heartbeat.tick(25) == "ping"
    heartbeat.put_off(44)
    assert heartbeat.tick(45) is None
    assert heartbeat.tick(64) == "lost"
