"""What a rush will do, done beforehand and taken back: its first buyers find plans and caches made."""

from __future__ import annotations

import structlog
import trio

from dorami_core.hooks.host import HookCaller
from dorami_core.hooks.transactions import Database

log = structlog.get_logger()
CONNECTIONS = 2
"""As many as the pool begins with; the one that was used last is used next."""


class _Over(Exception):
    """Ends a rehearsal, whose transaction must not be committed."""


async def rehearse(db: Database, hooks: HookCaller) -> None:
    """Calls `rehearse_in_tx` on several connections at once. What fails is told in the log, and harms nobody."""
    async with trio.open_nursery() as nursery:
        for _ in range(CONNECTIONS):
            nursery.start_soon(_rehearse_once, db, hooks)


async def _rehearse_once(db: Database, hooks: HookCaller) -> None:
    try:
        async with db.transaction() as tx:
            await hooks.in_tx("rehearse_in_tx", tx)
            raise _Over
    except _Over:
        return
    except Exception:
        log.warning("rehearsal.failed", exc_info=True)
