"""Which targets run and what is kept of it, on a real database with real workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
import trio
from restream_parts import (
    HOST,
    KEY,
    MEDIA,
    LoopedPublisher,
    Platform,
    free_port,
    serve_platform,
    until,
)

from dorami_core.base.clock import SystemClock
from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import StreamKey, UserId, new_uuid
from dorami_core.base.sealing import Sealer
from dorami_core.base.settings import RestreamSettings
from dorami_core.base.structure import from_json, to_json
from dorami_core.hooks.host import StreamView
from dorami_core.identity.addresses import AddressCipher
from dorami_core.identity.users import Users
from dorami_core.media.hub import RelayHub, open_relay_hub
from dorami_core.media.packets import MediaPacket
from dorami_core.restream import store
from dorami_core.restream.model import Run, Target, TargetBody, TargetPatch
from dorami_core.restream.restreams import Restreams, is_wanted
from dorami_core.restream.routes import describe
from dorami_core.restream.service import RestreamService
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.streams import store as streams_store
from dorami_core.testing.clock import move_database_clock

SHOW = StreamKey("show-one")
SECRET = "0a" * 32
QUICK = RestreamSettings(first_pause_s=0.2, longest_pause_s=0.5)


class Directory:
    """The broadcasts of the database."""

    def __init__(self, db: PostgresDatabase) -> None:
        self._db = db

    async def find(self, stream_key: str) -> StreamView | None:
        row = await streams_store.find(self._db, stream_key)
        return row.view if row else None

    async def live(self) -> list[StreamView]:
        return [row.view for row in await streams_store.list_on_air(self._db, 10)]

    async def upcoming(self) -> list[StreamView]:
        return []

    async def list_all(self, limit: int = 50) -> list[StreamView]:
        return []

    def viewer_count(self, stream_key: str) -> int:
        return 0


@attrs.define
class Desk:
    """A seller with a broadcast on air."""

    db: PostgresDatabase
    hub: RelayHub
    user_id: UserId
    service: RestreamService
    restreams: Restreams
    nursery: trio.Nursery
    running: trio.CancelScope | None = None
    stopped: trio.Event = attrs.field(factory=trio.Event)

    async def plan(self) -> None:
        async with self.db.transaction() as tx:
            if await streams_store.find(tx, SHOW) is None:
                await streams_store.insert(
                    tx,
                    SHOW,
                    title="t",
                    secret="s",
                    scheduled_at=None,
                    free_shipping_enabled=False,
                    created_at=datetime.now(UTC),
                )

    async def go_live(self, encoded: tuple[MediaPacket, ...]) -> None:
        await self.plan()
        async with self.db.transaction() as tx:
            await streams_store.start_session(tx, SHOW, at=datetime.now(UTC), viewers=0)
        publisher = LoopedPublisher(self.hub.open(SHOW), encoded)
        await self.nursery.start(publisher.run)
        self.running, self.stopped = trio.CancelScope(), trio.Event()
        self.nursery.start_soon(self._run)

    async def _run(self) -> None:
        assert self.running is not None
        with self.running:
            await self.restreams.run(SHOW)
        self.stopped.set()

    async def end(self) -> None:
        """As the session of a broadcast does it."""
        self.hub.close(SHOW)
        assert self.running is not None
        self.running.cancel()
        await self.stopped.wait()
        async with self.db.transaction() as tx:
            await streams_store.end_session(tx, SHOW, at=datetime.now(UTC), viewers=0)

    async def platform(self) -> tuple[Platform, int]:
        platform = Platform()
        return platform, await self.nursery.start(serve_platform, platform)

    async def add(self, port: int, **facts: Any) -> Target:
        body = {"platform": "CUSTOM", "rtmpUrl": f"rtmp://{HOST}:{port}/live", "streamKey": KEY, **facts}
        return await self.service.create(self.user_id, from_json(body, TargetBody))

    async def run_of(self, target: Target) -> Run | None:
        runs = await self.service.logs(target.id, 1, 0)
        return runs[0] if runs else None

    async def until(self, target: Target, status: str, cause: str = "") -> Run:
        with trio.fail_after(60):
            while True:
                run = await self.run_of(target)
                if run is not None and (run.status, run.cause) == (status, cause):
                    return run
                await trio.sleep(0.02)


@pytest.fixture
async def desk(database: PostgresDatabase) -> AsyncIterator[Desk]:
    sealer = Sealer(SECRET)
    seller = await Users(database, AddressCipher(SECRET), []).sign_in("seller@example.test", role="ADMIN")
    async with open_relay_hub(MEDIA) as hub, trio.open_nursery() as nursery:
        directory = Directory(database)
        restreams = Restreams(database, hub, lambda: directory, sealer, SystemClock(), QUICK, MEDIA)
        service = RestreamService(database, directory, sealer, restreams.poke)
        yield Desk(database, hub, seller.id, service, restreams, nursery)
        nursery.cancel_scope.cancel()
        hub.close(SHOW)


async def test_it_starts_with_the_broadcast_and_ends_with_it(desk: Desk, encoded: tuple[MediaPacket, ...]) -> None:
    platform, port = await desk.platform()
    target = await desk.add(port, name="  우리 가게 ")
    assert target.name == "우리 가게"
    await desk.go_live(encoded)
    run = await desk.until(target, "ACTIVE")
    assert (run.live_id, run.restart_count, run.ended_at) == (SHOW, 0, None)
    with trio.fail_after(60):
        while (run := await desk.until(target, "ACTIVE")).sent_bytes == 0 or run.bitrate_bps == 0:
            await trio.sleep(0.02)
    await desk.end()
    run = await desk.until(target, "IDLE", "ENDED")
    assert run.ended_at is not None
    assert any("ACTIVE" in line for line in run.lines)
    await until(lambda: platform.open == 0)
    assert (platform.connections, platform.goodbyes) == (1, 1)
    assert desk.restreams.statistics().running == 0


async def test_by_hand_and_until_told_otherwise(desk: Desk, encoded: tuple[MediaPacket, ...]) -> None:
    platform, port = await desk.platform()
    target = await desk.add(port, startMode="MANUAL")
    with pytest.raises(DoramiError, match="CONFLICT"):
        await desk.service.start(target.id, None)
    await desk.go_live(encoded)
    assert await desk.run_of(target) is None
    with pytest.raises(DoramiError, match="CONFLICT"):
        await desk.service.start(target.id, "another")
    await desk.service.start(target.id, None)
    await desk.until(target, "ACTIVE")
    await desk.service.stop(target.id)
    await desk.until(target, "STOPPED", "ASKED")
    await until(lambda: platform.open == 0)
    assert platform.goodbyes == 1
    await desk.service.start(target.id, SHOW)
    await desk.until(target, "ACTIVE")
    await desk.end()
    # What was asked for holds for that session alone.
    await desk.go_live(encoded)
    with trio.move_on_after(1.5):
        while True:
            run = await desk.run_of(target)
            assert run is not None
            assert run.status == "IDLE"
            await trio.sleep(0.1)
    assert platform.connections == 2


async def test_one_that_has_given_up_goes_on_when_asked(desk: Desk, encoded: tuple[MediaPacket, ...]) -> None:
    desk.restreams._settings = RestreamSettings(first_pause_s=0.05, longest_pause_s=0.05, max_failures=1)
    port = free_port()
    target = await desk.add(port)
    await desk.go_live(encoded)
    with trio.fail_after(60):
        while (run := await desk.until(target, "FAILED", "UNREACHABLE")).ended_at is None:
            await trio.sleep(0.02)
    assert run.next_attempt_at is None
    platform = Platform()
    await desk.nursery.start(serve_platform, platform, port)
    await desk.service.start(target.id, None)
    again = await desk.until(target, "ACTIVE")
    assert again.id != run.id


async def test_an_edit_makes_the_connection_anew_where_it_matters(desk: Desk, encoded: tuple[MediaPacket, ...]) -> None:
    first, port = await desk.platform()
    second, other_port = await desk.platform()
    target = await desk.add(port)
    await desk.go_live(encoded)
    await desk.until(target, "ACTIVE")
    await desk.service.patch(target.id, TargetPatch(name="새 이름"))
    await desk.service.patch(target.id, TargetPatch(rtmp_url=f"rtmp://{HOST}:{other_port}/live"))
    await until(lambda: second.connections == 1 and first.open == 0)
    assert first.connections == 1
    await desk.service.delete(target.id)
    await until(lambda: second.open == 0)
    assert await desk.service.list_all() == []
    with pytest.raises(DoramiError, match="RESTREAM_TARGET_NOT_FOUND"):
        await desk.service.delete(target.id)


async def test_keys_are_sealed_and_masked(desk: Desk) -> None:
    target = await desk.add(1, streamKey="live_1234567890_abcd")
    row = await desk.db.fetchrow("SELECT * FROM restream.targets")
    assert row is not None
    assert b"1234567890" not in row["stream_key"]
    assert "1234567890" not in repr(target)
    shown = to_json(describe(target, None, datetime.now(UTC)))
    assert shown["streamKey"] == "•••abcd"
    assert (shown["status"], shown["startMode"], shown["delaySeconds"]) == ("IDLE", "AUTO", 0)
    short = await desk.add(1, streamKey="abcd")
    assert to_json(describe(short, None, datetime.now(UTC)))["streamKey"] == "•••", "no part of a short one"


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"platform": "TWITCH"}, "platform"),
        ({"rtmpUrl": "https://a.example/live"}, "rtmpUrl"),
        ({"rtmpUrl": "rtmp://user:pass@a.example/live"}, "rtmpUrl"),
        ({"rtmpUrl": "rtmp://a.example"}, "rtmpUrl"),
        ({"rtmpUrl": "rtmp://a.example:99999/live"}, "rtmpUrl"),
        ({"streamKey": ""}, "streamKey"),
        ({"streamKey": "a b"}, "streamKey"),
        ({"delaySeconds": -1}, "delaySeconds"),
        ({"startMode": "LATER"}, "startMode"),
        ({"name": " "}, "name"),
        ({"more": 1}, "$"),
    ],
)
def test_what_cannot_be_is_refused_by_name(facts: dict[str, Any], field: str) -> None:
    body = {"platform": "CUSTOM", "rtmpUrl": "rtmp://a.example/live", "streamKey": "key", **facts}
    with pytest.raises(DoramiError) as caught:
        from_json(body, TargetBody)
    assert [problem["field"] for problem in caught.value.details["fields"]] == [field]


async def test_platforms_with_one_address_for_all_need_none(desk: Desk) -> None:
    youtube = await desk.service.create(desk.user_id, TargetBody(platform="YOUTUBE", stream_key="abcd-efgh"))
    assert youtube.rtmp_url.startswith("rtmps://")
    assert youtube.name == "Youtube"
    with pytest.raises(DoramiError, match="rtmpUrl"):
        await desk.service.create(desk.user_id, TargetBody(platform="TIKTOK", stream_key="abcd-efgh"))


async def test_what_a_dead_process_left_open_is_shown_as_stopped(desk: Desk, encoded: tuple[MediaPacket, ...]) -> None:
    _, port = await desk.platform()
    target = await desk.add(port, startMode="MANUAL")
    await desk.plan()
    run_id: UUID = new_uuid()
    assert await store.begin_run(desk.db, run_id, target.id, SHOW)
    assert not await store.begin_run(desk.db, new_uuid(), target.id, SHOW), "it is being sent already"
    await move_database_clock(desk.db, 20)
    run = await desk.run_of(target)
    assert run is not None
    assert (run.status, run.ended_at) == ("STOPPED", None)
    await desk.go_live(encoded)
    await desk.service.start(target.id, None)
    await desk.until(target, "ACTIVE")


def test_when_a_target_is_wanted() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    target = Target(
        id=new_uuid(),
        user_id=UserId(new_uuid()),
        name="n",
        platform="CUSTOM",
        rtmp_url="rtmp://a/b",
        stream_key=b"",
        stream_key_end="",
        mute_audio=False,
        start_mode="AUTO",
        delay_s=60,
        revision=1,
        asked=None,
        asked_live_id=None,
        asked_session_at=None,
        asked_count=0,
        created_at=began,
    )
    soon, later = began + timedelta(seconds=59), began + timedelta(seconds=60)
    assert not is_wanted(target, SHOW, began, soon)
    assert is_wanted(target, SHOW, began, later)
    assert not is_wanted(attrs.evolve(target, start_mode="MANUAL"), SHOW, began, later)
    asked = attrs.evolve(target, asked="START", asked_live_id=SHOW, asked_session_at=began)
    assert is_wanted(asked, SHOW, began, began)
    assert not is_wanted(attrs.evolve(asked, asked="STOP"), SHOW, began, later)
    assert not is_wanted(asked, "another", began, began), "another broadcast goes by the mode"
    assert not is_wanted(asked, SHOW, later, later), "and another session too"
