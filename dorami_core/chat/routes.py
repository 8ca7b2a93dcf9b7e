"""HTTP routes of the chat for ADMIN: the log of a broadcast, and the lists that moderation keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import attrs

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError, invalid
from dorami_core.base.ids import UserId
from dorami_core.base.principal import Access
from dorami_core.base.structure import to_json
from dorami_core.chat import moderation_store as store
from dorami_core.chat.log import MessageLog
from dorami_core.chat.moderation import Moderation, StatusOf
from dorami_core.hooks.http import Paged, Request, Router
from dorami_core.hooks.transactions import Queries, Row

DEFAULT_LIMIT = 50
MAX_LIMIT = 100


def _some(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
    if not 1 <= value <= MAX_LIMIT:
        raise ValueError(f"'{attribute.name}' must be 1 to {MAX_LIMIT}")


@attrs.frozen
class Listed:
    """`?cursor=&limit=`; the cursor is the `nextCursor` of the page before."""

    cursor: str | None = None
    limit: int = attrs.field(default=DEFAULT_LIMIT, validator=_some)


@attrs.frozen
class UserBody:
    user_id: UUID


@attrs.frozen
class BanBody:
    user_id: UUID
    reason: str = ""


@attrs.frozen
class WordBody:
    word: str


@attrs.frozen
class Sanction:
    """A ban, a timeout, or an appointment as moderator."""

    user_id: UUID
    display_name: str
    by_user: UUID
    at: datetime
    reason: str | None = None
    until: datetime | None = None


@attrs.frozen
class BannedWord:
    id: UUID
    word: str
    at: datetime


class ChatRoutes:
    def __init__(self, db: Queries, log: MessageLog, moderation: Moderation, status_of: StatusOf, clock: Clock) -> None:
        self._db = db
        self._log = log
        self._moderation = moderation
        self._status_of = status_of
        self._clock = clock

    async def log(self, request: Request, listed: Listed) -> Paged:
        """Oldest first, what was taken back among it. What another process wrote within the last second may be
        missing."""
        key = request.path_params["streamKey"]
        if await self._status_of(key) is None:
            raise DoramiError("STREAM_NOT_FOUND")
        try:
            after = None if listed.cursor is None else UUID(listed.cursor)
        except ValueError:
            raise invalid("cursor", "must be the nextCursor of a page") from None
        found = await self._log.page(key, after, listed.limit + 1)
        shown = found[: listed.limit]
        return Paged([to_json(one) for one in shown], str(shown[-1].id) if len(found) > listed.limit else None)

    async def people(self, which: store.Person, _: Request, listed: Listed) -> Paged:
        offset = _offset(listed)
        rows = await store.page_of(self._db, which, self._clock.now(), listed.limit + 1, offset)
        return _paged(rows, listed, offset, _sanction)

    async def words(self, _: Request, listed: Listed) -> Paged:
        offset = _offset(listed)
        rows = await store.words(self._db, listed.limit + 1, offset)
        return _paged(rows, listed, offset, lambda row: BannedWord(row["id"], row["word"], row["at"]))

    async def ban(self, request: Request, body: BanBody) -> None:
        await self._moderation.ban(request.principal, UserId(body.user_id), body.reason)

    async def unban(self, request: Request) -> None:
        await self._moderation.unban(request.principal, _user(request))

    async def end_timeout(self, request: Request) -> None:
        await self._moderation.end_timeout(request.principal, _user(request))

    async def appoint(self, request: Request, body: UserBody) -> None:
        await self._moderation.appoint(request.principal, UserId(body.user_id))

    async def dismiss(self, request: Request) -> None:
        await self._moderation.dismiss(request.principal, _user(request))

    async def ban_word(self, request: Request, body: WordBody) -> dict[str, str]:
        return {"id": str(await self._moderation.ban_word(request.principal, body.word))}

    async def allow_word(self, request: Request) -> None:
        await self._moderation.allow_word(request.principal, request.uuid("id", "NOT_FOUND"))


def register(router: Router, routes: ChatRoutes) -> None:
    admin = Access.ADMIN
    lists = "/api/admin/moderation"
    log = "/api/admin/chat/{streamKey}"
    router.api("GET", log, routes.log, access=admin, query=Listed, summary="All that was said in a broadcast")
    kinds: tuple[store.Person, ...] = ("bans", "timeouts", "moderators")
    for which in kinds:
        people = partial(routes.people, which)
        router.api("GET", f"{lists}/{which}", people, access=admin, query=Listed, summary=f"The {which} of the chat")
    bans, moderators, words = f"{lists}/bans", f"{lists}/moderators", f"{lists}/words"
    summary = "Ban a user from the shop's sockets"
    router.api("POST", bans, routes.ban, access=admin, body=BanBody, status=201, summary=summary)
    router.api("DELETE", f"{bans}/{{userId}}", routes.unban, access=admin, summary="Undo a ban")
    router.api("DELETE", f"{lists}/timeouts/{{userId}}", routes.end_timeout, access=admin, summary="End a timeout")
    summary = "Make a user a moderator"
    router.api("POST", moderators, routes.appoint, access=admin, body=UserBody, status=201, summary=summary)
    router.api("DELETE", f"{moderators}/{{userId}}", routes.dismiss, access=admin, summary="No moderator any more")
    router.api("GET", words, routes.words, access=admin, query=Listed, summary="Banned words")
    summary = "Ban a word, however it is written"
    router.api("POST", words, routes.ban_word, access=admin, body=WordBody, status=201, summary=summary)
    router.api("DELETE", f"{words}/{{id}}", routes.allow_word, access=admin, summary="Allow a word again")


def _user(request: Request) -> UserId:
    return UserId(request.uuid("userId", "USER_NOT_FOUND"))


def _offset(listed: Listed) -> int:
    text = listed.cursor or "0"
    if not (text.isascii() and text.isdecimal() and len(text) <= 7):
        raise invalid("cursor", "must be the nextCursor of a page")
    return int(text)


def _paged(rows: Sequence[Row], listed: Listed, offset: int, build: Callable[[Row], Any]) -> Paged:
    shown = [to_json(build(row)) for row in rows[: listed.limit]]
    return Paged(shown, str(offset + listed.limit) if len(rows) > listed.limit else None)


def _sanction(row: Row) -> Sanction:
    return Sanction(row["user_id"], row["display_name"], row["by_user"], row["at"], row.get("reason"), row.get("until"))
