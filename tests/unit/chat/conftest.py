from __future__ import annotations

import pytest
from chat_harness import ChatRoom, make_streams

from dorami_core.store.postgres import PostgresDatabase
from dorami_core.store.redis import RedisStore
from dorami_core.testing.clock import ManualClock


@pytest.fixture
async def chat(database: PostgresDatabase, redis_store: RedisStore, manual_clock: ManualClock) -> ChatRoom:
    await make_streams(database)
    room = ChatRoom(database, redis_store, manual_clock)
    await room.rules.refresh()
    return room
