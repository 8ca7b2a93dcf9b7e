"""One at a time, in order of arrival."""

from __future__ import annotations

import trio


class Turn:
    """As `trio.Lock` in an `async with`, but who finds it free goes on at once, where that makes a round through the
    scheduler always."""

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def __aenter__(self) -> None:
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
