"""What becomes of recordings: those of a process that died are finished, old ones go, each after its announcement."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.settings import RecordingSettings
from dorami_core.hooks.transactions import Database
from dorami_core.recordings import store
from dorami_core.recordings.model import Part
from dorami_core.recordings.recorder import GB

log = structlog.get_logger(__name__)

NOT_FOUND = "RECORDING_NOT_FOUND"
ROUND_S = 60.0
ABANDONED_AFTER_S = 20.0
PER_ROUND = 20
DAY_S = 86400.0


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

    async def list_parts(self, live_id: str | None, limit: int, offset: int) -> list[Part]:
        """Newest first."""
        return await store.list_parts(self._db, live_id, limit, offset)

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
        """The file of a process that was killed can be played up to its last half second."""
        path = self.path_of(part)
        size = await trio.to_thread.run_sync(_size, path)
        await store.save(
            self._db,
            part.id,
            status="READY" if size else "FAILED",
            duration_ms=part.duration_ms,
            size=size,
            marks=part.marks,
            ended_at=part.updated_at,
        )

    async def _remove(self, part: Part) -> None:
        # The file first: a row without a file can be removed again, a file without a row would stay for ever.
        path = self.path_of(part)
        await trio.to_thread.run_sync(lambda: path.unlink(missing_ok=True))
        await store.delete(self._db, part.id)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
