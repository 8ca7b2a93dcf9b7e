"""What a page gets when it joins, with the real chat and without its Redis."""

from __future__ import annotations

from pathlib import Path

import pytest
from stream_studio import Studio

from dorami_core.base.errors import DoramiError
from dorami_core.chat.store import ChatStore, Draft, Limits
from dorami_core.edge.link import RedisLink
from dorami_core.presence.ledger import RedisLedger
from dorami_core.presence.viewers import SharedViewers
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.store.redis import RedisStore, open_redis
from dorami_core.streams import sockets as stream_sockets
from dorami_core.streams.sockets import SERVES_S
from dorami_core.testing.sockets import RecordedConnection, RecordedRooms, RecordedSockets, guest_principal


class Door:
    def __init__(self, studio: Studio, redis: RedisStore) -> None:
        self.rooms = RecordedRooms()
        self.sockets = RecordedSockets()
        self.chat = ChatStore(redis, RedisLink(redis))
        self.viewers = SharedViewers(self.rooms, studio.clock, RedisLedger(redis, lease_s=15), lease_s=15)
        stream_sockets.register(self.sockets, studio.service, self.viewers, studio.hooks, studio.clock, self.chat)

    def conn(self) -> RecordedConnection:
        return RecordedConnection(self.rooms, "/", guest_principal())


async def test_the_last_messages_are_in_it(studio: Studio, redis_store: RedisStore) -> None:
    door = Door(studio, redis_store)
    row = await studio.service.create(title="one")
    for number in range(3):
        draft = Draft(row.stream_key, "u", "민수", "USER", f"안녕 {number}", None, studio.clock.now(), Limits(0, 10))
        await door.chat.send(draft)
    snapshot = await door.sockets.send(door.conn(), "join:stream", {"streamKey": row.stream_key})
    assert [message["message"] for message in snapshot["messages"]] == ["안녕 0", "안녕 1", "안녕 2"]
    assert [message["seq"] for message in snapshot["messages"]] == [1, 2, 3]


async def test_without_redis_it_comes_without_messages(studio: Studio, tmp_path: Path) -> None:
    row = await studio.service.create(title="one")
    async with open_redis(f"unix://{tmp_path}/none.sock") as redis:
        door = Door(studio, redis)
        snapshot = await door.sockets.send(door.conn(), "join:stream", {"streamKey": row.stream_key})
    assert set(snapshot) == {"stream", "viewerCount", "serverTime", "room"}
    assert snapshot["viewerCount"] == 1


async def test_a_join_that_fails_leaves_nothing_behind_and_one_that_was_in_stays(
    studio: Studio, redis_store: RedisStore, database: PostgresDatabase
) -> None:
    door = Door(studio, redis_store)
    row = await studio.service.create(title="one")
    stays, comes = door.conn(), door.conn()
    await door.sockets.send(stays, "join:stream", {"streamKey": row.stream_key})
    await database.execute("ALTER TABLE streams.streams RENAME TO away")
    studio.clock.advance(SERVES_S)
    for conn in (stays, comes):
        with pytest.raises(Exception, match="does not exist"):
            await door.sockets.send(conn, "join:stream", {"streamKey": row.stream_key})
    await database.execute("ALTER TABLE streams.away RENAME TO streams")
    assert stays.rooms == {row.stream_key}
    assert comes.rooms == frozenset()
    assert door.viewers.count(row.stream_key) == 1
    with pytest.raises(DoramiError, match="STREAM_NOT_FOUND"):
        await door.sockets.send(comes, "join:stream", {"streamKey": "none-such"})
