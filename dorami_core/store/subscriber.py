"""What Redis publishes: one connection of its own, read by one asyncio task into a Trio channel."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis.exceptions
import trio
from redis.asyncio import BlockingConnectionPool, Connection

from dorami_core.runtime import to_asyncio
from dorami_core.store.unreachable import redis_unreachable

WAITING_MAX = 20_000
"""Messages that may wait for their reader; more end the subscription, which has to begin anew."""
CLOSE_S = 2.0


class Subscriber:
    """Subscriptions of one connection. Every call raises UNAVAILABLE once the connection is lost."""

    def __init__(self, connection: Connection, received: trio.MemoryReceiveChannel[tuple[bytes, bytes, bytes]]) -> None:
        self._connection = connection
        self._received = received
        self._waiting: dict[tuple[bytes, bytes], list[trio.Event]] = {}
        self._pings = 0
        self.is_lost = False

    async def subscribe(self, channel: str) -> None:
        """Returns once everything published from now on is heard."""
        await self._ask(b"subscribe", channel.encode(), "SUBSCRIBE", channel)

    async def unsubscribe(self, channel: str) -> None:
        await self._ask(b"unsubscribe", channel.encode(), "UNSUBSCRIBE", channel)

    async def catch_up(self) -> None:
        """Returns once everything published before this call was handed out by `messages`."""
        self._pings += 1
        token = str(self._pings)
        await self._ask(b"pong", token.encode(), "PING", token)

    async def _ask(self, answer: bytes, about: bytes, *command: str) -> None:
        event = trio.Event()
        with redis_unreachable():
            if self.is_lost:
                raise ConnectionError("the subscription is lost")
            self._waiting.setdefault((answer, about), []).append(event)
            await to_asyncio(self._connection.send_command, *command)
            await event.wait()
            if self.is_lost:
                raise ConnectionError("the subscription is lost")

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """Channel and message, in the order of publishing; ends when the connection is lost. One reader."""
        try:
            async for kind, channel, data in self._received:
                if kind == b"message":
                    yield channel.decode(), data
                else:
                    # an answer: what was published before it has been handed out
                    for event in self._waiting.pop((kind, channel), ()):
                        event.set()
        finally:
            self.is_lost = True
            for events in self._waiting.values():
                for event in events:
                    event.set()


@asynccontextmanager
async def open_subscriber(pool: BlockingConnectionPool) -> AsyncIterator[Subscriber]:
    """UNAVAILABLE where Redis cannot be reached."""
    connection: Connection = pool.make_connection()  # type: ignore[no-untyped-call]
    send, receive = trio.open_memory_channel[tuple[bytes, bytes, bytes]](WAITING_MAX)
    try:
        with redis_unreachable():
            await to_asyncio(connection.connect)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(to_asyncio, _read, connection, send)
            yield Subscriber(connection, receive)
            nursery.cancel_scope.cancel()
    finally:
        receive.close()
        with trio.move_on_after(CLOSE_S, shield=True):
            await to_asyncio(_disconnect, connection)


# Below: the asyncio side.


async def _read(connection: Any, send: trio.MemorySendChannel[tuple[bytes, bytes, bytes]]) -> None:
    """Until the connection is lost, or its reader does not keep up."""
    try:
        while True:
            answer = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
            if isinstance(answer, list):
                kind, channel, data = answer if len(answer) == 3 else (*answer, b"")
            else:
                kind, channel, data = b"pong", answer, b""  # while there is no subscription
            send.send_nowait((kind, channel, data))
    except (trio.WouldBlock, trio.BrokenResourceError, OSError, redis.exceptions.RedisError):
        return
    finally:
        send.close()


async def _disconnect(connection: Any) -> None:
    await connection.disconnect(nowait=True)
