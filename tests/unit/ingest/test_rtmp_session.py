"""The server's session over bytes: golden beginnings, the order of answers, media in, refusals."""

from __future__ import annotations

import itertools
from functools import cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtmp_parts import AAC_HEADER, AVC_HEADER, FRAME, KEYFRAME, METADATA, SECRET, SOUND, cut_up, video

from dorami_core.ingest import amf0
from dorami_core.ingest import commands as cmd
from dorami_core.ingest import messages as msg
from dorami_core.ingest.chunks import ChunkReader, ChunkWriter
from dorami_core.ingest.commands import Command
from dorami_core.ingest.handshake import ClientHandshake, ServerHandshake
from dorami_core.ingest.messages import Message, MessageType, RtmpProtocolError
from dorami_core.ingest.session import (
    CodecRefused,
    Event,
    MediaReceived,
    PublishFinished,
    PublishRequested,
    ServerSession,
    SessionEnded,
)
from dorami_core.media.packets import MediaKind, MediaPacket

NAME = "key-1?secret=s3cr%2Bt%2F%3D"
# connect, transaction 1, {app: "live"}, as a chunk of chunk stream 3 (7.2.1.1)
CONNECT_BODY = "020007636f6e6e656374" + "003ff0000000000000" + "03" + "0003617070" + "0200046c697665" + "000009"
CONNECT = bytes.fromhex("03" + "000000" + f"{len(CONNECT_BODY) // 2:06x}" + "14" + "00000000" + CONNECT_BODY)


class Peer:
    """Speaks to a session as an encoder does, and reads its answers."""

    def __init__(self, *, max_message_bytes: int = 1_000_000) -> None:
        self.session = ServerSession(max_message_bytes=max_message_bytes)
        self.writer = ChunkWriter()
        self.reader = ChunkReader(1_000_000)
        self.sent = bytearray()

    def raw(self, data: bytes) -> list[Event]:
        self.sent += data
        return self.session.receive(data)

    def message(self, type_id: int, payload: bytes, *, at: int = 0, stream: int = 1) -> list[Event]:
        return self.raw(self.writer.write(Message(type_id, stream, at, payload), 4))

    def command(self, name: str, *arguments: amf0.Amf0Value, transaction: float = 0, stream: int = 0) -> list[Event]:
        message = cmd.encode_command(Command(name, transaction, None, arguments), stream)
        return self.raw(self.writer.write(message, 3))

    def handshake(self) -> None:
        self.raw(b"\x03" + bytes(1536))
        hello = self.session.data_to_send()
        self.raw(hello[1:1537])

    def connect(self, app: str = "live", encoder: str = "test/1") -> list[Event]:
        self.handshake()
        message = cmd.encode_command(Command("connect", 1, {"app": app, "flashVer": encoder}))
        return self.raw(self.writer.write(message, 3))

    def ask(self, name: str = NAME) -> list[Event]:
        self.connect()
        self.command("createStream", transaction=4)
        self.answers()
        return self.command("publish", name, "live", transaction=5, stream=1)

    def publish(self) -> None:
        assert len(self.ask()) == 1
        assert self.session.accept() == []
        self.answers()

    def messages(self) -> list[Message]:
        self.reader.feed(self.session.data_to_send())
        found = []
        while (message := self.reader.next_message()) is not None:
            found.append(message)
        return found

    def answers(self) -> list[Command]:
        return [cmd.decode_command(message) for message in self.messages() if message.type_id == MessageType.COMMAND]

    def codes(self) -> list[str]:
        return [str(command.info().get("code", command.name)) for command in self.answers()]


def test_golden_handshake_and_connect() -> None:
    """5.2.2-5.2.4: S0 S1 S2, S2 being C1 again; then the control messages and `_result`, byte by byte."""
    session = ServerSession(max_message_bytes=1_000_000)
    c1 = bytes(8) + bytes(range(256)) * 5 + bytes(248)
    assert session.receive(b"\x03" + c1) == []
    hello = session.data_to_send()
    assert (len(hello), hello[0], hello[1:9], hello[1537:]) == (3073, 3, bytes(8), c1)
    assert session.receive(hello[1:1537] + CONNECT) == []
    answer = session.data_to_send()
    golden = bytes.fromhex(
        "02000000000004050000000000" + "2625a0"  # window acknowledgement size 2500000
        "42000000000005" + "06" + "002625a002"  # set peer bandwidth 2500000, dynamic
        "42000000000004" + "01" + "00001000"  # chunks of 4096 bytes from here
        "03000000"
    )
    assert answer[: len(golden)] == golden
    assert answer[len(golden) + 3 :][:24].hex() == "1400000000" + "0200075f726573756c74" + "003ff0000000000000"
    assert b"\x00\x04code\x02\x00\x1dNetConnection.Connect.Success" in answer


def test_handshakes_meet() -> None:
    server, client = ServerHandshake(), ClientHandshake()
    answer = server.receive(client.start())
    echo = b"".join(client.receive(answer[at : at + 700]) for at in range(0, len(answer), 700))
    assert client.done
    assert server.receive(echo + b"more") == b""
    assert server.done
    assert server.leftover == b"more"


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"\x06", b"\x00"])
def test_garbage_is_refused_at_its_first_byte(garbage: bytes) -> None:
    with pytest.raises(RtmpProtocolError):
        ServerHandshake().receive(garbage)
    session = ServerSession(max_message_bytes=1000)
    (event,) = session.receive(garbage)
    assert isinstance(event, SessionEnded)
    assert event.cause == "protocol"
    assert session.data_to_send() == b""
    assert session.receive(b"more") == []


def test_publish_start_waits_for_the_gate() -> None:
    peer = Peer()
    assert peer.connect(encoder="OBS") == []
    assert peer.codes() == ["NetConnection.Connect.Success"]
    peer.command("releaseStream", NAME, transaction=2)
    peer.command("FCPublish", NAME, transaction=3)
    peer.command("createStream", transaction=4)
    answers = peer.answers()
    assert [(answer.name, answer.transaction_id) for answer in answers] == [
        ("_result", 2),
        ("_result", 3),
        ("_result", 4),
    ]
    assert answers[2].arguments == (1.0,)
    events = peer.command("publish", NAME, "live", transaction=5, stream=1)
    assert events == [PublishRequested("key-1", SECRET, "OBS")]
    assert peer.message(MessageType.VIDEO, AVC_HEADER) == []
    assert peer.codes() == []
    assert peer.session.accept() == [MediaReceived(video(AVC_HEADER))]
    messages = peer.messages()
    assert messages[0].type_id == MessageType.USER_CONTROL
    commands = [cmd.decode_command(message) for message in messages[1:]]
    assert [command.name for command in commands] == ["onFCPublish", "onStatus"]
    assert [message.stream_id for message in messages[1:]] == [0, 1]
    assert commands[1].info()["code"] == "NetStream.Publish.Start"


def test_secret_stays_out_of_repr() -> None:
    (event,) = Peer().ask()
    assert SECRET not in repr(event)
    assert "secret=" not in repr(event)


def test_refused_learns_no_reason() -> None:
    peer = Peer()
    peer.ask()
    peer.session.refuse()
    (status,) = peer.answers()
    assert status.info() == {
        "level": "error",
        "code": "NetStream.Publish.Rejected",
        "description": "Publishing was refused.",
    }
    assert peer.message(MessageType.VIDEO, AVC_HEADER) == []


@pytest.mark.parametrize(
    ("name", "key", "secret"),
    [
        ("abcd?secret=x", "abcd", "x"),
        ("abcd", "abcd", ""),
        ("/abcd/", "abcd", ""),
        ("abcd?secret=", "abcd", ""),
        ("abcd?other=1&secret=a%2Fb", "abcd", "a/b"),
    ],
)
def test_stream_names(name: str, key: str, secret: str) -> None:
    (event,) = Peer().ask(name)
    assert isinstance(event, PublishRequested)
    assert (event.stream_key, event.secret) == (key, secret)


@pytest.mark.parametrize("name", ["", "?secret=x", "a" * 600, "a\x00b", "a?" + "x=1&" * 40])
def test_bad_stream_names(name: str) -> None:
    peer = Peer()
    (event,) = peer.ask(name)
    assert isinstance(event, SessionEnded)
    assert peer.codes() == ["NetStream.Publish.BadName"]


@pytest.mark.parametrize("app", ["live", "live/", "/live", "live?x=1"])
def test_app_is_live(app: str) -> None:
    peer = Peer()
    assert peer.connect(app) == []
    assert peer.codes() == ["NetConnection.Connect.Success"]


def test_other_app_is_refused() -> None:
    peer = Peer()
    (event,) = peer.connect("vod")
    assert isinstance(event, SessionEnded)
    (answer,) = peer.answers()
    assert (answer.name, answer.info()["code"]) == ("_error", "NetConnection.Connect.InvalidApp")


def test_play_is_refused() -> None:
    peer = Peer()
    peer.connect()
    peer.command("createStream", transaction=2)
    peer.answers()
    (event,) = peer.command("play", "key", transaction=3, stream=1)
    assert isinstance(event, SessionEnded)
    assert event.cause == "refused"
    assert peer.codes() == ["NetStream.Play.Failed"]


def test_media_arrives_with_its_time() -> None:
    peer = Peer()
    peer.publish()
    assert peer.message(MessageType.VIDEO, KEYFRAME, at=2**32 - 1) == [MediaReceived(video(KEYFRAME, 2**32 - 1))]
    assert peer.message(MessageType.AUDIO, SOUND, at=20) == [MediaReceived(MediaPacket(MediaKind.AUDIO, 20, SOUND))]


@pytest.mark.parametrize(
    ("type_id", "payload"),
    [
        (MessageType.DATA, amf0.encode("@setDataFrame") + METADATA),
        (MessageType.DATA, METADATA),
        (MessageType.DATA_AMF3, b"\x00" + amf0.encode("@setDataFrame") + METADATA),
    ],
)
def test_metadata_in_every_wrapping(type_id: int, payload: bytes) -> None:
    peer = Peer()
    peer.publish()
    assert peer.message(type_id, payload, at=7) == [MediaReceived(MediaPacket(MediaKind.DATA, 7, METADATA))]


@pytest.mark.parametrize(
    "payload",
    [
        amf0.encode("@setDataFrame", "onCuePoint", {}),
        amf0.encode("onMetaData"),
        amf0.encode("onMetaData", 1),
        METADATA[:-4],
        b"\xff\xff",
    ],
)
def test_other_data_is_left_out(payload: bytes) -> None:
    peer = Peer()
    peer.publish()
    assert peer.message(MessageType.DATA, payload) == []
    assert peer.session.ignored_messages == 1
    assert not peer.session.ended


def test_what_is_no_picture_is_left_out() -> None:
    peer = Peer()
    peer.publish()
    for type_id, payload in ((9, b""), (9, b"\x17\x01"), (9, b"\x57\x00\x00\x00\x00"), (8, b""), (8, b"\xaf")):
        assert peer.message(type_id, payload) == []
    assert peer.message(MessageType.VIDEO, FRAME, stream=2) == []
    assert peer.session.ignored_messages == 6


@pytest.mark.parametrize(
    ("type_id", "payload", "codec", "advice"),
    [
        (9, b"\x90vp09more", "VP9", "H.264"),
        (9, b"\x97avc1more", "several tracks", "H.264"),
        (9, b"\x91avc1more", "Enhanced RTMP", "H.264"),
        (9, b"\x96\x10hvc1more", "several tracks", "H.264"),
        (9, b"\x90hv", "hv", "H.264"),
        (9, b"\x12\x00\x00", "H.263", "H.264"),
        (9, b"\x1f\x00\x00", "codec 15", "H.264"),
        (8, b"\xb2\x00\x00", "Speex", "AAC"),
        (8, b"\x90fLaCmore", "FLAC", "AAC"),
        (8, b"\x95\x01Opusmore", "several tracks", "AAC"),
        (8, b"\x90", "''", "AAC"),
    ],
)
def test_other_codecs_end_it_with_a_sentence(type_id: int, payload: bytes, codec: str, advice: str) -> None:
    peer = Peer()
    peer.publish()
    refused, event = peer.message(type_id, payload)
    assert isinstance(refused, CodecRefused)
    assert codec in refused.codec
    assert isinstance(event, SessionEnded)
    assert event.cause == "codec"
    assert codec in event.sentence
    assert event.sentence.endswith(f"to {advice}.")
    (status,) = peer.answers()
    assert status.info()["description"] == event.sentence
    assert peer.message(MessageType.VIDEO, FRAME) == []


@pytest.mark.parametrize(
    ("type_id", "payload", "is_header", "is_key"),
    [
        (9, b"\x90hvc1config", True, False),
        (9, b"\x91hvc1\x00\x00\x00frame", False, True),
        (9, b"\xa1hvc1\x00\x00\x00frame", False, False),
        (9, b"\x93hvc1frame", False, True),
        (9, b"\xa3hvc1frame", False, False),
        (9, b"\x94hvc1colours", False, False),
        (9, b"\x90av01config", True, False),
        (9, b"\x91av01frame", False, True),
        (9, b"\x1c\x00\x00\x00\x00config", True, False),
        (9, b"\x1c\x01\x00\x00\x00frame", False, True),
        (9, b"\x2c\x01\x00\x00\x00frame", False, False),
        (8, b"\x90Opushead", True, False),
        (8, b"\x91Opussound", False, False),
        (8, b"\x2fsound", False, False),
    ],
)
def test_enhanced_rtmp_hevc_and_mp3_are_taken(type_id: int, payload: bytes, is_header: bool, is_key: bool) -> None:
    """Bytes by Enhanced RTMP v2, "Enhanced Video" and "Enhanced Audio"; FLV 10.1 for MP3, and HEVC as number 12."""
    peer = Peer()
    peer.publish()
    (event,) = peer.message(type_id, payload)
    assert isinstance(event, MediaReceived)
    assert event.packet.payload == payload
    assert (event.packet.is_sequence_header, event.packet.is_keyframe) == (is_header, is_key)


@pytest.mark.parametrize("payload", [b"\xd0\x00", b"\xd3hvc1\x01", b"\x91hvc1", b"\x92av01"])
def test_what_is_no_enhanced_picture_is_left_out(payload: bytes) -> None:
    """Command frames, and packets that end with their codec."""
    peer = Peer()
    peer.publish()
    assert peer.message(MessageType.VIDEO, payload) == []
    assert peer.session.ignored_messages == 1


def test_aggregate_is_split() -> None:
    def part(type_id: int, at: int, payload: bytes) -> bytes:
        head = bytes([type_id]) + len(payload).to_bytes(3, "big") + (at & 0xFFFFFF).to_bytes(3, "big")
        return head + bytes([at >> 24]) + bytes(3) + payload + (11 + len(payload)).to_bytes(4, "big")

    peer = Peer()
    peer.publish()
    body = part(9, 0x01000010, KEYFRAME) + part(8, 0x01000015, SOUND)
    assert peer.message(MessageType.AGGREGATE, body, at=2**32 - 2) == [
        MediaReceived(video(KEYFRAME, 2**32 - 2)),
        MediaReceived(MediaPacket(MediaKind.AUDIO, 3, SOUND)),
    ]
    (event,) = peer.message(MessageType.AGGREGATE, body[:-10])
    assert isinstance(event, SessionEnded)


@pytest.mark.parametrize(("name", "arguments"), [("FCUnpublish", (NAME,)), ("deleteStream", (1,)), ("closeStream", ())])
def test_goodbye(name: str, arguments: tuple[amf0.Amf0Value, ...]) -> None:
    peer = Peer()
    peer.publish()
    assert peer.command(name, *arguments, stream=1) == [PublishFinished()]
    assert peer.codes() == ["NetStream.Unpublish.Success"] * 2
    assert peer.command("deleteStream", 1) == []
    assert peer.message(MessageType.VIDEO, FRAME) == []
    peer.command("createStream", transaction=9)
    (answer,) = peer.answers()
    (number,) = answer.arguments
    assert isinstance(number, float)
    assert peer.command("publish", NAME, stream=int(number)) == [PublishRequested("key-1", SECRET, "test/1")]


def test_goodbye_of_another_stream_is_none() -> None:
    peer = Peer()
    peer.publish()
    for number in (2, "1", None):
        assert peer.command("deleteStream", number) == []
    assert len(peer.message(MessageType.VIDEO, FRAME)) == 1


def test_amf3_command() -> None:
    peer = Peer()
    peer.connect()
    peer.answers()
    body = amf0.encode("createStream", 2, None)
    peer.raw(peer.writer.write(Message(MessageType.COMMAND_AMF3, 0, 0, b"\x00" + body), 3))
    assert peer.answers()[0].transaction_id == 2
    (event,) = peer.raw(peer.writer.write(Message(MessageType.COMMAND_AMF3, 0, 0, b"\x11" + body), 3))
    assert isinstance(event, SessionEnded)


@pytest.mark.parametrize("name", ["_checkbw", "getStreamLength", "FCSubscribe", "anything"])
def test_unknown_commands_are_ignored(name: str) -> None:
    peer = Peer()
    peer.publish()
    assert peer.command(name, transaction=7) == []
    assert peer.messages() == []


def test_ping_is_answered() -> None:
    peer = Peer()
    peer.connect()
    peer.messages()
    peer.raw(peer.writer.write(msg.user_control(msg.UserControl.PING_REQUEST, 1234), 2))
    (answer,) = peer.messages()
    assert msg.read_user_control(answer) == (msg.UserControl.PING_RESPONSE, 1234)


def test_acknowledges_every_window() -> None:
    peer = Peer()
    peer.publish()
    peer.raw(peer.writer.write(msg.window_ack_size(10_000), 2))
    counts = []
    for _ in range(40):
        peer.message(MessageType.VIDEO, FRAME + bytes(945))
        counts += [msg.read_u32(m) for m in peer.messages() if m.type_id == MessageType.ACKNOWLEDGEMENT]
    assert 3 <= len(counts) <= 4
    assert all(10_000 <= late - early < 12_000 for early, late in itertools.pairwise(counts))
    assert counts[-1] <= peer.session.received_bytes == len(peer.sent)


def test_large_messages_are_for_publishers_only() -> None:
    header = b"\x05\x00\x00\x00\x01\x00\x01\x09\x01\x00\x00\x00"
    early = Peer()
    early.connect()
    (event,) = early.raw(header)
    assert isinstance(event, SessionEnded)
    let_in = Peer()
    let_in.publish()
    assert let_in.raw(header + bytes(128)) == []
    (event,) = let_in.raw(b"\x06\x00\x00\x00\xff\xff\xff\x09\x01\x00\x00\x00")
    assert isinstance(event, SessionEnded)
    assert "1000000 are allowed" in event.sentence


def test_publish_rules() -> None:
    without_stream = Peer()
    without_stream.connect()
    (event,) = without_stream.command("publish", NAME, stream=1)
    assert isinstance(event, SessionEnded)
    early = Peer()
    early.handshake()
    (event,) = early.command("createStream", transaction=1)
    assert isinstance(event, SessionEnded)
    twice = Peer()
    twice.publish()
    (event,) = twice.command("publish", NAME, stream=1)
    assert isinstance(event, SessionEnded)
    hungry = Peer()
    hungry.connect()
    assert any(hungry.command("createStream", transaction=n) for n in range(20))


@cache
def whole_publication() -> tuple[bytes, list[Event]]:
    peer = Peer()
    events = peer.ask()
    events += peer.session.accept()
    events += peer.message(MessageType.DATA, amf0.encode("@setDataFrame") + METADATA)
    events += peer.message(MessageType.VIDEO, AVC_HEADER)
    events += peer.message(MessageType.AUDIO, AAC_HEADER)
    for number in range(10):
        events += peer.message(MessageType.VIDEO, FRAME * 5, at=0xFFFFF0 + number * 33)
        events += peer.message(MessageType.AUDIO, SOUND, at=0xFFFFF0 + number * 33)
    events += peer.command("FCUnpublish", NAME)
    events += peer.raw(b"\x3f")  # a broken end
    events += peer.raw(b"\xff" * 4)
    return bytes(peer.sent), events


@given(st.randoms(use_true_random=False))
def test_any_pieces_bring_the_same_events(random: Random) -> None:
    data, expected = whole_publication()
    session = ServerSession(max_message_bytes=1_000_000)
    events: list[Event] = []
    for piece in cut_up(data, random):
        for event in session.receive(piece):
            events.append(event)
            if isinstance(event, PublishRequested):
                events += session.accept()
    assert events == expected
    assert len(events) > 24
