"""One process's worth of chat on real PostgreSQL and Redis; several of them may share both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pluggy
import pytest
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import UserId
from dorami_core.base.principal import Principal, Role, UserIdentity
from dorami_core.base.settings import ChatSettings
from dorami_core.chat import moderation_sockets
from dorami_core.chat import sockets as chat_sockets
from dorami_core.chat.bans import Bans
from dorami_core.chat.hearts import Hearts
from dorami_core.chat.log import MessageLog
from dorami_core.chat.moderation import Moderation
from dorami_core.chat.rules import RulesCopy
from dorami_core.chat.service import ChatService
from dorami_core.chat.standing import Standing
from dorami_core.chat.store import ChatStore
from dorami_core.edge.link import RedisLink
from dorami_core.hooks.dispatch import Dispatcher
from dorami_core.hooks.host import StreamStatus
from dorami_core.hooks.markers import PROJECT
from dorami_core.hooks.specs import CoreHooks
from dorami_core.identity.addresses import AddressCipher
from dorami_core.identity.users import Users
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.store.redis import RedisStore
from dorami_core.testing.clock import ManualClock
from dorami_core.testing.sockets import RecordedConnection, RecordedRooms, RecordedSockets, user_principal

LIVE = "live-one"
OTHER = "live-two"
STATUS: dict[str, StreamStatus] = {LIVE: "LIVE", OTHER: "LIVE"}


async def make_streams(db: PostgresDatabase) -> None:
    for key in STATUS:
        await db.execute(
            """INSERT INTO streams.streams (stream_key, title, secret, status, created_at)
               VALUES ($1, $1, 's', 'LIVE', core.now()) ON CONFLICT DO NOTHING""",
            key,
        )


@asynccontextmanager
async def listening(redis: RedisStore, rooms: RecordedRooms) -> AsyncIterator[RedisLink]:
    """A link that tells `rooms` what is said in both rooms."""
    link = RedisLink(redis)
    async with trio.open_nursery() as nursery:
        await nursery.start(link.run, rooms)
        for live in STATUS:
            await link.open("/chat", live)
        yield link
        nursery.cancel_scope.cancel()


class ChatRoom:
    """`rooms` and `link` may be shared, as the rooms of several processes are."""

    def __init__(
        self,
        db: PostgresDatabase,
        redis: RedisStore,
        clock: ManualClock,
        *,
        rooms: RecordedRooms | None = None,
        link: RedisLink | None = None,
        settings: ChatSettings | None = None,
        exempt_addresses: Sequence[str] = (),
    ) -> None:
        self.db = db
        self.redis = redis
        self.clock = clock
        self.rooms = rooms or RecordedRooms()
        self.link = link or RedisLink(redis)
        self.events = RecordedSockets()
        self.status: dict[str, StreamStatus] = dict(STATUS)
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(CoreHooks)
        self.users = Users(db, AddressCipher("0" * 64))
        self.rules = RulesCopy(db, clock)
        self.bans = Bans(self.rules, self.rooms)
        self.log = MessageLog(db, clock)
        self.hearts = Hearts(redis, self.rooms, clock)
        standing = Standing(self.rules, self.bans, clock)
        store = ChatStore(redis, self.link)
        self.moderation = Moderation(
            db, self.rules, self.bans, store, self.log, self.users, self.status_of, self.rooms, clock
        )
        self.service = ChatService(
            store,
            self.status_of,
            self.rooms,
            Dispatcher(self.manager),
            clock,
            settings or ChatSettings(),
            standing=standing,
            moderation=self.moderation,
            log=self.log,
            hearts=self.hearts,
            exempt_addresses=exempt_addresses,
        )
        chat_sockets.register(self.events, self.service)
        moderation_sockets.register(self.events, self.moderation)

    async def status_of(self, key: str) -> StreamStatus | None:
        return self.status.get(key)

    async def user(self, name: str, role: Role = "USER") -> Principal:
        """A person with a row, as somebody who signed in has one."""
        row = await self.users.sign_in(f"{name}@example.test", name=name, instagram_id=name, role=role)
        return Principal(user=UserIdentity(UserId(row.id), role, name))

    def conn(self, principal: Principal | None = None, *, address: str = "127.0.0.1") -> RecordedConnection:
        found = RecordedConnection(self.rooms, "/chat", principal or user_principal())
        found.address = address
        return found

    async def join(
        self, principal: Principal | None = None, live: str = LIVE, *, address: str = "127.0.0.1"
    ) -> RecordedConnection:
        conn = self.conn(principal, address=address)
        await self.events.send(conn, "chat:join-room", {"liveId": live})
        return conn

    async def send(self, conn: RecordedConnection, event: str, **data: Any) -> Any:
        return await self.events.send(conn, event, data)

    async def say(self, conn: RecordedConnection, text: str, **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self.events.send(
            conn, "chat:send-message", {"liveId": LIVE, "message": text, **more}
        )
        await self.heard()
        return answer

    async def heard(self) -> None:
        """Until everything said is heard, where this process listens."""
        if self.link.is_up:
            await self.link.catch_up()

    async def refusal(self, conn: RecordedConnection, text: str, **more: Any) -> DoramiError:
        with pytest.raises(DoramiError) as refused:
            await self.say(conn, text, **more)
        return refused.value

    async def refused(self, conn: RecordedConnection, event: str, **data: Any) -> str:
        """The code of the refusal."""
        with pytest.raises(DoramiError) as refused:
            await self.events.send(conn, event, data)
        return refused.value.code


@attrs.frozen
class People:
    """Connections of one of each kind that have joined `LIVE`."""

    seller: RecordedConnection
    moderator: RecordedConnection
    person: RecordedConnection
    watcher: RecordedConnection


async def people_of(chat: ChatRoom) -> People:
    seller = await chat.join(await chat.user("seller", "ADMIN"))
    moderator = await chat.join(await chat.user("helper"))
    await chat.send(seller, "chat:add-moderator", userId=id_of(moderator))
    return People(seller, moderator, await chat.join(await chat.user("minji")), await chat.join(await chat.user("jun")))


def id_of(conn: RecordedConnection) -> str:
    assert conn.principal.user is not None
    return str(conn.principal.user.id)
