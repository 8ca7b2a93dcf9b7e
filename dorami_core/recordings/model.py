"""Rows of recordings: parts (one file each) and the clips cut from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import attrs

from dorami_core.base.ids import StreamKey
from dorami_core.hooks.recordings import ClipStatus, Span, Timeline

PartStatus = Literal["RECORDING", "READY", "FAILED"]
DeleteReason = Literal["AGE", "SPACE"]


@attrs.frozen
class Part:
    """A row of `recordings.parts`, with what its replay says. `marks`: (milliseconds in the file, Unix milliseconds),
    ascending; between two of them file and clock run alike."""

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
    replay_id: UUID
    public: bool


@attrs.frozen
class Clip:
    """A row of `recordings.clips`."""

    id: UUID
    live_id: StreamKey
    subject: UUID
    since: datetime
    until: datetime
    status: ClipStatus
    try_at: datetime
    attempts: int
    problem: str | None
    part_id: UUID | None
    file: str | None
    from_ms: int | None
    duration_ms: int
    bytes: int
    ready_at: datetime | None


def timeline_of(parts: Sequence[Part]) -> Timeline:
    """Of parts that are played one after another."""
    spans: list[Span] = []
    start_ms = 0
    for part in parts:
        ends = [*(at_ms for at_ms, _ in part.marks[1:]), part.duration_ms][: len(part.marks)]
        spans += [
            Span(start_ms + at_ms, unix_ms, min(end_ms, part.duration_ms) - at_ms)
            for (at_ms, unix_ms), end_ms in zip(part.marks, ends, strict=True)
            if min(end_ms, part.duration_ms) > at_ms
        ]
        start_ms += part.duration_ms
    return Timeline(spans)
