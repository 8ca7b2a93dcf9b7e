"""Writes each broadcast to files while it runs: a companion of it, with a worker process for each part."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from uuid import UUID

import attrs
import structlog
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.ids import StreamKey, new_uuid
from dorami_core.base.settings import MediaSettings, RecordingSettings
from dorami_core.base.supervision import Backoff
from dorami_core.hooks.host import StreamDirectory
from dorami_core.hooks.transactions import Database
from dorami_core.media.hub import RelayHub
from dorami_core.media.workers.worker import Progress, WorkerFailed, run_worker
from dorami_core.recordings import store
from dorami_core.recordings.feed import Parts
from dorami_core.recordings.model import PartStatus

log = structlog.get_logger(__name__)

MODULE = "dorami_core.media.workers.record"
SAVE_S = 2.0
LOOK_S = 10.0
FINISH_S = 2.0
"""After the end of the broadcast the rest is written for so long at most."""
FIRST_PAUSE_S, LAST_PAUSE_S = 0.25, 30.0
GB = 1_000_000_000


@attrs.frozen
class RecorderStatistics:
    """`recording` now; the others count since the start. `no_space`: how often a part was not begun, or was ended, for
    want of space on the disk."""

    recording: int
    parts: int
    failures: int
    no_space: int


@attrs.define(eq=False)
class _Writing:
    id: UUID
    path: Path
    duration_ms: int = 0

    def progressed(self, progress: Progress) -> None:
        self.duration_ms = int(progress.get("time_ms", self.duration_ms))

    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0


class Recorder:
    """`root` is made where it is not there; files are `{streamKey}/{time}-{part}.mp4` below it."""

    def __init__(
        self,
        db: Database,
        hub: RelayHub,
        streams: Callable[[], StreamDirectory],
        root: Path,
        clock: Clock,
        settings: RecordingSettings,
        media: MediaSettings,
    ) -> None:
        self._db = db
        self._hub = hub
        self._streams = streams
        self._root = root
        self._clock = clock
        self._settings = settings
        self._queue_max_bytes = 4 * media.viewer_queue_max_bytes
        self._recording = self._parts = self._failures = self._no_space = 0

    def statistics(self) -> RecorderStatistics:
        return RecorderStatistics(self._recording, self._parts, self._failures, self._no_space)

    async def run(self, stream_key: StreamKey) -> None:
        """Records until the broadcast's relay ends. Cancelled, it writes what is left for up to FINISH_S."""
        if not self._settings.enabled:
            return
        over = trio.Event()
        scope = trio.CancelScope(shield=True)

        async def record() -> None:
            try:
                with scope:
                    await self._record(stream_key)
            finally:
                over.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(record)
            try:
                await over.wait()
            finally:
                # The relay ends just before its companions are cancelled, and its last packets are on their way.
                scope.deadline = trio.current_time() + FINISH_S
                with trio.CancelScope(shield=True):
                    await over.wait()

    async def _record(self, stream_key: StreamKey) -> None:
        relay = self._hub.find(stream_key)
        stream = await self._streams().find(stream_key)
        if relay is None or stream is None or stream.started_at is None:
            return
        backoff = Backoff(FIRST_PAUSE_S, LAST_PAUSE_S)
        while not relay.ended:
            if not self._has_space():
                await trio.sleep(LOOK_S)
                continue
            began = trio.current_time()
            with relay.subscribe(self._queue_max_bytes) as subscription:
                parts = Parts(subscription, self._clock)
                try:
                    has_space = True
                    while has_space and await parts.wait_for_media():
                        parts.begin()
                        has_space = await self._part(parts, stream_key, stream.started_at)
                    continue
                except WorkerFailed as error:
                    self._failures += 1
                    pause_s = backoff.pause_s(trio.current_time() - began)
                    log.warning("recording.failed", stream_key=stream_key, problem=str(error), again_in_s=pause_s)
            await trio.sleep(pause_s)

    async def _part(self, parts: Parts, stream_key: StreamKey, session_at: datetime) -> bool:
        """One file. False where it was ended for want of space; WorkerFailed."""
        now = self._clock.now()
        writing = _Writing(new_uuid(), Path())
        name = f"{stream_key}/{now:%Y%m%dT%H%M%S}-{writing.id.hex[:8]}.mp4"
        writing.path = self._root / name
        await trio.to_thread.run_sync(lambda: writing.path.parent.mkdir(parents=True, exist_ok=True))
        await store.begin(self._db, writing.id, stream_key, session_at, name, now, public=self._settings.public)
        self._recording += 1
        self._parts += 1
        failure: WorkerFailed | None = None
        full = False
        try:
            async with trio.open_nursery() as nursery:

                async def watch() -> None:
                    nonlocal full
                    while not full:
                        await trio.sleep(SAVE_S)
                        await self._save(writing, parts, "RECORDING")
                        full = not self._has_space()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(watch)
                try:
                    await run_worker(
                        MODULE,
                        [str(writing.path.absolute())],
                        feed=parts,
                        on_progress=writing.progressed,
                        grace_s=FINISH_S,
                    )
                except WorkerFailed as error:
                    failure = error
                nursery.cancel_scope.cancel()
        finally:
            self._recording -= 1
            with trio.move_on_after(FINISH_S, shield=True):
                # What was written can be played, however it ended.
                await self._save(writing, parts, "READY" if writing.size() else "FAILED")
        if failure is not None:
            raise failure
        return not full

    async def _save(self, writing: _Writing, parts: Parts, status: PartStatus) -> None:
        try:
            await store.save(
                self._db,
                writing.id,
                status=status,
                duration_ms=writing.duration_ms,
                size=writing.size(),
                marks=parts.marks.all(),
                ended_at=None if status == "RECORDING" else self._clock.now(),
            )
        except Exception as error:
            log.warning("recording.unsaved", file=str(writing.path), error=repr(error))

    def _has_space(self) -> bool:
        if has_space(self._root, self._settings):
            return True
        self._no_space += 1
        return False


def has_space(root: Path, settings: RecordingSettings, more_bytes: int = 0) -> bool:
    """Nothing is written, nor `more_bytes` more, that would leave less than this free: orders need the disk more."""
    folder = root if root.exists() else root.parent
    return shutil.disk_usage(folder).free - more_bytes >= settings.min_free_gb * GB
