"""HLS of every broadcast: a worker each, restarted when it fails; and what it made, for the edge."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import attrs
import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.settings import MediaSettings
from dorami_core.base.supervision import Backoff
from dorami_core.media.cutting import Part
from dorami_core.media.flv import FlvReader
from dorami_core.media.hub import RelayHub
from dorami_core.media.playlist import Playlist, TooFarAhead
from dorami_core.media.relay import Relay
from dorami_core.media.viewer import Subscription
from dorami_core.media.workers.worker import Progress, WorkerFailed, run_worker

log = structlog.get_logger(__name__)

LINGER_S = 30.0
"""All stays for so long after the end, so that every player reaches it."""
FIRST_PAUSE_S, LAST_PAUSE_S = 0.25, 5.0
HEALTHY_AFTER_S = 10.0
RETRY_AFTER_MS = 1000
_PLAYLIST = re.compile(r"([a-z0-9-]{4,64})\.m3u8")
_MEDIA = re.compile(r"([a-z0-9-]{4,64})-([spi])(\d{1,15})\.(?:m4s|mp4)")
_NUMBER = re.compile(r"\d{1,15}")
Gone = Callable[[], Awaitable[None]]
"""Returns when the client that asks has left."""


@attrs.frozen
class HlsStatistics:
    """`pid` of the worker, None while there is none; `restarts` after failures, `sources` that are over; `segments` in
    the playlist, `parts` and `bytes` in memory; `waiting` requests."""

    pid: int | None
    restarts: int
    sources: int
    segments: int
    parts: int
    bytes: int
    waiting: int


class _Broadcast:
    def __init__(self, playlist: Playlist) -> None:
        self.playlist = playlist
        self.news = trio.Event()
        self.pid: int | None = None
        self.restarts = 0
        self.sources = 0
        self.waiting = 0

    def started(self, pid: int) -> None:
        self.pid = pid

    def tell(self) -> None:
        news, self.news = self.news, trio.Event()
        news.set()

    def end(self) -> None:
        self.playlist.end()
        self.tell()

    def statistics(self) -> HlsStatistics:
        kept = self.playlist.statistics()
        return HlsStatistics(
            pid=self.pid,
            restarts=self.restarts,
            sources=self.sources,
            segments=kept.segments,
            parts=kept.parts,
            bytes=kept.bytes,
            waiting=self.waiting,
        )


class _Run:
    """One run of a worker. Feeds it, and says when what it makes came in: the first bytes of a subscription reach up
    to now, and so does what follows a jump of the publisher's clock."""

    def __init__(self, relay: Relay, subscription: Subscription, broadcast: _Broadcast) -> None:
        self._relay = relay
        self._subscription = subscription
        self._broadcast = broadcast
        self._zero_s: float | None = None
        self._seams = 0

    def __aiter__(self) -> _Run:
        return self

    async def __anext__(self) -> bytes:
        data = await anext(self._subscription)
        if self._zero_s is None:
            self._anchor(max(packet.timestamp_ms for packet in FlvReader().feed(data)))
        return data

    def _anchor(self, time_ms: int) -> None:
        self._zero_s = time.time() - time_ms / 1000
        self._seams = self._relay.statistics().seams

    def progressed(self, frame: Progress) -> None:
        playlist = self._broadcast.playlist
        if "init" in frame:
            playlist.begin_source(frame["init"])
            return
        part = Part(**frame)
        if self._zero_s is None or self._relay.statistics().seams != self._seams:
            self._anchor(part.time_ms + part.duration_ms)
        assert self._zero_s is not None
        playlist.add(part, datetime.fromtimestamp(self._zero_s + part.time_ms / 1000, UTC))
        self._broadcast.tell()


class HlsWriter:
    """Made by `open_hls_writer`. Keeps in memory what is in a playlist, or was until just now."""

    def __init__(self, hub: RelayHub, settings: MediaSettings, nursery: trio.Nursery) -> None:
        self._hub = hub
        self._settings = settings
        self._nursery = nursery
        self._broadcasts: dict[str, _Broadcast] = {}
        self._waiting = 0
        self._closing = False

    async def run(self, stream_key: str) -> None:
        """Writes HLS until the broadcast's relay ends; goes on with a discontinuity when another publisher begins or
        the worker failed (tried again after 0.25 s, doubled up to 5 s). Returns at once if there is no relay.

        What a broadcast that has ended left outlives this by LINGER_S, also where it is cancelled at that moment;
        cancelled while the relay goes on, it goes at once.
        """
        relay = self._hub.find(stream_key)
        if relay is None:
            return
        settings = self._settings
        # Numbers go on from one broadcast of a key to the next: players and caches keep segments by their name.
        first_number = int(time.time())
        playlist = Playlist(stream_key, first_number, settings.hls_window, round(settings.hls_part_s * 1000))
        broadcast = self._broadcasts[stream_key] = _Broadcast(playlist)
        try:
            await self._write(relay, broadcast)
        finally:
            broadcast.end()
            if relay.ended and not self._closing:
                self._nursery.start_soon(self._linger, stream_key, broadcast)
            else:
                self._remove(stream_key, broadcast)

    def close(self) -> None:
        """Nothing lingers from here on."""
        self._closing = True
        self._nursery.cancel_scope.cancel()

    async def _write(self, relay: Relay, broadcast: _Broadcast) -> None:
        settings = self._settings
        part_ms, segment_ms = round(settings.hls_part_s * 1000), round(settings.hls_segment_s * 1000)
        backoff = Backoff(FIRST_PAUSE_S, LAST_PAUSE_S, HEALTHY_AFTER_S)
        while not relay.ended:
            began = trio.current_time()
            with relay.subscribe(settings.viewer_queue_max_bytes, one_source=True) as subscription:
                run = _Run(relay, subscription, broadcast)
                try:
                    await run_worker(
                        "dorami_core.media.workers.hls",
                        [str(part_ms), str(segment_ms), str(broadcast.playlist.target_s or 0)],
                        feed=run,
                        on_start=broadcast.started,
                        on_progress=run.progressed,
                    )
                    if subscription.end_reason in ("end", "source"):
                        broadcast.sources += 1
                        continue
                    problem = f"ended by itself ({subscription.end_reason or 'no reason'})"
                except WorkerFailed as error:
                    problem = str(error)
                finally:
                    broadcast.pid = None
            broadcast.restarts += 1
            pause_s = backoff.pause_s(trio.current_time() - began)
            log.warning("hls worker failed", stream_key=relay.stream_key, problem=problem, again_in_s=pause_s)
            await trio.sleep(pause_s)

    async def _linger(self, stream_key: str, broadcast: _Broadcast) -> None:
        try:
            await trio.sleep(LINGER_S)
        finally:
            self._remove(stream_key, broadcast)

    def _remove(self, stream_key: str, broadcast: _Broadcast) -> None:
        if self._broadcasts.get(stream_key) is broadcast:
            del self._broadcasts[stream_key]

    async def read(self, name: str, query: Mapping[str, str], gone: Gone) -> bytes:
        """`{streamKey}.m3u8` or what it names; NOT_FOUND for all else.

        A reload with `_HLS_msn` (and `_HLS_part`) waits until the playlist has it, and the part that is hinted at is
        waited for (RFC 8216bis, 6.2.5.2 and 6.2.6): VALIDATION_FAILED for one too far ahead or malformed, UNAVAILABLE
        after three target durations, or with `media.hls_max_waiting` waiting; trio.ClosedResourceError once `gone`.
        """
        match = _PLAYLIST.fullmatch(name) or _MEDIA.fullmatch(name)
        broadcast = self._broadcasts.get(match[1]) if match else None
        if match is None or broadcast is None or not broadcast.playlist.has_text:
            raise DoramiError("NOT_FOUND")
        if match.re is _PLAYLIST:
            return await self._read_playlist(broadcast, query, gone)
        data = await self._read_media(broadcast, match[2], int(match[3]), gone)
        if data is None:
            raise DoramiError("NOT_FOUND")
        return data

    async def _read_playlist(self, broadcast: _Broadcast, query: Mapping[str, str], gone: Gone) -> bytes:
        playlist = broadcast.playlist
        segment, part = _asked_number(query, "_HLS_msn"), _asked_number(query, "_HLS_part")
        if segment is None and part is not None:
            raise DoramiError("VALIDATION_FAILED", field="_HLS_part", problem="needs _HLS_msn")
        if segment is not None:
            try:
                is_there = playlist.reaches(segment, part)
            except TooFarAhead:
                raise DoramiError("VALIDATION_FAILED", field="_HLS_msn", problem="too far ahead") from None
            if not is_there:
                await self._wait(broadcast, lambda: playlist.reaches(segment, part), gone)
        return playlist.text()

    async def _read_media(self, broadcast: _Broadcast, kind: str, number: int, gone: Gone) -> bytes | None:
        playlist = broadcast.playlist
        if kind == "i":
            return playlist.section(number)
        if kind == "s":
            return playlist.segment(number)
        if number == playlist.newest_part + 1 and not playlist.has_ended:
            await self._wait(broadcast, lambda: playlist.newest_part >= number or playlist.has_ended, gone)
        return playlist.part(number)

    async def _wait(self, broadcast: _Broadcast, is_there: Callable[[], bool], gone: Gone) -> None:
        if self._waiting >= self._settings.hls_max_waiting:
            raise DoramiError("UNAVAILABLE", retry_after_ms=RETRY_AFTER_MS, service="hls")
        has_left = True
        self._waiting += 1
        broadcast.waiting += 1
        try:
            async with trio.open_nursery() as nursery:

                async def watch() -> None:
                    await gone()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(watch)
                with trio.move_on_after(broadcast.playlist.longest_wait_s):
                    while not is_there():
                        await broadcast.news.wait()
                has_left = False
                nursery.cancel_scope.cancel()
        finally:
            self._waiting -= 1
            broadcast.waiting -= 1
        if has_left:
            raise trio.ClosedResourceError("the client has left")
        if not is_there():
            raise DoramiError("UNAVAILABLE", retry_after_ms=RETRY_AFTER_MS, service="hls")

    def statistics(self) -> dict[str, HlsStatistics]:
        return {key: broadcast.statistics() for key, broadcast in self._broadcasts.items()}


def _asked_number(query: Mapping[str, str], field: str) -> int | None:
    text = query.get(field)
    if text is not None and not _NUMBER.fullmatch(text):
        raise DoramiError("VALIDATION_FAILED", field=field, problem="a whole number is wanted")
    return None if text is None else int(text)


@asynccontextmanager
async def open_hls_writer(hub: RelayHub, settings: MediaSettings) -> AsyncIterator[HlsWriter]:
    """A writer for as long as the block runs."""
    async with trio.open_nursery() as nursery:
        writer = HlsWriter(hub, settings, nursery)
        try:
            yield writer
        finally:
            writer.close()
