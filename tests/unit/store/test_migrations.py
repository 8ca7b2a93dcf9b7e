"""Migrations on a real server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.store.migrations import CORE, MigrationError, MigrationSource, migrate
from dorami_core.store.postgres import PostgresDatabase

SHOP = MigrationSource("shop", "shop_of_a_test")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The migrations folder of the package `shop_of_a_test`."""
    package = tmp_path / SHOP.package
    (package / "migrations").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield package / "migrations"
    sys.modules.pop(SHOP.package, None)


async def test_the_core_comes_with_its_clock(database: PostgresDatabase) -> None:
    assert await database.fetchval("SELECT core.now() BETWEEN now() - interval '1 min' AND now() + interval '1 min'")
    names = [row["name"] for row in await database.fetch("SELECT name FROM core.migrations ORDER BY name")]
    assert names[0] == "0001_core.sql"


async def test_new_files_are_applied_once_in_order(folder: Path, database: PostgresDatabase, database_url: str) -> None:
    (folder / "0001_first.sql").write_text("CREATE SCHEMA shop; CREATE TABLE shop.things (number int);")
    (folder / "0020_third.sql").write_text("INSERT INTO shop.things VALUES (1);")
    (folder / "README.md").write_text("not a migration")
    both = ["shop/0001_first.sql", "shop/0020_third.sql"]
    assert await migrate(database_url, [CORE, SHOP]) == both
    assert await migrate(database_url, [CORE, SHOP]) == []
    (folder / "0010_second.sql").write_text("INSERT INTO shop.things VALUES (2);")
    assert await migrate(database_url, [CORE, SHOP]) == ["shop/0010_second.sql"]
    assert await database.fetchval("SELECT count(*) FROM shop.things") == 2


async def test_a_failing_file_leaves_nothing(folder: Path, database: PostgresDatabase, database_url: str) -> None:
    (folder / "0001_good.sql").write_text("CREATE TABLE good (number int);")
    (folder / "0002_bad.sql").write_text("CREATE TABLE half (number int); SELECT 1/0;")
    with pytest.raises(MigrationError, match=r"shop/0002_bad\.sql failed .* division by zero"):
        await migrate(database_url, [SHOP])
    assert await database.fetchval("SELECT to_regclass('good') IS NOT NULL AND to_regclass('half') IS NULL")
    (folder / "0002_bad.sql").write_text("CREATE TABLE half (number int);")
    assert await migrate(database_url, [SHOP]) == ["shop/0002_bad.sql"]


async def test_a_changed_file_is_refused(folder: Path, database_url: str) -> None:
    file = folder / "0001_first.sql"
    file.write_text("CREATE TABLE first (number int);")
    await migrate(database_url, [SHOP])
    file.write_text("CREATE TABLE first (number bigint);")
    with pytest.raises(MigrationError, match=r"shop/0001_first\.sql .* has changed since"):
        await migrate(database_url, [SHOP])


async def test_a_missing_file_is_refused(folder: Path, database_url: str) -> None:
    file = folder / "0001_first.sql"
    file.write_text("CREATE TABLE first (number int);")
    await migrate(database_url, [SHOP])
    file.unlink()
    with pytest.raises(MigrationError, match=r"shop/0001_first\.sql .* gone"):
        await migrate(database_url, [SHOP])
    assert await migrate(database_url, [CORE]) == []


@pytest.mark.parametrize(
    ("names", "problem"),
    [(["1_short.sql"], "NNNN_name"), (["0001_a.sql", "0001_b.sql"], "the same number")],
)
async def test_wrong_names_are_refused(folder: Path, database_url: str, names: list[str], problem: str) -> None:
    for name in names:
        (folder / name).write_text("SELECT 1;")
    with pytest.raises(MigrationError, match=problem):
        await migrate(database_url, [SHOP])


async def test_an_unknown_package(database_url: str) -> None:
    with pytest.raises(MigrationError, match="no package"):
        await migrate(database_url, [MigrationSource("gone", "dorami_no_such_package")])


async def test_two_processes_at_once(folder: Path, database_url: str) -> None:
    """Without the lock one of them fails: both would create the same table."""
    (folder / "0001_slow.sql").write_text("SELECT pg_sleep(0.1); CREATE TABLE slow (number int);")
    applied: list[str] = []

    async def one() -> None:
        applied.extend(await migrate(database_url, [SHOP]))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(one)
    assert applied == ["shop/0001_slow.sql"]


async def test_no_server() -> None:
    with pytest.raises(DoramiError, match="UNAVAILABLE"):
        await migrate("postgresql://nobody@/none?host=/nonexistent", [CORE])
