"""What a viewer says to enter a room: generators that are sent each packet of the server, and end when they are in."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator

Say = Callable[[str], None]
Script = Generator[None, str, str]
"""Returns the packet that let it in. Raises Refused."""


class Refused(Exception):
    """The server did not let the client in."""


def join_chat(say: Say, stream: str, token: str | None = None) -> Script:
    """Namespace `/chat`, then the room of one broadcast."""
    say("40/chat," + json.dumps({"token": token} if token else {}))
    yield from _wait_for("40/chat,{")
    say("42/chat,0" + json.dumps(["chat:join-room", {"liveId": stream}]))
    return _acknowledged((yield from _wait_for("43/chat,0[")))


def join_stream(say: Say, stream: str, token: str | None = None) -> Script:
    """Namespace `/`, then the broadcast, answered with its snapshot."""
    say("40" + (json.dumps({"token": token}) if token else ""))
    yield from _wait_for("40{")
    say("420" + json.dumps(["join:stream", {"streamKey": stream}]))
    return _acknowledged((yield from _wait_for("430[")))


def chat_message(stream: str, text: str) -> str:
    return "42/chat," + json.dumps(["chat:send-message", {"liveId": stream, "message": text}])


def _wait_for(start: str) -> Script:
    while True:
        packet = yield
        if packet.startswith(start):
            return packet
        if packet.startswith(("44", "41")):
            raise Refused(packet[:200])


def _acknowledged(packet: str) -> str:
    if not json.loads(packet[packet.index("[") :])[0].get("ok"):
        raise Refused(packet[:200])
    return packet
