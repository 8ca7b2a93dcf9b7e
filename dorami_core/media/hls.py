"""HLS of every broadcast: a worker each, restarted when it fails; and what it made, for the edge."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping
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
from dorami_core.media.live_hls import Gone, LiveHls
from dorami_core.media.playlist import Playlist
from dorami_core.media.relay import Relay
from dorami_core.media.viewer import Subscription
from dorami_core.media.workers.worker import Progress, WorkerFailed, run_worker

log = structlog.get_logger(__name__)

LINGER_S = 30.0
"""All stays for so long after the end, so that every player reaches it."""
FIRST_PAUSE_S, LAST_PAUSE_S = 0.25, 5.0
HEALTHY_AFTER_S = 10.0
_PLAYLIST = re.compile(r"([a-z0-9-]{4,64})\.m3u8")
_MEDIA = re.compile(r"([a-z0-9-]{4,64})-([spi])(\d{1,15})\.(?:m4s|mp4)")


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
    def __init__(self, live: LiveHls) -> None:
        self.live = live
        self.pid: int | None = None
        self.restarts = 0
        self.sources = 0

    def started(self, pid: int) -> None:
        self.pid = pid

    def statistics(self) -> HlsStatistics:
        kept = self.live.playlist.statistics()
        return HlsStatistics(
            pid=self.pid,
            restarts=self.restarts,
            sources=self.sources,
            segments=kept.segments,
            parts=kept.parts,
            bytes=kept.bytes,
            waiting=self.live.waiting,
        )


class _Run:
    """One run of a worker. Feeds it, and says when what it makes came in: the first bytes of a subscription reach up
    to now, and so does what follows a jump of the publisher's clock."""

    def __init__(self, relay: Relay, subscription: Subscription, live: LiveHls) -> None:
        self._relay = relay
        self._subscription = subscription
        self._live = live
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
        playlist = self._live.playlist
        if "init" in frame:
            playlist.begin_source(frame["init"])
            return
        part = Part(**frame)
        if self._zero_s is None or self._relay.statistics().seams != self._seams:
            self._anchor(part.time_ms + part.duration_ms)
        assert self._zero_s is not None
        playlist.add(part, datetime.fromtimestamp(self._zero_s + part.time_ms / 1000, UTC))
        self._live.tell()


class HlsWriter:
    """Made by `open_hls_writer`. Keeps in memory what is in a playlist, or was until just now."""

    def __init__(self, hub: RelayHub, settings: MediaSettings, nursery: trio.Nursery) -> None:
        self._hub = hub
        self._settings = settings
        self._nursery = nursery
        self._broadcasts: dict[str, _Broadcast] = {}
        self._limiter = trio.CapacityLimiter(settings.hls_max_waiting)
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
        broadcast = self._broadcasts[stream_key] = _Broadcast(LiveHls(playlist, self._limiter))
        try:
            await self._write(relay, broadcast)
        finally:
            broadcast.live.end()
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
                run = _Run(relay, subscription, broadcast.live)
                try:
                    await run_worker(
                        "dorami_core.media.workers.hls",
                        [str(part_ms), str(segment_ms), str(broadcast.live.playlist.target_s or 0)],
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
        """`{streamKey}.m3u8` or what it names, as `LiveHls` gives it; NOT_FOUND for all else."""
        match = _PLAYLIST.fullmatch(name) or _MEDIA.fullmatch(name)
        broadcast = self._broadcasts.get(match[1]) if match else None
        if match is None or broadcast is None:
            raise DoramiError("NOT_FOUND")
        if match.re is _PLAYLIST:
            return await broadcast.live.text(query, gone)
        return await broadcast.live.media(match[2], int(match[3]), gone)

    def statistics(self) -> dict[str, HlsStatistics]:
        return {key: broadcast.statistics() for key, broadcast in self._broadcasts.items()}


@asynccontextmanager
async def open_hls_writer(hub: RelayHub, settings: MediaSettings) -> AsyncIterator[HlsWriter]:
    """A writer for as long as the block runs."""
    async with trio.open_nursery() as nursery:
        writer = HlsWriter(hub, settings, nursery)
        try:
            yield writer
        finally:
            writer.close()
