"""Which broadcasts can be watched again, by whom, and in which order they are listed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from test_recorder import SHOW, go_live

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import StreamKey, new_uuid
from dorami_core.base.settings import RecordingSettings
from dorami_core.recordings import store
from dorami_core.recordings.directory import RecordingDirectory
from dorami_core.recordings.model import PartStatus
from dorami_core.store.postgres import PostgresDatabase

LONG_AGO = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def add(
    db: PostgresDatabase,
    session_at: datetime,
    *,
    status: PartStatus = "READY",
    seconds: float = 60,
    begin_s: float = 0,
    public: bool = True,
    live_id: StreamKey = SHOW,
) -> UUID:
    """A part; the id of its replay."""
    part_id, at = new_uuid(), session_at + timedelta(seconds=begin_s)
    await store.begin(db, part_id, live_id, session_at, f"{part_id}.mp4", at, public=public)
    await store.save(
        db,
        part_id,
        status=status,
        duration_ms=round(seconds * 1000),
        size=1,
        marks=[(0, round(at.timestamp() * 1000))],
        ended_at=None if status == "RECORDING" else at + timedelta(seconds=seconds),
    )
    found = await store.find(db, part_id)
    assert found is not None
    return found.replay_id


@pytest.fixture
async def directory(database: PostgresDatabase) -> RecordingDirectory:
    await go_live(database)
    return RecordingDirectory(database, RecordingSettings())


async def started_at(db: PostgresDatabase) -> datetime:
    moment: datetime = await db.fetchval("SELECT started_at FROM streams.streams")
    return moment


async def listed(directory: RecordingDirectory, **how: Any) -> list[UUID]:
    return [one.id for one in await directory.replays(**how)]


async def test_parts_are_one_replay_one_after_another(
    database: PostgresDatabase, directory: RecordingDirectory
) -> None:
    replay_id = await add(database, LONG_AGO, seconds=60)
    await add(database, LONG_AGO, status="FAILED", begin_s=60)
    assert await add(database, LONG_AGO, seconds=30, begin_s=100) == replay_id
    replay = await directory.replay(replay_id)
    assert (replay.duration_ms, replay.title) == (90_000, "t")
    assert [(part.number, part.starts_ms, part.duration_ms) for part in replay.parts] == [
        (1, 0, 60_000),
        (3, 60_000, 30_000),
    ]
    assert replay.ended_at == LONG_AGO + timedelta(seconds=130)
    assert replay.timeline.at_ms(LONG_AGO + timedelta(seconds=110)) == 70_000


async def test_what_is_on_air_or_still_written_or_has_nothing_is_none(
    database: PostgresDatabase, directory: RecordingDirectory
) -> None:
    on_air = await add(database, await started_at(database))
    written = await add(database, LONG_AGO)
    await add(database, LONG_AGO, status="RECORDING", begin_s=60)
    failed = await add(database, LONG_AGO + timedelta(days=1), status="FAILED")
    empty = await add(database, LONG_AGO + timedelta(days=2), seconds=0)
    assert await listed(directory, staff=True) == []
    for replay_id in (on_air, written, failed, empty, new_uuid()):
        with pytest.raises(DoramiError, match="REPLAY_NOT_FOUND"):
            await directory.replay(replay_id, staff=True)
    await database.execute("UPDATE streams.streams SET status = 'OFFLINE'")
    assert await listed(directory) == [on_air]
    newest = await directory.replay_of(SHOW)
    assert newest is not None
    assert newest.id == on_air


async def test_what_is_hidden_is_for_staff(database: PostgresDatabase, directory: RecordingDirectory) -> None:
    hidden = await add(database, LONG_AGO, public=False)
    assert await add(database, LONG_AGO, begin_s=60) == hidden, "the next part does not change that"
    assert await listed(directory) == []
    assert await directory.replay_of(SHOW) is None
    assert await listed(directory, staff=True) == [hidden]
    await directory.publish(hidden, True)
    assert await listed(directory) == [hidden]
    with pytest.raises(DoramiError, match="REPLAY_NOT_FOUND"):
        await directory.publish(new_uuid(), True)


async def test_the_list_goes_on_after_a_replay_without_a_gap_or_one_twice(
    database: PostgresDatabase, directory: RecordingDirectory
) -> None:
    other = StreamKey("show-two")
    await database.execute(
        "INSERT INTO streams.streams (stream_key, title, secret, created_at) VALUES ($1, 'two', 's', core.now())", other
    )
    # Pairs of one moment: the time alone does not order them.
    for day in range(4):
        for key in (SHOW, other):
            await add(database, LONG_AGO + timedelta(days=day), live_id=key)
    everything = await listed(directory)
    assert len(set(everything)) == 8
    found: list[UUID] = []
    while page := await listed(directory, after=found[-1] if found else None, limit=3):
        found += page
    assert found == everything
    times = [one.started_at for one in await directory.replays()]
    assert times == sorted(times, reverse=True)
    assert len(await listed(directory, stream_key=other)) == 4
    assert await directory.replay_of("no stream key") is None
