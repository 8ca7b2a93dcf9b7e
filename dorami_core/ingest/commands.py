"""Commands and their answers as AMF0 (RTMP 1.0, section 7.2)."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote

import attrs

from dorami_core.ingest import amf0
from dorami_core.ingest.amf0 import UNDEFINED, Amf0Error, Amf0Value
from dorami_core.ingest.messages import Message, MessageType, RtmpProtocolError

MAX_NAME_CHARS = 512


@attrs.frozen
class Command:
    """`arguments` are what follows the command object."""

    name: str
    transaction_id: float
    object: Amf0Value = None
    arguments: tuple[Amf0Value, ...] = ()

    def text(self, index: int) -> str:
        """The argument if it is a string, else ""."""
        value = self.arguments[index] if index < len(self.arguments) else ""
        return value if isinstance(value, str) else ""

    def field(self, name: str) -> Amf0Value:
        """A member of the command object, UNDEFINED where there is none."""
        return self.object.get(name, UNDEFINED) if isinstance(self.object, dict) else UNDEFINED

    def info(self) -> dict[str, Amf0Value]:
        """The first argument that is an object: the info object of `_result` and `onStatus`."""
        return next((dict(value) for value in self.arguments if isinstance(value, dict)), {})


def decode_command(message: Message) -> Command:
    """RtmpProtocolError where it is no command. An AMF3 command is AMF0 after one byte that must be 0."""
    payload = message.payload
    if message.type_id == MessageType.COMMAND_AMF3:
        if payload[:1] != b"\x00":
            raise RtmpProtocolError("an AMF3 command that is not AMF0 inside")
        payload = payload[1:]
    try:
        values = amf0.decode(payload)
    except Amf0Error as error:
        raise RtmpProtocolError(f"a broken command: {error}") from error
    if not values or not isinstance(values[0], str):
        raise RtmpProtocolError("a command without a name")
    transaction_id = values[1] if len(values) > 1 else 0.0
    if not isinstance(transaction_id, float):
        raise RtmpProtocolError("a command without a transaction id")
    return Command(values[0], transaction_id, values[2] if len(values) > 2 else None, tuple(values[3:]))


def encode_command(command: Command, stream_id: int = 0) -> Message:
    payload = amf0.encode(command.name, command.transaction_id, command.object, *command.arguments)
    return Message(MessageType.COMMAND, stream_id, 0, payload)


def result(transaction_id: float, value: Amf0Value, properties: Amf0Value = None) -> Command:
    return Command("_result", transaction_id, properties, (value,))


def connect_error(transaction_id: float, code: str, description: str) -> Command:
    return Command("_error", transaction_id, None, (_info("error", code, description),))


def on_status(level: str, code: str, description: str) -> Command:
    return Command("onStatus", 0.0, None, (_info(level, code, description),))


def on_fc_publish(stream_key: str) -> Command:
    return Command("onFCPublish", 0.0, None, (_info("status", "NetStream.Publish.Start", stream_key),))


def on_fc_unpublish(stream_key: str) -> Command:
    return Command("onFCUnpublish", 0.0, None, (_info("status", "NetStream.Unpublish.Success", stream_key),))


def _info(level: str, code: str, description: str) -> dict[str, Amf0Value]:
    return {"level": level, "code": code, "description": description}


@attrs.frozen
class StreamName:
    """What an encoder calls the "stream key": the public key and, after `?secret=`, what lets it publish."""

    key: str
    secret: str = attrs.field(repr=False)


def parse_stream_name(name: str) -> StreamName | None:
    """None where no key is in it, or it is longer than 512 characters."""
    if len(name) > MAX_NAME_CHARS:
        return None
    path, _, query = name.partition("?")
    key = unquote(path).strip("/")
    if not key or not key.isprintable():
        return None
    try:
        secrets = parse_qs(query, max_num_fields=16).get("secret", [])
    except ValueError:
        return None
    return StreamName(key, secrets[0] if secrets else "")


def app_name(app: str) -> str:
    """The application of a `connect`: without query and slashes."""
    return app.partition("?")[0].strip("/")
