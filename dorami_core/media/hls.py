"""HLS of every broadcast: a worker each, restarted when it fails; and the lookup of its files for the edge."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import structlog
import trio

from dorami_core.base.settings import MediaSettings
from dorami_core.base.supervision import Backoff
from dorami_core.media.hub import RelayHub
from dorami_core.media.relay import Relay
from dorami_core.media.workers.worker import Progress, WorkerFailed, run_worker

log = structlog.get_logger(__name__)

LINGER_S = 30.0
"""The files stay for so long after the end, so that every player reaches it."""
FIRST_PAUSE_S, LAST_PAUSE_S = 0.25, 5.0
HEALTHY_AFTER_S = 10.0
_PLAYLIST = re.compile(r"([a-z0-9-]{4,64})\.m3u8")
_SEGMENT = re.compile(r"([a-z0-9-]{4,64})-\d{1,15}\.ts")


@attrs.frozen
class HlsStatistics:
    """`pid` of the worker, None while there is none; `restarts` after failures, `sources` that are over;
    `progress` the worker's last frame."""

    pid: int | None
    restarts: int
    sources: int
    progress: Progress


class _Broadcast:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid: int | None = None
        self.restarts = 0
        self.sources = 0
        self.progress: Progress = {}

    def started(self, pid: int) -> None:
        self.pid = pid

    def progressed(self, progress: Progress) -> None:
        self.progress = progress


class HlsWriter:
    """Made by `open_hls_writer`. Each run has a folder of its own, so what lingers is never in the next one's way."""

    def __init__(self, hub: RelayHub, root: Path, settings: MediaSettings, nursery: trio.Nursery) -> None:
        self._hub = hub
        self._root = root
        self._settings = settings
        self._nursery = nursery
        self._broadcasts: dict[str, _Broadcast] = {}
        self._runs = 0
        self._closing = False

    async def run(self, stream_key: str) -> None:
        """Writes HLS until the broadcast's relay ends; goes on with a discontinuity when another publisher begins or
        the worker failed (tried again after 0.25 s, doubled up to 5 s). Returns at once if there is no relay.

        The files of a broadcast that has ended outlive this by LINGER_S, also where it is cancelled at that moment;
        cancelled while the relay goes on, it removes them at once.
        """
        relay = self._hub.find(stream_key)
        if relay is None:
            return
        self._runs += 1
        broadcast = _Broadcast(self._root / f"{stream_key}.{self._runs}")
        self._broadcasts[stream_key] = broadcast
        try:
            broadcast.folder.mkdir(parents=True)
            await self._write(relay, broadcast)
        finally:
            if relay.ended and not self._closing:
                _close_playlist(broadcast.folder / f"{stream_key}.m3u8")
                self._nursery.start_soon(self._linger, stream_key, broadcast)
            else:
                self._remove(stream_key, broadcast)

    def close(self) -> None:
        """Nothing lingers from here on."""
        self._closing = True
        self._nursery.cancel_scope.cancel()

    async def _write(self, relay: Relay, broadcast: _Broadcast) -> None:
        key, settings = relay.stream_key, self._settings
        # Numbers go on from one broadcast of a key to the next: players and caches keep segments by their name.
        start_number = int(time.time())
        backoff = Backoff(FIRST_PAUSE_S, LAST_PAUSE_S, HEALTHY_AFTER_S)
        while not relay.ended:
            continues = (broadcast.folder / f"{key}.m3u8").exists()
            arguments = [str(broadcast.folder.absolute()), key, str(settings.hls_segment_s), str(settings.hls_window)]
            arguments += [str(start_number), "1" if continues else "0"]
            began = trio.current_time()
            with relay.subscribe(settings.viewer_queue_max_bytes, one_source=True) as subscription:
                try:
                    await run_worker(
                        "dorami_core.media.workers.hls",
                        arguments,
                        feed=subscription,
                        on_start=broadcast.started,
                        on_progress=broadcast.progressed,
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
            log.warning("hls worker failed", stream_key=key, problem=problem, again_in_s=pause_s)
            await trio.sleep(pause_s)

    async def _linger(self, stream_key: str, broadcast: _Broadcast) -> None:
        try:
            await trio.sleep(LINGER_S)
        finally:
            self._remove(stream_key, broadcast)

    def _remove(self, stream_key: str, broadcast: _Broadcast) -> None:
        if self._broadcasts.get(stream_key) is broadcast:
            del self._broadcasts[stream_key]
        shutil.rmtree(broadcast.folder, ignore_errors=True)

    def folder_of(self, stream_key: str) -> Path | None:
        """Where the playlist and segments of this key lie, while there are any."""
        broadcast = self._broadcasts.get(stream_key)
        return broadcast.folder if broadcast else None

    def file_of(self, name: str) -> Path | None:
        """The path of `{streamKey}.m3u8` or `{streamKey}-{number}.ts` as it stands in a URL; None for any other name
        or an unknown key. The file itself may not be there yet, or no more."""
        match = _PLAYLIST.fullmatch(name) or _SEGMENT.fullmatch(name)
        folder = self.folder_of(match[1]) if match else None
        return folder / name if folder else None

    def statistics(self) -> dict[str, HlsStatistics]:
        return {
            key: HlsStatistics(pid=b.pid, restarts=b.restarts, sources=b.sources, progress=b.progress)
            for key, b in self._broadcasts.items()
        }


def _close_playlist(playlist: Path) -> None:
    """Says that no more comes (RFC 8216 4.3.3.4); the worker never does, since it may be followed by another."""
    try:
        text = playlist.read_text("utf-8")
    except FileNotFoundError:
        return
    part = playlist.with_suffix(".end")
    part.write_text(text.rstrip("\n") + "\n#EXT-X-ENDLIST\n", "utf-8")
    part.replace(playlist)


def _empty(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)


@asynccontextmanager
async def open_hls_writer(hub: RelayHub, root: Path, settings: MediaSettings) -> AsyncIterator[HlsWriter]:
    """A writer below `root`, a folder of its own that is emptied first: what a crash left there is stale.

    Leaving the block removes what lingers.
    """
    await trio.to_thread.run_sync(_empty, root)
    async with trio.open_nursery() as nursery:
        writer = HlsWriter(hub, root, settings, nursery)
        try:
            yield writer
        finally:
            writer.close()
