"""Who may write and in which state each room is: a copy in memory of what PostgreSQL says, fresh within a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs
import structlog
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import UserId
from dorami_core.base.principal import Principal
from dorami_core.chat import moderation_store as store
from dorami_core.chat.words import BannedWords
from dorami_core.hooks.transactions import Queries

log = structlog.get_logger()

LOOK_S = 0.5
"""How often the version is looked at: what another process changed holds here after at most this and a query."""


@attrs.frozen
class PinnedMessage:
    id: str
    user_id: str
    display_name: str
    role: str
    message: str
    timestamp: str


@attrs.frozen
class RoomMode:
    """`slow_s` 0: off."""

    frozen: bool = False
    slow_s: int = 0
    pinned: PinnedMessage | None = None


@attrs.frozen
class Rules:
    """One version of all of it."""

    version: int = 0
    banned: frozenset[UserId] = frozenset()
    moderators: frozenset[UserId] = frozenset()
    timeouts: Mapping[UserId, datetime] = attrs.field(factory=dict)
    words: BannedWords = attrs.field(factory=BannedWords)
    rooms: Mapping[str, RoomMode] = attrs.field(factory=dict)

    def room(self, live_id: str) -> RoomMode:
        return self.rooms.get(live_id, RoomMode())

    def is_staff(self, principal: Principal) -> bool:
        """ADMIN, or a moderator who is not banned."""
        user = principal.user
        return user is not None and (
            user.role == "ADMIN" or (user.id in self.moderators and user.id not in self.banned)
        )


class RulesCopy:
    """`now` is what is known. While PostgreSQL is away the last copy holds.

    `on_change(before, after)` hears of every new version.
    """

    def __init__(self, db: Queries, clock: Clock) -> None:
        self.now = Rules()
        self.on_change: list[Callable[[Rules, Rules], None]] = []
        self._db = db
        self._clock = clock
        self._turn = trio.Lock()

    async def refresh(self) -> None:
        """Reads everything where the version has grown. UNAVAILABLE."""
        async with self._turn:
            if await store.version(self._db) == self.now.version:
                return
            before, self.now = self.now, _rules(await store.snapshot(self._db, self._clock.now()))
            for hear in self.on_change:
                hear(before, self.now)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keeps the copy fresh; started once there is one."""
        await self.refresh()
        task_status.started()
        is_away = False
        while True:
            await self._clock.sleep(LOOK_S)
            try:
                await self.refresh()
            except DoramiError as error:
                if error.code != "UNAVAILABLE":
                    raise
                if not is_away:
                    log.warning("chat.rules_not_refreshed", version=self.now.version)
                is_away = True
            else:
                is_away = False


def _rules(row: Any) -> Rules:
    return Rules(
        version=row["version"],
        banned=frozenset(row["banned"]),
        moderators=frozenset(row["moderators"]),
        timeouts={UserId(UUID(one["userId"])): datetime.fromisoformat(one["until"]) for one in row["timeouts"]},
        words=BannedWords(row["words"]),
        rooms={
            one["streamKey"]: RoomMode(
                one["frozen"], one["slowS"], None if one["pinned"] is None else PinnedMessage(**one["pinned"])
            )
            for one in row["rooms"]
        },
    )
