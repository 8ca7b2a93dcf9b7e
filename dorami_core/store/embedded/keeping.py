"""A server that ends by itself, killed or crashed, is started again; whoever uses it meanwhile gets UNAVAILABLE."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
import trio

from dorami_core.base.processes import wait_ended
from dorami_core.store.embedded.process import EmbeddedServerError, RunningServer, Steps, wait_on

log = structlog.get_logger()

PAUSE_S, PAUSE_MAX_S = 0.1, 5.0
"""Before a start; doubled after each server that did not live for `PAUSE_MAX_S`."""


@asynccontextmanager
async def keep_running(name: str, start: Callable[[], Steps[RunningServer]]) -> AsyncIterator[str]:
    """Runs a server for the block and yields its URL, which stays the same; it is stopped at the end, also under
    cancellation. An error of the first start is raised, a later start is tried again for ever."""
    server = await wait_on(start())

    async def keep() -> None:
        nonlocal server
        pause_s = PAUSE_S
        while True:
            with trio.move_on_after(PAUSE_MAX_S) as young:
                await wait_ended(server.process)
            if young.cancelled_caught:
                pause_s = PAUSE_S
                await wait_ended(server.process)
            log.error("embedded.ended", server=name, status=server.process.returncode)
            await wait_on(server.stopping())
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
            try:
                server = await wait_on(start())
                log.info("embedded.started_again", server=name)
            except EmbeddedServerError:
                log.exception("embedded.start_failed", server=name)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep)
            yield server.url
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await wait_on(server.stopping())
