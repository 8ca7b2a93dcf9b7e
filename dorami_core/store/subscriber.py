"""What Redis publishes: one connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from redis.asyncio import Connection, ConnectionPool

from dorami_core.runtime import to_asyncio
from dorami_core.store.unreachable import redis_unreachable
from dorami_core.store.wire import Argument, RedisWire, open_wire

OnMessage = Callable[[str, bytes], None]
"""Channel and message, in the order of publishing. It is called in the loop, outside any task, and must not raise."""


class Subscriber:
    """Subscriptions of one connection. Every call raises UNAVAILABLE once the connection is lost."""

    def __init__(self, wire: RedisWire) -> None:
        self._wire = wire

    async def subscribe(self, channel: str) -> None:
        """Returns once everything published from now on is heard."""
        await self._call("SUBSCRIBE", channel)

    async def unsubscribe(self, channel: str) -> None:
        await self._call("UNSUBSCRIBE", channel)

    async def catch_up(self) -> None:
        """Returns once everything published before this call was heard."""
        await self._call("PING")

    async def wait_lost(self) -> None:
        """Until the connection is lost: UNAVAILABLE, or what the listener has raised."""
        with redis_unreachable():
            await self._wire.wait_lost()

    async def _call(self, *command: Argument) -> None:
        with redis_unreachable():
            await self._wire.call(*command)


@asynccontextmanager
async def open_subscriber(pool: ConnectionPool, on_message: OnMessage) -> AsyncIterator[Subscriber]:
    """UNAVAILABLE where Redis cannot be reached."""

    def hear(channel: bytes, data: bytes) -> None:
        on_message(channel.decode(), data)

    connection: Connection = pool.make_connection()  # type: ignore[no-untyped-call]
    with redis_unreachable():
        wire = await to_asyncio(open_wire, connection, hear)
    try:
        yield Subscriber(wire)
    finally:
        wire.close()
