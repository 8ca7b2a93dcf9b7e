"""Users and sessions in a real database, also when two come at once."""

from __future__ import annotations

from typing import Any, cast

import pytest
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import UserId, new_uuid
from dorami_core.hooks.host import UserDirectory
from dorami_core.hooks.transactions import Database
from dorami_core.identity.addresses import AddressCipher
from dorami_core.identity.sessions import RefreshToken, SessionStore
from dorami_core.identity.users import Profile, Users, identity_of, normal_email
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.testing.clock import move_database_clock

AT_ONCE = 4
WAITING = """SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND wait_event_type = 'Lock'"""


@pytest.fixture
def users(database: PostgresDatabase) -> Users:
    return Users(database, AddressCipher("0b" * 32), ["Boss@example.com"])


@pytest.fixture
def sessions(database: PostgresDatabase) -> SessionStore:
    return SessionStore(database)


async def test_one_address_is_one_user_whoever_comes_first(users: Users, database: PostgresDatabase) -> None:
    found: set[UserId] = set()

    async def sign_in(email: str) -> None:
        found.add((await users.sign_in(email)).id)

    async with trio.open_nursery() as nursery:
        for n in range(AT_ONCE):
            nursery.start_soon(sign_in, "Mina@example.com" if n % 2 else "mina@EXAMPLE.com ")
    assert len(found) == 1
    assert await database.fetchval("SELECT count(*) FROM core.users") == 1


async def test_what_is_given_replaces_and_what_is_not_stays(users: Users) -> None:
    made = await users.sign_in("mina@example.com")
    assert (made.name, made.role, made.instagram_id) == ("mina", "USER", None)
    assert identity_of(made).display_name == "익명"
    named = await users.sign_in("mina@example.com", name="미나", instagram_id="mina.k", role="ADMIN")
    again = await users.sign_in("mina@example.com")
    assert named == again
    assert (again.name, again.role, again.instagram_id) == ("미나", "ADMIN", "mina.k")
    assert (await users.sign_in("boss@example.com")).role == "ADMIN"
    assert (await users.sign_in("boss@example.com", role="USER")).role == "USER"


async def test_the_directory(users: Users, database: PostgresDatabase) -> None:
    directory: UserDirectory = users
    assert await directory.find(UserId(new_uuid())) is None
    made = await users.sign_in("mina@example.com")
    changed = await users.set_shipping_address(made.id, {"recipient": "미나"})
    async with database.transaction() as tx:
        assert await directory.find(made.id, using=tx) == changed
    assert changed.shipping_address == {"recipient": "미나"}
    moved = Users(database, AddressCipher("0c" * 32))
    assert (await moved.get(made.id)).shipping_address is None
    with pytest.raises(DoramiError, match="USER_NOT_FOUND"):
        await users.change_profile(UserId(new_uuid()), Profile("x"))


@pytest.mark.parametrize("email", ["", "a", "@", "a@", "@b", "a b@c", "a@b@c", "a@" + "b" * 300])
def test_what_is_no_address(email: str) -> None:
    with pytest.raises(DoramiError, match="VALIDATION_FAILED"):
        normal_email(email)


class WithoutRowLock:
    """The database, but rotation does not lock its session first: the control of the test below."""

    def __init__(self, db: PostgresDatabase) -> None:
        self._db = db

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        assert "FOR UPDATE OF s" in sql
        return await self._db.fetchrow(sql.replace("FOR UPDATE OF s", ""), *args)


@pytest.mark.parametrize("locked", [True, False])
async def test_one_of_many_with_the_same_token_wins_and_the_family_ends(
    users: Users, sessions: SessionStore, database: PostgresDatabase, locked: bool
) -> None:
    first = await sessions.open((await users.sign_in("mina@example.com")).id)
    rotating = sessions if locked else SessionStore(cast("Database", WithoutRowLock(database)))
    won: list[RefreshToken] = []
    lost: list[str] = []

    async def rotate() -> None:
        try:
            won.append(await rotating.rotate(first.token))
        except DoramiError as error:
            lost.append(error.code)

    async with trio.open_nursery() as nursery:
        # All of them are made to stand at the row before the first may pass.
        async with database.transaction() as tx:
            await tx.execute("SELECT FROM core.sessions FOR UPDATE")
            for _ in range(AT_ONCE):
                nursery.start_soon(rotate)
            with trio.fail_after(60):
                while await database.fetchval(WAITING) < AT_ONCE:
                    await trio.lowlevel.checkpoint()
    if not locked:
        assert len(won) > 1, "without the lock the test must fail, or it proves nothing"
        return
    assert (len(won), lost) == (1, ["UNAUTHORIZED"] * (AT_ONCE - 1))
    with pytest.raises(DoramiError, match="UNAUTHORIZED"):
        await sessions.rotate(won[0].token)
    assert await database.fetchval("SELECT end_reason FROM core.sessions") == "reuse"
    assert await database.fetchval("SELECT count(*) FROM core.refresh_tokens") == 2


async def test_a_family_does_not_end_another(users: Users, sessions: SessionStore) -> None:
    user = await users.sign_in("mina@example.com")
    phone, desk = await sessions.open(user.id), await sessions.open(user.id)
    await sessions.rotate(phone.token)
    with pytest.raises(DoramiError, match="reused"):
        await sessions.rotate(phone.token)
    assert (await sessions.rotate(desk.token)).session_id == desk.session_id
    for token in ("", "x", f"{desk.session_id.hex}.guess", "\ud800"):
        with pytest.raises(DoramiError, match="UNAUTHORIZED"):
            await sessions.rotate(token)


async def test_rotation_gives_seven_days_more_and_old_sessions_are_removed(
    users: Users, sessions: SessionStore, database: PostgresDatabase
) -> None:
    token = (await sessions.open((await users.sign_in("mina@example.com")).id)).token
    for _ in range(3):
        await move_database_clock(database, 6 * 24 * 3600)
        token = (await sessions.rotate(token)).token
    await sessions.purge()
    assert await database.fetchval("SELECT count(*) FROM core.sessions") == 1
    await sessions.end(token)
    with pytest.raises(DoramiError, match="UNAUTHORIZED"):
        await sessions.rotate(token)
    await move_database_clock(database, 2 * 24 * 3600)
    await sessions.purge()
    assert await database.fetchval("SELECT count(*) FROM core.refresh_tokens") == 0
