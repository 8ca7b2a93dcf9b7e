"""Rows that nobody needs any more."""

from __future__ import annotations

import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.hooks.transactions import Database
from dorami_core.identity.sessions import SessionStore
from dorami_core.web.idempotency import IdempotencyStore

log = structlog.get_logger()

EVERY_S = 3600.0


async def keep_house(db: Database) -> None:
    """Removes old sessions and remembered answers once an hour, for ever. A lost database is waited for."""
    sessions, answers = SessionStore(db), IdempotencyStore(db)
    while True:
        try:
            await sessions.purge()
            await answers.purge()
        except DoramiError as error:
            log.warning("web.housekeeping_failed", error=str(error))
        await trio.sleep(EVERY_S)
