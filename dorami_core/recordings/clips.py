"""Makes clips out of recordings, one after another, by copying; rows are the queue, so that a crash loses none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import attrs
import structlog
import trio

from dorami_core.base.settings import RecordingSettings
from dorami_core.hooks.transactions import Database
from dorami_core.media.workers.worker import Progress, WorkerFailed, run_worker
from dorami_core.recordings import clip_store, store
from dorami_core.recordings.model import Clip, Part, timeline_of
from dorami_core.recordings.recorder import has_space

log = structlog.get_logger(__name__)

MODULE = "dorami_core.media.workers.cut"
LOOK_S = 2.0
NOT_WRITTEN_S = 0.5
"""Until it is looked again for what is not in the files yet."""
MARGIN_MS = 1000
"""What the file is behind its row: a fragment is written every half second."""
UNKNOWN_END_MS = 3_600_000
WAIT_S = 8.0
"""An interrupted broadcast does not grow: after this long what is there is taken."""
CUT_LIMIT_S = 120.0
NO_SPACE_S = 60.0
ATTEMPTS = 5
FOLDER = "clips"


@attrs.frozen
class ClipStatistics:
    """Counted since the start. `last_ready_s`: from the end of what was asked for to the end of the work, of the last
    clip."""

    made: int
    failed: int
    again: int
    last_ready_s: float


@attrs.frozen
class _Piece:
    part: Part
    from_ms: int
    until_ms: int

    @property
    def length_ms(self) -> int:
        return self.until_ms - self.from_ms

    @property
    def is_written(self) -> bool:
        return self.part.ended_at is not None or self.part.duration_ms >= self.until_ms + MARGIN_MS


class ClipMaker:
    """For the recordings below `root`. `run` makes what is asked for; one process per data directory."""

    def __init__(self, db: Database, root: Path, settings: RecordingSettings) -> None:
        self._db = db
        self._root = root
        self._settings = settings
        self._made = self._failed = self._again = 0
        self._last_ready_s = 0.0

    def statistics(self) -> ClipStatistics:
        return ClipStatistics(self._made, self._failed, self._again, self._last_ready_s)

    async def run(self) -> None:
        while True:
            if not await self.look():
                await trio.sleep(LOOK_S)

    async def look(self) -> bool:
        """Does what there is to do for one clip; False where no clip's turn has come."""
        found = await clip_store.next_waiting(self._db)
        if found is None:
            return False
        clip, now = found
        if not has_space(self._root, self._settings):
            await clip_store.wait(self._db, clip.id, NO_SPACE_S)
            return True
        pieces = _pieces(clip, await store.parts_between(self._db, clip.live_id, clip.since, clip.until))
        # Parts have formats of their own, so a clip is of one part: of that which has most of it.
        piece = max(pieces, key=lambda one: one.length_ms, default=None)
        if now < clip.until + timedelta(seconds=WAIT_S) and not (pieces and all(one.is_written for one in pieces)):
            await clip_store.wait(self._db, clip.id, NOT_WRITTEN_S)
        elif piece is None or piece.length_ms < min(self._settings.clip_min_s * 1000, _length_ms(clip)):
            self._failed += 1
            await clip_store.failed(self._db, clip.id, "this was not recorded", None)
        else:
            await self._make(clip, piece, now)
        return True

    async def _make(self, clip: Clip, piece: _Piece, now: datetime) -> None:
        file = f"{clip.live_id}/{FOLDER}/{clip.id}.mp4"
        target = self._root / file
        began = trio.current_time()
        result: Progress = {}

        def keep(progress: Progress) -> None:
            nonlocal result
            result = progress

        try:
            await trio.to_thread.run_sync(lambda: target.parent.mkdir(parents=True, exist_ok=True))
            arguments = [str((self._root / piece.part.file).absolute()), str(target.absolute())]
            with trio.fail_after(CUT_LIMIT_S):
                await run_worker(
                    MODULE, [*arguments, str(piece.from_ms), str(piece.until_ms)], on_progress=keep, grace_s=0.5
                )
            size = int(result.get("bytes", 0))
            is_ready = size > 0 and await clip_store.ready(
                self._db,
                clip.id,
                part_id=piece.part.id,
                file=file,
                from_ms=int(result["from_ms"]),
                duration_ms=int(result["time_ms"]),
                size=size,
            )
            problem = None if is_ready else "the recording has nothing of it"
        except (WorkerFailed, OSError, trio.TooSlowError) as error:
            problem = str(error) or repr(error)
        if problem is None:
            self._made += 1
            self._last_ready_s = (now - clip.until).total_seconds() + trio.current_time() - began
            log.info("clip.ready", clip=str(clip.id), stream_key=clip.live_id, after_s=round(self._last_ready_s, 3))
            return
        await trio.to_thread.run_sync(lambda: _remove(target))
        is_last = clip.attempts + 1 >= ATTEMPTS
        self._failed += is_last
        self._again += not is_last
        log.warning("clip.failed", clip=str(clip.id), problem=problem, attempts=clip.attempts + 1)
        await clip_store.failed(self._db, clip.id, problem, None if is_last else 2.0**clip.attempts)


def _pieces(clip: Clip, parts: Sequence[Part]) -> list[_Piece]:
    pieces = []
    for part in parts:
        # While it is written, its row is some seconds old: its end is not known yet.
        known_ms = part.duration_ms + (0 if part.ended_at else UNKNOWN_END_MS)
        timeline = timeline_of([attrs.evolve(part, duration_ms=known_ms)])
        if timeline.spans:
            pieces.append(_Piece(part, timeline.at_ms(clip.since), timeline.at_ms(clip.until)))
    return pieces


def _length_ms(clip: Clip) -> float:
    return (clip.until - clip.since).total_seconds() * 1000


def _remove(target: Path) -> None:
    target.unlink(missing_ok=True)
    target.with_suffix(".part").unlink(missing_ok=True)
