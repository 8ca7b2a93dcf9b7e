"""The echo server that the public protocol suites of Engine.IO and Socket.IO talk to, as a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dorami_core.hooks import Access, Plugin, SocketConnection, SocketEvents, hookimpl


async def greet(connection: SocketConnection, auth: Mapping[str, Any]) -> None:
    connection.emit("auth", auth)


async def send_back(connection: SocketConnection, arguments: list[Any]) -> None:
    connection.emit("message-back", *arguments)


async def acknowledge(connection: SocketConnection, arguments: list[Any]) -> list[Any]:
    return arguments


async def ask_back(connection: SocketConnection, arguments: list[Any]) -> list[Any]:
    """The same in the other direction: the client is asked, and told what it answered."""
    return [await connection.ask("question", *arguments)]


class EchoPlugin(Plugin):
    name = "echo"

    @hookimpl
    def register_sockets(self, sockets: SocketEvents) -> None:
        for namespace in ("/", "/custom"):
            sockets.on_connect(namespace, greet, own_auth=True)
            sockets.on(namespace, "message", send_back, payload=None, access=Access.PUBLIC)
            sockets.on(namespace, "message-with-ack", acknowledge, payload=None, access=Access.PUBLIC)
            sockets.on(namespace, "ask-me", ask_back, payload=None, access=Access.PUBLIC)
