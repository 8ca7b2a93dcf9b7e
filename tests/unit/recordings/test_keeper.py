"""What is removed, what is announced before, and what stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from test_recorder import SHOW, go_live

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import new_uuid
from dorami_core.base.settings import RecordingSettings
from dorami_core.recordings import store
from dorami_core.recordings.keeper import Keeper
from dorami_core.recordings.model import Part
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.testing.clock import move_database_clock
from dorami_core.web.files import wanted_range

DAY_S = 86400.0
SETTINGS = RecordingSettings(keep_days=30, budget_gb=50, warn_s=DAY_S)


async def add(db: PostgresDatabase, root: Path, name: str, *, gb: float = 1, ended: bool = True) -> Part:
    """A file of a few bytes that the row says is large."""
    now: datetime = await db.fetchval("SELECT core.now()")
    file = f"{SHOW}/{name}.mp4"
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_bytes(b"video")
    part_id = new_uuid()
    await store.begin(db, part_id, SHOW, datetime(2026, 1, 1, tzinfo=UTC), file, now)
    await store.save(
        db,
        part_id,
        status="READY" if ended else "RECORDING",
        duration_ms=1000,
        size=round(gb * 1e9),
        marks=[(0, 1)],
        ended_at=now if ended else None,
    )
    part = await store.find(db, part_id)
    assert part is not None
    return part


async def left(db: PostgresDatabase, root: Path) -> list[str]:
    """Names of rows; the files are the same."""
    rows = sorted(Path(part.file).stem for part in await store.list_parts(db, None, 100, 0))
    assert sorted(file.stem for file in root.glob("*/*.mp4")) == rows
    return rows


async def test_what_is_old_goes_after_its_announcement(database: PostgresDatabase, tmp_path: Path) -> None:
    await go_live(database)
    keeper = Keeper(database, tmp_path, SETTINGS)
    old = await add(database, tmp_path, "old")
    kept = await add(database, tmp_path, "kept")
    await keeper.keep(kept.id, True)
    await move_database_clock(database, 28.5 * DAY_S)
    await keeper.look()
    assert (await keeper.get(old.id)).delete_at is None
    await move_database_clock(database, DAY_S)
    await keeper.look()
    warned = await keeper.get(old.id)
    assert warned.delete_reason == "AGE"
    assert warned.delete_at is not None
    assert warned.ended_at is not None
    assert warned.delete_at - warned.ended_at > timedelta(days=30)
    assert await left(database, tmp_path) == ["kept", "old"]
    await move_database_clock(database, DAY_S - 60)
    await keeper.look()
    assert await left(database, tmp_path) == ["kept", "old"], "not before the announced time"
    await move_database_clock(database, 120)
    await keeper.look()
    assert await left(database, tmp_path) == ["kept"]


async def test_an_announcement_stands_for_its_time_also_where_it_comes_late(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    await go_live(database)
    keeper = Keeper(database, tmp_path, SETTINGS)
    await add(database, tmp_path, "old")
    await move_database_clock(database, 100 * DAY_S)
    await keeper.look()
    assert await left(database, tmp_path) == ["old"], "nobody was told while we were off"
    await move_database_clock(database, DAY_S + 1)
    await keeper.look()
    assert await left(database, tmp_path) == []


async def test_over_the_budget_the_oldest_are_announced_and_no_more_than_it_takes(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    await go_live(database)
    keeper = Keeper(database, tmp_path, SETTINGS)
    for name in ("a", "b", "c", "d"):
        await add(database, tmp_path, name, gb=20)
        await move_database_clock(database, 1)
    await keeper.look()
    parts = {Path(part.file).stem: part for part in await store.list_parts(database, None, 10, 0)}
    assert {name: part.delete_reason for name, part in parts.items()} == {
        "a": "SPACE",
        "b": "SPACE",
        "c": None,
        "d": None,
    }
    # The seller makes space himself: what is not needed any more is taken back.
    await keeper.delete(parts["d"].id)
    await keeper.look()
    assert (await keeper.get(parts["b"].id)).delete_at is None
    await move_database_clock(database, DAY_S + 1)
    await keeper.look()
    assert await left(database, tmp_path) == ["b", "c"]


async def test_keeping_one_takes_its_announcement_back(database: PostgresDatabase, tmp_path: Path) -> None:
    await go_live(database)
    keeper = Keeper(database, tmp_path, SETTINGS)
    part = await add(database, tmp_path, "a", gb=60)
    await keeper.look()
    assert (await keeper.get(part.id)).delete_reason == "SPACE"
    assert (await keeper.keep(part.id, True)).delete_at is None
    await move_database_clock(database, 2 * DAY_S)
    await keeper.look()
    assert await left(database, tmp_path) == ["a"]


async def test_what_a_dead_process_left_open_is_finished_and_what_runs_is_left_alone(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    await go_live(database)
    keeper = Keeper(database, tmp_path, SETTINGS)
    part = await add(database, tmp_path, "open", ended=False)
    with pytest.raises(DoramiError, match="CONFLICT"):
        await keeper.delete(part.id)
    await keeper.look()
    assert (await keeper.get(part.id)).status == "RECORDING"
    await move_database_clock(database, 30)
    await keeper.look()
    finished = await keeper.get(part.id)
    assert (finished.status, finished.bytes, finished.ended_at) == ("READY", 5, part.updated_at)
    await keeper.delete(part.id)
    with pytest.raises(DoramiError, match="RECORDING_NOT_FOUND"):
        await keeper.get(part.id)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("bytes=0-", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-500", (90, 100)),
        ("bytes=-30", (70, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=100-", (100, 100)),
        ("bytes=300-400", (100, 100)),
        ("bytes=-0", (100, 100)),
        ("bytes=20-10", None),
        ("bytes=0-1,5-6", None),
        ("bytes=-", None),
        ("items=0-1", None),
    ],
)
def test_ranges(header: str, expected: tuple[int, int] | None) -> None:
    assert wanted_range(header, 100) == expected
