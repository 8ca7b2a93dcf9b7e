"""What viewers hear of a broadcast."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
import trio.testing
from stream_studio import Studio

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import new_uuid
from dorami_core.base.principal import Principal
from dorami_core.chat.store import ChatStore
from dorami_core.events.model import EventMeta
from dorami_core.events.streams import (
    StreamChanged,
    StreamCreated,
    StreamEnded,
    StreamInterrupted,
    StreamResumed,
    StreamStarted,
)
from dorami_core.hooks.host import StreamView
from dorami_core.hooks.markers import hookimpl
from dorami_core.presence import sockets as presence_sockets
from dorami_core.presence.ledger import RedisLedger
from dorami_core.presence.viewers import SharedViewers
from dorami_core.store.redis import RedisStore
from dorami_core.streams import sockets as stream_sockets
from dorami_core.streams.announce import StreamAnnouncer
from dorami_core.testing.sockets import (
    RecordedConnection,
    RecordedRooms,
    RecordedSockets,
    Said,
    guest_principal,
    user_principal,
)
from dorami_core.testing.waiting import becomes

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Hall:
    def __init__(self, studio: Studio, redis: RedisStore) -> None:
        self.studio = studio
        self.rooms = RecordedRooms()
        self.viewers = SharedViewers(self.rooms, studio.clock, RedisLedger(redis, lease_s=15), lease_s=15)
        self.sockets = RecordedSockets()
        self.chat = ChatStore(redis)
        self.snapshots = stream_sockets.register(
            self.sockets, studio.service, self.viewers, studio.hooks, studio.clock, self.chat
        )
        presence_sockets.register(self.sockets, studio.service, self.viewers)

    def conn(self, principal: Principal, namespace: str = "/") -> RecordedConnection:
        return RecordedConnection(self.rooms, namespace, principal)

    async def join(self, principal: Principal, key: str) -> RecordedConnection:
        conn = self.conn(principal)
        await self.sockets.send(conn, "join:stream", {"streamKey": key})
        return conn


@pytest.fixture
async def hall(studio: Studio, redis_store: RedisStore) -> Hall:
    return Hall(studio, redis_store)


async def test_join_answers_the_snapshot_with_what_plugins_add(hall: Hall) -> None:
    class Shop:
        @hookimpl
        async def filter_stream_snapshot(self, value: dict[str, Any], stream: StreamView) -> dict[str, Any]:
            return {**value, "products": [stream.title]}

    hall.studio.manager.register(Shop())
    row = await hall.studio.service.create(title="one")
    conn = hall.conn(guest_principal())
    snapshot = await hall.sockets.send(conn, "join:stream", {"streamKey": row.stream_key})
    assert set(snapshot) == {"stream", "viewerCount", "serverTime", "messages", "products", "room"}
    assert snapshot["stream"]["streamKey"] == row.stream_key
    assert snapshot["stream"]["viewerCount"] == snapshot["viewerCount"] == 1
    assert "secret" not in str(snapshot)
    assert conn.rooms == {row.stream_key}


async def test_an_unknown_stream_is_not_joined_and_not_counted(hall: Hall) -> None:
    for namespace, event in (("/", "join:stream"), ("/streaming", "stream:viewer:join")):
        for key in ("none-such", "No:Key"):
            conn = hall.conn(guest_principal(), namespace)
            with pytest.raises(DoramiError, match="STREAM_NOT_FOUND"):
                await hall.sockets.send(conn, event, {"streamKey": key})
            assert conn.rooms == frozenset()
    assert hall.viewers.statistics().sockets == 0


async def test_a_socket_that_goes_while_it_joins_is_not_counted(hall: Hall) -> None:
    key = (await hall.studio.service.create(title="one")).stream_key
    conn = hall.conn(user_principal())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hall.sockets.send, conn, "join:stream", {"streamKey": key})
        await trio.testing.wait_all_tasks_blocked()
        await hall.sockets.disconnect(conn)
    assert hall.viewers.count(key) == 0
    assert hall.viewers.statistics().sockets == 0


async def test_viewers_of_streaming_are_counted_and_told(hall: Hall) -> None:
    key = (await hall.studio.service.create(title="one")).stream_key
    conn = hall.conn(guest_principal(), "/streaming")
    answer = await hall.sockets.send(conn, "stream:viewer:join", {"streamKey": key})
    assert answer == {"streamKey": key, "status": "PENDING", "viewerCount": 1}
    async with trio.open_nursery() as nursery:
        await nursery.start(hall.viewers.run)
        await becomes(lambda: conn.heard)
        nursery.cancel_scope.cancel()
    assert conn.heard == [("stream:viewer:update", {"streamKey": key, "viewerCount": 1})]
    await hall.sockets.send(conn, "stream:viewer:leave")
    assert hall.viewers.count(key) == 0
    await hall.sockets.send(conn, "stream:viewer:join", {"streamKey": key})
    await hall.sockets.disconnect(conn)
    assert hall.viewers.count(key) == 0


async def test_the_announcer_tells_each_change(hall: Hall) -> None:
    row = await hall.studio.service.create(title="one", scheduled_at=AT)
    key = row.stream_key
    announcer = StreamAnnouncer(hall.rooms, hall.studio.service)
    meta = EventMeta(id=new_uuid(), position=1, aggregate_seq=1, at=AT)
    about: dict[str, Any] = {"stream_key": key, "title": "one"}
    upcoming = Said(
        "/",
        None,
        "upcoming:updated",
        {"streamKey": key, "title": "one", "status": "PENDING", "scheduledAt": "2026-01-02T03:04:05.000Z"},
    )

    def status(value: str, since: str = "2026-01-02T03:04:05.000Z", **more: str) -> Said:
        return Said("/streaming", key, "stream:status", {"streamKey": key, "status": value, "since": since, **more})

    await announcer.on_stream_created(StreamCreated(**about, scheduled_at=AT), meta)
    await announcer.on_stream_changed(StreamChanged(**about, scheduled_at=AT), meta)
    await announcer.on_stream_started(StreamStarted(**about, started_at=AT), meta)
    await announcer.on_stream_interrupted(StreamInterrupted(**about, grace_ends_at=AT + timedelta(seconds=30)), meta)
    await announcer.on_stream_resumed(StreamResumed(**about), meta)
    await announcer.on_stream_ended(StreamEnded(**about, reason="publisher_lost", ended_at=AT, peak_viewers=3), meta)
    assert hall.rooms.said == [
        upcoming,
        upcoming,
        status("LIVE"),
        upcoming,
        status("INTERRUPTED", graceEndsAt="2026-01-02T03:04:35.000Z"),
        status("LIVE"),
        status("OFFLINE"),
        Said("/streaming", key, "stream:ended", {"streamKey": key, "reason": "publisher_lost"}),
        upcoming,
    ]
