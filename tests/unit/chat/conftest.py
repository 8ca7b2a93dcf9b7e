from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from chat_harness import ChatRoom, listening, make_streams

from dorami_core.store.postgres import PostgresDatabase
from dorami_core.store.redis import RedisStore
from dorami_core.testing.clock import ManualClock
from dorami_core.testing.sockets import RecordedRooms


@pytest.fixture
async def chat(
    database: PostgresDatabase, redis_store: RedisStore, manual_clock: ManualClock
) -> AsyncIterator[ChatRoom]:
    await make_streams(database)
    rooms = RecordedRooms()
    async with listening(redis_store, rooms) as link:
        room = ChatRoom(database, redis_store, manual_clock, rooms=rooms, link=link)
        await room.rules.refresh()
        yield room
