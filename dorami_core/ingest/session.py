"""The server's side of one RTMP connection, without I/O: bytes in, events and bytes out."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from dorami_core.ingest import amf0
from dorami_core.ingest import commands as cmd
from dorami_core.ingest import messages as msg
from dorami_core.ingest.chunks import ChunkReader, ChunkWriter
from dorami_core.ingest.codecs import codec_name, is_playable, unsupported_codec
from dorami_core.ingest.commands import Command
from dorami_core.ingest.handshake import ServerHandshake
from dorami_core.ingest.messages import Message, MessageType, RtmpProtocolError
from dorami_core.media.packets import MediaKind, MediaPacket

APP = "live"
CHUNK_SIZE = 4096
WINDOW_BYTES = 2_500_000
MAX_MESSAGE_BEFORE_PUBLISH = 65_536
MAX_STREAMS = 8

_MEDIA_KINDS = {MessageType.AUDIO: MediaKind.AUDIO, MessageType.VIDEO: MediaKind.VIDEO}


@attrs.frozen
class PublishRequested:
    """Nothing more is read from the peer until `accept` or `refuse` is called."""

    stream_key: str
    secret: str = attrs.field(repr=False)
    encoder: str


@attrs.frozen(slots=True)
class MediaReceived:
    packet: MediaPacket


@attrs.frozen
class CodecRefused:
    """Comes before the SessionEnded that it is the cause of."""

    kind: MediaKind
    codec: str


@attrs.frozen
class PublishFinished:
    """The publisher said goodbye; the connection may still be used."""


@attrs.frozen
class SessionEnded:
    """The last event: send what is to be sent, then close.

    `cause` is "protocol" where the peer broke the rules, "refused" where it asked for what is not served here.
    """

    cause: Literal["protocol", "refused", "codec"]
    sentence: str


Event: TypeAlias = PublishRequested | MediaReceived | CodecRefused | PublishFinished | SessionEnded
_State: TypeAlias = Literal["connecting", "connected", "asking", "publishing", "ended"]


class ServerSession:
    """Feed it with `receive`, send what `data_to_send` returns after every call.

    Before a publisher was let in, messages of more than 64 KB are refused; afterwards those above `max_message_bytes`.
    `NetStream.Publish.Start` is only said by `accept`.
    """

    def __init__(self, *, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._handshake: ServerHandshake | None = ServerHandshake()
        self._reader = ChunkReader(min(max_message_bytes, MAX_MESSAGE_BEFORE_PUBLISH))
        self._writer = ChunkWriter()
        self._out: list[bytes] = []
        self._state: _State = "connecting"
        self._encoder = ""
        self._streams: set[int] = set()
        self._next_stream = 1
        self._publishing_on = 0
        self._key = ""
        self._received = 0
        self._acknowledged = 0
        self._window = WINDOW_BYTES
        self.ignored_messages = 0

    @property
    def handshaken(self) -> bool:
        return self._handshake is None

    @property
    def received_bytes(self) -> int:
        return self._received

    @property
    def ended(self) -> bool:
        """Nothing more is taken: send what is to be sent, then close."""
        return self._state == "ended"

    def data_to_send(self) -> bytes:
        """What has gathered to be sent; it is given out once."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> list[Event]:
        """What the bytes bring. After SessionEnded nothing more comes."""
        if self.ended:
            return []
        self._received += len(data)
        events: list[Event] = []
        try:
            if self._handshake is not None:
                self._out.append(self._handshake.receive(data))
                if not self._handshake.done:
                    return events
                data = self._handshake.leftover
                self._handshake = None
            self._reader.feed(data)
            self._read(events)
        except RtmpProtocolError as error:
            self._end(events, "protocol", str(error))
        if self._received - self._acknowledged >= self._window and not self.ended:
            self._acknowledged = self._received
            self._send(msg.acknowledgement(self._received))
        return events

    def accept(self) -> list[Event]:
        """The gate has let the publisher in. Events of bytes that had come already are returned."""
        if self._state != "asking":
            raise RuntimeError("nobody asks to publish")
        self._state = "publishing"
        self._reader.max_message_bytes = self._max_message_bytes
        self._send(msg.user_control(msg.UserControl.STREAM_BEGIN, self._publishing_on))
        self._command(cmd.on_fc_publish(self._key))
        self._command(cmd.on_status("status", "NetStream.Publish.Start", "Publishing."), self._publishing_on)
        return self.receive(b"")

    def refuse(self) -> None:
        """The gate has not. The peer learns no reason; the connection is to be closed."""
        if self._state != "asking":
            raise RuntimeError("nobody asks to publish")
        self._reject("Publishing was refused.")

    def dismiss(self, sentence: str) -> None:
        """The core wants a running publisher gone: says so to it; the connection is to be closed."""
        if self._state == "publishing":
            self._reject(sentence)

    def _reject(self, sentence: str) -> None:
        self._command(cmd.on_status("error", "NetStream.Publish.Rejected", sentence), self._publishing_on)
        self._state = "ended"

    def _end(self, events: list[Event], cause: Literal["protocol", "refused", "codec"], sentence: str) -> None:
        self._state = "ended"
        events.append(SessionEnded(cause, sentence))

    def _send(self, message: Message) -> None:
        control = message.type_id <= MessageType.SET_PEER_BANDWIDTH
        self._out.append(self._writer.write(message, msg.CONTROL_CHUNKS if control else msg.COMMAND_CHUNKS))

    def _command(self, command: Command, stream_id: int = 0) -> None:
        self._send(cmd.encode_command(command, stream_id))

    def _read(self, events: list[Event]) -> None:
        while self._state not in ("asking", "ended"):
            message = self._reader.next_message()
            if message is None:
                return
            self._dispatch(message, events)

    def _dispatch(self, message: Message, events: list[Event]) -> None:
        match message.type_id:
            case MessageType.VIDEO | MessageType.AUDIO:
                self._on_media(message, events)
            case MessageType.DATA | MessageType.DATA_AMF3:
                self._on_data(message, events)
            case MessageType.COMMAND | MessageType.COMMAND_AMF3:
                self._on_command(cmd.decode_command(message), message.stream_id, events)
            case MessageType.AGGREGATE:
                for part in msg.split_aggregate(message):
                    if part.type_id in (MessageType.VIDEO, MessageType.AUDIO, MessageType.DATA):
                        self._dispatch(part, events)
            case MessageType.WINDOW_ACK_SIZE:
                self._window = msg.read_u32(message) or self._window
            case MessageType.USER_CONTROL:
                event, value = msg.read_user_control(message)
                if event == msg.UserControl.PING_REQUEST:
                    self._send(msg.user_control(msg.UserControl.PING_RESPONSE, value))
            case MessageType.ACKNOWLEDGEMENT | MessageType.SET_PEER_BANDWIDTH:
                pass  # we send too little for a window to matter
            case _:
                self.ignored_messages += 1

    def _takes_media(self, message: Message) -> bool:
        if self._state == "publishing" and message.stream_id == self._publishing_on and message.payload:
            return True
        self.ignored_messages += 1
        return False

    def _on_media(self, message: Message, events: list[Event]) -> None:
        if not self._takes_media(message):
            return
        packet = MediaPacket(_MEDIA_KINDS[MessageType(message.type_id)], message.timestamp, message.payload)
        sentence = unsupported_codec(packet)
        if sentence is not None:
            events.append(CodecRefused(packet.kind, codec_name(packet)))
            self.dismiss(sentence)
            self._end(events, "codec", sentence)
        elif is_playable(packet):
            events.append(MediaReceived(packet))
        else:
            self.ignored_messages += 1

    def _on_data(self, message: Message, events: list[Event]) -> None:
        """Only `onMetaData` goes on, without "@setDataFrame" before it; what is broken is left out."""
        if not self._takes_media(message):
            return
        start = 1 if message.type_id == MessageType.DATA_AMF3 else 0
        decoder = amf0.Decoder(message.payload, start)
        try:
            name = decoder.string()
            if name == "@setDataFrame":
                start = decoder.at
                name = decoder.string()
            taken = name == "onMetaData" and isinstance(decoder.value(), dict)
        except amf0.Amf0Error:
            taken = False
        if taken:
            payload = message.payload[start : decoder.at]
            events.append(MediaReceived(MediaPacket(MediaKind.DATA, message.timestamp, payload)))
        else:
            self.ignored_messages += 1

    def _on_command(self, command: Command, stream_id: int, events: list[Event]) -> None:
        if self._state == "connecting" and command.name != "connect":
            raise RtmpProtocolError(f"{command.name[:40]!r} before connect")
        match command.name:
            case "connect":
                self._on_connect(command, events)
            case "releaseStream" | "FCPublish":
                self._command(cmd.result(command.transaction_id, amf0.UNDEFINED))
            case "createStream":
                self._on_create_stream(command)
            case "publish":
                self._on_publish(command, stream_id, events)
            case "FCUnpublish" | "closeStream":
                self._on_unpublish(events)
            case "deleteStream":
                number = command.arguments[0] if command.arguments else 0
                if isinstance(number, float) and number in self._streams:
                    self._streams.discard(int(number))
                    if number == self._publishing_on:
                        self._on_unpublish(events)
            case "play" | "play2":
                self._command(
                    cmd.on_status("error", "NetStream.Play.Failed", "Nothing is played over RTMP."), stream_id
                )
                self._end(events, "refused", "a player; nothing is played over RTMP")
            case _:
                self.ignored_messages += 1

    def _on_connect(self, command: Command, events: list[Event]) -> None:
        if self._state != "connecting":
            raise RtmpProtocolError("a second connect")
        app = command.field("app")
        if not isinstance(app, str) or cmd.app_name(app) != APP:
            sentence = f"The server address must end with /{APP}."
            self._command(cmd.connect_error(command.transaction_id, "NetConnection.Connect.InvalidApp", sentence))
            self._end(events, "refused", "another application than " + APP)
            return
        encoder = command.field("flashVer")
        self._encoder = encoder[:128] if isinstance(encoder, str) else ""
        self._send(msg.window_ack_size(WINDOW_BYTES))
        self._send(msg.set_peer_bandwidth(WINDOW_BYTES))
        self._out.append(self._writer.set_chunk_size(CHUNK_SIZE))
        info: dict[str, amf0.Amf0Value] = {
            "level": "status",
            "code": "NetConnection.Connect.Success",
            "description": "Connected.",
            "objectEncoding": 0,
        }
        properties: dict[str, amf0.Amf0Value] = {"fmsVer": "FMS/3,0,1,123", "capabilities": 31}
        self._command(cmd.result(command.transaction_id, info, properties))
        self._state = "connected"

    def _on_create_stream(self, command: Command) -> None:
        if len(self._streams) >= MAX_STREAMS:
            raise RtmpProtocolError(f"more than {MAX_STREAMS} message streams")
        self._streams.add(self._next_stream)
        self._command(cmd.result(command.transaction_id, self._next_stream))
        self._next_stream += 1

    def _on_publish(self, command: Command, stream_id: int, events: list[Event]) -> None:
        if stream_id not in self._streams:
            raise RtmpProtocolError("publish on a message stream that was not created")
        if self._state == "publishing":
            raise RtmpProtocolError("a second publish on one connection")
        name = cmd.parse_stream_name(command.text(0))
        self._publishing_on = stream_id
        if name is None:
            self._command(cmd.on_status("error", "NetStream.Publish.BadName", "The stream key is empty."), stream_id)
            self._end(events, "refused", "no stream key")
            return
        self._key = name.key
        self._state = "asking"
        events.append(PublishRequested(name.key, name.secret, self._encoder))

    def _on_unpublish(self, events: list[Event]) -> None:
        if self._state != "publishing":
            return
        self._command(cmd.on_fc_unpublish(self._key))
        self._command(
            cmd.on_status("status", "NetStream.Unpublish.Success", "Stopped publishing."), self._publishing_on
        )
        self._state = "connected"
        self._publishing_on = 0
        events.append(PublishFinished())
