"""The HLS of one broadcast for those who ask: what is there at once, what comes next by waiting."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

import trio

from dorami_core.base.errors import DoramiError
from dorami_core.media.playlist import Playlist, TooFarAhead

RETRY_AFTER_MS = 1000
_NUMBER = re.compile(r"\d{1,15}")
Gone = Callable[[], Awaitable[None]]
"""Returns when the client that asks has left."""


class LiveHls:
    """Whoever adds to `playlist` calls `tell` after it. `limiter` bounds the requests that wait, of all broadcasts
    together."""

    def __init__(self, playlist: Playlist, limiter: trio.CapacityLimiter) -> None:
        self.playlist = playlist
        self.waiting = 0
        self._limiter = limiter
        self._news = trio.Event()

    def tell(self) -> None:
        """Those who wait look again."""
        news, self._news = self._news, trio.Event()
        news.set()

    def end(self) -> None:
        self.playlist.end()
        self.tell()

    async def text(self, query: Mapping[str, str], gone: Gone) -> bytes:
        """The playlist; with `_HLS_msn` (and `_HLS_part`) once it has that (RFC 8216bis, 6.2.5.2).

        NOT_FOUND before there is one, VALIDATION_FAILED for what is malformed or too far ahead; otherwise as `_wait`.
        """
        playlist = self.playlist
        if not playlist.has_text:
            raise DoramiError("NOT_FOUND")
        segment, part = _asked_number(query, "_HLS_msn"), _asked_number(query, "_HLS_part")
        if segment is None and part is not None:
            raise DoramiError("VALIDATION_FAILED", field="_HLS_part", problem="needs _HLS_msn")
        if segment is not None:
            try:
                is_there = playlist.reaches(segment, part)
            except TooFarAhead:
                raise DoramiError("VALIDATION_FAILED", field="_HLS_msn", problem="too far ahead") from None
            if not is_there:
                await self._wait(lambda: playlist.reaches(segment, part), gone)
        return playlist.text()

    async def media(self, kind: str, number: int, gone: Gone) -> bytes:
        """A (s)egment, (p)art or (i)nitialization section. The part that is hinted at is waited for (6.2.6).

        NOT_FOUND for what is not there, and was not promised; otherwise as `_wait`.
        """
        playlist = self.playlist
        data: bytes | None
        if kind == "i":
            data = playlist.section(number)
        elif kind == "s":
            data = playlist.segment(number)
        else:
            if number == playlist.newest_part + 1 and playlist.has_text and not playlist.has_ended:
                await self._wait(lambda: playlist.newest_part >= number or playlist.has_ended, gone)
            data = playlist.part(number)
        if data is None:
            raise DoramiError("NOT_FOUND")
        return data

    async def _wait(self, is_there: Callable[[], bool], gone: Gone) -> None:
        """UNAVAILABLE after three target durations, or at once where too many wait; trio.ClosedResourceError when the
        client has left."""
        has_left = True
        try:
            self._limiter.acquire_nowait()
        except trio.WouldBlock:
            raise DoramiError("UNAVAILABLE", retry_after_ms=RETRY_AFTER_MS, service="hls") from None
        self.waiting += 1
        try:
            async with trio.open_nursery() as nursery:

                async def watch() -> None:
                    await gone()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(watch)
                with trio.move_on_after(self.playlist.longest_wait_s):
                    while not is_there():
                        await self._news.wait()
                has_left = False
                nursery.cancel_scope.cancel()
        finally:
            self.waiting -= 1
            self._limiter.release()
        if has_left:
            raise trio.ClosedResourceError("the client has left")
        if not is_there():
            raise DoramiError("UNAVAILABLE", retry_after_ms=RETRY_AFTER_MS, service="hls")


def _asked_number(query: Mapping[str, str], field: str) -> int | None:
    text = query.get(field)
    if text is not None and not _NUMBER.fullmatch(text):
        raise DoramiError("VALIDATION_FAILED", field=field, problem="a whole number is wanted")
    return None if text is None else int(text)
