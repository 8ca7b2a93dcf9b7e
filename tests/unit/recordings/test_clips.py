"""Clips cut by real workers out of files that are being written, were finished, or were left by a crash."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import attrs
import pytest
import trio
from test_recorder import MEDIA, SHOW, Directory, Packets, go_live, parts_of, probe

from dorami_core.base.ids import new_uuid
from dorami_core.base.settings import RecordingSettings
from dorami_core.media.fragments import boxes_of
from dorami_core.media.hub import open_relay_hub
from dorami_core.media.relay import Relay
from dorami_core.recordings import clip_store, store
from dorami_core.recordings.clips import ATTEMPTS, ClipMaker
from dorami_core.recordings.directory import RecordingDirectory
from dorami_core.recordings.keeper import Keeper
from dorami_core.recordings.model import Clip
from dorami_core.recordings.recorder import Recorder
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.testing.clock import ManualClock, move_database_clock

SETTINGS = RecordingSettings(clip_min_s=0.5)
PRODUCT = UUID(int=7)


@attrs.frozen
class Show:
    """A broadcast that is recorded while its clock stands still except between packets."""

    db: PostgresDatabase
    relay: Relay
    clock: ManualClock
    began: datetime
    root: Path

    async def send(self, packets: Packets) -> None:
        """As fast as it goes; the clock says what the packets say."""
        for start in range(0, len(packets), 40):
            some = packets[start : start + 40]
            for packet in some:
                self.relay.write(packet)
            passed_ms = max(packet.timestamp_ms for packet in some)
            self.clock.advance(max(0.0, passed_ms / 1000 - self.clock.monotonic()))
            await trio.sleep(MEDIA.flv_interval_s * 2)

    async def until_saved(self, ms: int) -> None:
        with trio.fail_after(60):
            while not (found := await parts_of(self.db)) or found[0].duration_ms < ms:
                await trio.sleep(0.02)

    def at(self, seconds: float) -> datetime:
        return self.began + timedelta(seconds=seconds)

    @property
    def maker(self) -> ClipMaker:
        return ClipMaker(self.db, self.root, SETTINGS)

    @property
    def directory(self) -> RecordingDirectory:
        return RecordingDirectory(self.db, SETTINGS)

    async def ask(self, since_s: float, until_s: float) -> None:
        async with self.db.transaction() as tx:
            await self.directory.request_clip(tx, SHOW, PRODUCT, self.at(since_s), self.at(until_s))

    async def clips(self) -> list[Clip]:
        rows = await self.db.fetch("SELECT * FROM recordings.clips ORDER BY since")
        return [Clip(**row) for row in rows]


@asynccontextmanager
async def showing(db: PostgresDatabase, root: Path) -> AsyncIterator[Show]:
    await go_live(db)
    began: datetime = await db.fetchval("SELECT core.now()")
    clock = ManualClock(began)
    async with open_relay_hub(MEDIA) as hub, trio.open_nursery() as nursery:
        recorder = Recorder(db, hub, lambda: Directory(db), root, clock, SETTINGS, MEDIA)
        relay = hub.open(SHOW)
        relay.begin_source()
        nursery.start_soon(recorder.run, SHOW)
        with trio.fail_after(60):
            yield Show(db, relay, clock, began, root)
        hub.close(SHOW)
        nursery.cancel_scope.cancel()


def kinds(file: Path) -> list[bytes]:
    return [box.kind for box in boxes_of(file.read_bytes())]


async def test_a_clip_is_cut_out_of_the_file_that_is_being_written(
    database: PostgresDatabase, tmp_path: Path, encoded: Packets
) -> None:
    async with showing(database, tmp_path) as show:
        await show.send(encoded)
        await show.until_saved(3000)
        await show.ask(1.3, 1.9)
        await move_database_clock(database, 3)
        assert await show.maker.look()
        (clip,) = await show.clips()
        (part,) = await parts_of(database)
        assert (clip.status, part.status, clip.part_id, clip.attempts) == ("READY", "RECORDING", part.id, 0)
        assert clip.file is not None
        file = tmp_path / clip.file
        assert b"moof" in kinds(tmp_path / part.file)
    # from the key frame at 1 s to what is shown before 1.9 s
    assert clip.from_ms is not None
    assert abs(clip.from_ms - 1000) <= 34
    shown = await trio.to_thread.run_sync(probe, file)
    assert 25 <= int(shown["video"]["nb_read_frames"]) <= 29
    assert "audio" in shown
    assert kinds(file).index(b"moov") < kinds(file).index(b"mdat")
    assert clip.bytes == file.stat().st_size
    assert abs(clip.duration_ms - 900) < 100


async def test_it_waits_for_what_is_not_written_yet_but_not_for_ever(
    database: PostgresDatabase, tmp_path: Path, encoded: Packets
) -> None:
    async with showing(database, tmp_path) as show:
        await show.send(encoded)
        await show.until_saved(3000)
        await show.ask(2, 6)
        assert await show.maker.look()
        (clip,) = await show.clips()
        assert (clip.status, clip.attempts) == ("WAITING", 0)
        assert not await show.maker.look(), "its turn comes later"
        # the publisher is away and nothing more comes
        await move_database_clock(database, 6 + 8)
        assert await show.maker.look()
        (clip,) = await show.clips()
        assert clip.status == "READY"
        assert 1400 <= clip.duration_ms <= 2100, "the last half second is on its way to the disk"


async def test_of_a_finished_recording_after_a_crash_and_with_its_file_away_for_a_while(
    database: PostgresDatabase, tmp_path: Path, encoded: Packets
) -> None:
    async with showing(database, tmp_path) as show:
        await show.send(encoded)
        await show.until_saved(3000)
        await show.ask(0.5, 3.5)
    (part,) = await parts_of(database)
    file = tmp_path / part.file
    assert part.status == "READY"
    assert b"moof" not in kinds(file), "an ordinary MP4 once it is finished"
    # Another process, that knows nothing but the rows.
    maker = ClipMaker(database, tmp_path, SETTINGS)
    away = file.rename(tmp_path / "away.mp4")
    assert await maker.look()
    (clip,) = await show.clips()
    assert (clip.status, clip.attempts, maker.statistics().again) == ("WAITING", 1, 1)
    away.rename(file)
    await move_database_clock(database, 2)
    assert await maker.look()
    (clip,) = await show.clips()
    assert (clip.status, clip.problem, maker.statistics().made) == ("READY", None, 1)
    (shown,) = await show.directory.clips([PRODUCT])
    assert (shown.id, shown.url) == (clip.id, f"/api/clips/{clip.id}/video")
    await database.execute("UPDATE recordings.replays SET public = false")
    assert await show.directory.clips([PRODUCT]) == []
    assert [one.id for one in await show.directory.clips([PRODUCT], staff=True)] == [clip.id]
    await Keeper(database, tmp_path, SETTINGS).delete(part.id)
    assert await show.clips() == []
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []


async def test_what_cannot_be_made_is_given_up(database: PostgresDatabase, tmp_path: Path, encoded: Packets) -> None:
    async with showing(database, tmp_path) as show:
        await show.send(encoded)
    (part,) = await parts_of(database)
    await show.ask(0, 2)
    await show.ask(-100, -50)
    (tmp_path / part.file).write_bytes(b"no video")
    await move_database_clock(database, 20)
    for _ in range(ATTEMPTS + 1):
        assert await show.maker.look()
        await move_database_clock(database, 60)
    assert not await show.maker.look()
    assert [(one.status, one.attempts, one.problem is None) for one in await show.clips()] == [
        ("FAILED", 1, False),
        ("FAILED", ATTEMPTS, False),
    ]
    assert list((tmp_path / SHOW / "clips").iterdir()) == []


async def test_short_ones_and_too_many_are_not_made_and_long_ones_are_cut_off(
    database: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: datetime = await database.fetchval("SELECT core.now()")
    directory = RecordingDirectory(database, RecordingSettings(clip_min_s=3, clip_max_s=60))
    monkeypatch.setattr(clip_store, "WAITING_BOUND", 2)
    async with database.transaction() as tx:
        for seconds in (2.9, 3.0, 3600, 5):
            await directory.request_clip(tx, "show", new_uuid(), began, began + timedelta(seconds=seconds))
    rows = await database.fetch("SELECT until FROM recordings.clips ORDER BY until")
    assert [(row["until"] - began).total_seconds() for row in rows] == [3, 60]


async def test_what_a_crash_left_is_given_its_index(
    database: PostgresDatabase, tmp_path: Path, encoded: Packets
) -> None:
    async with showing(database, tmp_path) as show:
        await show.send(encoded)
        await show.until_saved(3000)
        (part,) = await parts_of(database)
        crashed = shutil.copy(tmp_path / part.file, tmp_path / "crashed.mp4")
    file = tmp_path / part.file
    shutil.move(crashed, file)
    assert b"moof" in kinds(file)
    await database.execute("UPDATE recordings.parts SET status = 'RECORDING', ended_at = NULL, duration_ms = 1")
    await move_database_clock(database, 30)
    await Keeper(database, tmp_path, SETTINGS).look()
    found = await store.find(database, part.id)
    assert found is not None
    assert (found.status, found.bytes) == ("READY", file.stat().st_size)
    assert b"moof" not in kinds(file)
    assert found.duration_ms >= 3500, "all but the last half second"
