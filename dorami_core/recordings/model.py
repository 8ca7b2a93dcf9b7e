"""A part of a recording: one file, one row."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import attrs

from dorami_core.base.ids import StreamKey

PartStatus = Literal["RECORDING", "READY", "FAILED"]
DeleteReason = Literal["AGE", "SPACE"]


@attrs.frozen
class Part:
    """A row of `recordings.parts`. `marks`: (milliseconds in the file, Unix milliseconds), ascending; between two of
    them file and clock run alike."""

    id: UUID
    live_id: StreamKey
    session_at: datetime
    number: int
    file: str
    status: PartStatus
    began_at: datetime
    ended_at: datetime | None
    updated_at: datetime
    duration_ms: int
    bytes: int
    marks: list[tuple[int, int]]
    kept: bool
    delete_at: datetime | None
    delete_reason: DeleteReason | None
