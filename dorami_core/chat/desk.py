"""The chat of one process: what it is made of, and how it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.settings import ChatSettings
from dorami_core.base.supervision import supervise
from dorami_core.chat import moderation_sockets, routes, sockets
from dorami_core.chat.bans import Bans
from dorami_core.chat.hearts import Hearts
from dorami_core.chat.log import MessageLog
from dorami_core.chat.moderation import Moderation
from dorami_core.chat.rules import RulesCopy
from dorami_core.chat.service import ChatService, StatusOf
from dorami_core.chat.standing import Standing
from dorami_core.chat.store import ChatRedis, ChatStore, RoomScripts
from dorami_core.hooks.host import HookCaller, UserDirectory
from dorami_core.hooks.http import Router
from dorami_core.hooks.sockets import Rooms, SocketEvents
from dorami_core.hooks.transactions import Database


@attrs.frozen(kw_only=True)
class ChatDesk:
    db: Database
    clock: Clock
    status_of: StatusOf
    rules: RulesCopy
    bans: Bans
    """Whom the edge lets in."""
    store: ChatStore
    log: MessageLog
    hearts: Hearts
    moderation: Moderation
    service: ChatService

    def statistics(self) -> Mapping[str, Any]:
        return {
            "chat": self.service.statistics,
            "chat_log": self.log.statistics,
            "chat_hearts": self.hearts.statistics,
        }

    async def start(self, services: trio.Nursery) -> None:
        """Started once the rules are known; UNAVAILABLE where PostgreSQL cannot be reached."""
        await self.rules.refresh()
        services.start_soon(supervise, "chat rules", self.rules.run)
        services.start_soon(supervise, "chat log", self.log.run)
        services.start_soon(supervise, "chat hearts", self.hearts.run)
        services.start_soon(supervise, "chat moderation", self.moderation.run)

    def register_sockets(self, events: SocketEvents) -> None:
        sockets.register(events, self.service)
        moderation_sockets.register(events, self.moderation)

    def register_routes(self, router: Router) -> None:
        routes.register(router, routes.ChatRoutes(self.db, self.log, self.moderation, self.status_of, self.clock))


def open_desk(
    db: Database,
    redis: ChatRedis,
    scripts: RoomScripts,
    rooms: Rooms,
    users: UserDirectory,
    hooks: HookCaller,
    clock: Clock,
    settings: ChatSettings,
    status_of: StatusOf,
    exempt_addresses: Sequence[str],
) -> ChatDesk:
    rules = RulesCopy(db, clock)
    bans = Bans(rules, rooms)
    store, log, hearts = ChatStore(redis, scripts), MessageLog(db, clock), Hearts(redis, rooms, clock)
    moderation = Moderation(db, rules, bans, store, log, users, status_of, rooms, clock)
    service = ChatService(
        store,
        status_of,
        rooms,
        hooks,
        clock,
        settings,
        standing=Standing(rules, bans, clock),
        moderation=moderation,
        log=log,
        hearts=hearts,
        exempt_addresses=exempt_addresses,
    )
    return ChatDesk(
        db=db,
        clock=clock,
        status_of=status_of,
        rules=rules,
        bans=bans,
        store=store,
        log=log,
        hearts=hearts,
        moderation=moderation,
        service=service,
    )
