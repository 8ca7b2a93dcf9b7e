"""What becomes of recordings: those of a process that died are finished, old ones go with their clips, each after its
announcement."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from uuid import UUID

import attrs
import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.settings import RecordingSettings
from dorami_core.hooks.transactions import Database
from dorami_core.media.workers.worker import Progress, WorkerFailed, run_worker
from dorami_core.recordings import clip_store, store
from dorami_core.recordings.clips import MODULE as CUT
from dorami_core.recordings.model import Part
from dorami_core.recordings.recorder import GB, has_space

log = structlog.get_logger(__name__)

NOT_FOUND = "RECORDING_NOT_FOUND"
ROUND_S = 60.0
ABANDONED_AFTER_S = 20.0
PER_ROUND = 20
INDEX_LIMIT_S = 600.0
DAY_S = 86400.0


@attrs.frozen
class Storage:
    """How full it is, of how much; with the clips. `announced`: recordings that will be deleted, the first of them at
    `first_delete_at`."""

    recordings: int
    bytes: int
    budget_bytes: int
    free_bytes: int
    keep_days: float
    announced: int
    announced_bytes: int
    first_delete_at: datetime | None


class Keeper:
    """The recordings of this data directory. `run` cares for them, one round a minute."""

    def __init__(self, db: Database, root: Path, settings: RecordingSettings) -> None:
        self._db = db
        self._root = root
        self._settings = settings

    async def run(self) -> None:
        while True:
            await self.look()
            await trio.sleep(ROUND_S)

    async def look(self) -> None:
        """One round: announces, then removes what was announced long enough ago and is still to go."""
        settings = self._settings
        for part in await store.abandoned(self._db, ABANDONED_AFTER_S):
            await self._finish(part)
        await store.warn_of_age(self._db, settings.keep_days * DAY_S, settings.warn_s)
        await store.warn_of_space(self._db, round(settings.budget_gb * GB), settings.warn_s)
        for part, reason in await store.due(self._db, PER_ROUND):
            await self._remove(part)
            log.info("recording.removed", stream_key=part.live_id, file=part.file, reason=reason)

    async def list_parts(
        self, live_id: str | None, limit: int, offset: int, *, only_announced: bool = False
    ) -> list[Part]:
        """Newest first; those that were announced to go alone, the next one first."""
        return await store.list_parts(self._db, live_id, limit, offset, only_announced=only_announced)

    async def storage(self) -> Storage:
        row = await store.storage(self._db)
        usage = await trio.to_thread.run_sync(_disk_usage, self._root)
        return Storage(
            recordings=row["parts"],
            bytes=row["bytes"],
            budget_bytes=round(self._settings.budget_gb * GB),
            free_bytes=usage,
            keep_days=self._settings.keep_days,
            announced=row["announced"],
            announced_bytes=row["announced_bytes"],
            first_delete_at=row["first_at"],
        )

    async def get(self, part_id: UUID) -> Part:
        """RECORDING_NOT_FOUND."""
        part = await store.find(self._db, part_id)
        if part is None:
            raise DoramiError(NOT_FOUND)
        return part

    async def keep(self, part_id: UUID, kept: bool) -> Part:
        """Keeps it whatever its age and the budget, or no more. RECORDING_NOT_FOUND."""
        part = await store.keep(self._db, part_id, kept)
        if part is None:
            raise DoramiError(NOT_FOUND)
        return part

    async def delete(self, part_id: UUID) -> None:
        """The seller's own wish: at once. CONFLICT while it is being written."""
        part = await self.get(part_id)
        if part.status == "RECORDING":
            raise DoramiError("CONFLICT")
        await self._remove(part)

    def path_of(self, part: Part) -> Path:
        return self._root / part.file

    async def _finish(self, part: Part) -> None:
        """The file of a process that was killed can be played up to its last half second; with the index that it lacks
        a player can also seek in it."""
        indexed = await self._index(part)
        size = await trio.to_thread.run_sync(_size, self.path_of(part))
        from_ms = int(indexed.get("from_ms", 0))
        await store.save(
            self._db,
            part.id,
            status="READY" if size else "FAILED",
            duration_ms=int(indexed.get("time_ms", part.duration_ms)),
            size=size,
            marks=[(max(0, at_ms - from_ms), unix_ms + max(0, from_ms - at_ms)) for at_ms, unix_ms in part.marks],
            ended_at=part.updated_at,
        )

    async def _index(self, part: Part) -> Progress:
        """Puts a copy with an index in its place; empty where there is no space for it or nothing in it."""
        path = self.path_of(part)
        result: Progress = {}

        def keep(progress: Progress) -> None:
            nonlocal result
            result = progress

        size = await trio.to_thread.run_sync(_size, path)
        if not size or not has_space(self._root, self._settings, size):
            return {}
        try:
            with trio.fail_after(INDEX_LIMIT_S):
                file = str(path.absolute())
                await run_worker(CUT, [file, file, "0", "-1"], on_progress=keep, grace_s=0.5)
        except (WorkerFailed, trio.TooSlowError) as error:
            log.warning("recording.not_indexed", file=part.file, problem=str(error))
            return {}
        return result if result.get("bytes") else {}

    async def _remove(self, part: Part) -> None:
        # The files first: a row without a file can be removed again, a file without a row would stay for ever.
        paths = [self._root / file for file in await clip_store.files_of_part(self._db, part.id)]
        paths.append(self.path_of(part))

        def unlink() -> None:
            for path in paths:
                path.unlink(missing_ok=True)

        await trio.to_thread.run_sync(unlink)
        await store.delete(self._db, part.id)


def _disk_usage(root: Path) -> int:
    return shutil.disk_usage(root if root.exists() else root.parent).free


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
