"""Movie fragments: one moof box and one mdat box (ISO/IEC 14496-12, 8.8 and 8.1.1)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import attrs

_KEY_FLAGS = 0x02000000
"""sample_depends_on = 2: needs no other sample (8.8.3.1)."""
_DELTA_FLAGS = 0x01010000
"""sample_depends_on = 1, and no sync sample."""
_DEFAULT_BASE_IS_MOOF = 0x020000
_TRUN_FLAGS = 0x000F01
"""data-offset, and of each sample duration, size, flags and composition time offset."""
_TRUN_HEAD_BYTES = 20
_TRUN_SAMPLE_BYTES = 16


@attrs.frozen(slots=True)
class Sample:
    """Times are in the track's timescale; `offset` is composition time less decoding time, below zero too."""

    duration: int
    offset: int
    is_key: bool
    data: bytes


@attrs.frozen(slots=True)
class Run:
    """Samples of one track that follow one another, the first at `time`."""

    track_id: int
    time: int
    samples: Sequence[Sample]


def encode_fragment(number: int, runs: Sequence[Run]) -> bytes:
    """`number` is the fragment's sequence number, from 1; `runs` are one for each track that has samples."""
    heads = sum(_traf_bytes(run) for run in runs)
    offset = 8 + 16 + heads + 8
    trafs = []
    for run in runs:
        trafs.append(_traf(run, offset))
        offset += sum(len(sample.data) for sample in run.samples)
    moof = _box(b"moof", _full_box(b"mfhd", 0, 0, struct.pack(">I", number)), *trafs)
    return moof + _box(b"mdat", *(sample.data for run in runs for sample in run.samples))


def _traf_bytes(run: Run) -> int:
    return 8 + 16 + 20 + _TRUN_HEAD_BYTES + _TRUN_SAMPLE_BYTES * len(run.samples)


def _traf(run: Run, data_offset: int) -> bytes:
    samples = b"".join(
        struct.pack(
            ">IIIi", sample.duration, len(sample.data), _KEY_FLAGS if sample.is_key else _DELTA_FLAGS, sample.offset
        )
        for sample in run.samples
    )
    return _box(
        b"traf",
        _full_box(b"tfhd", 0, _DEFAULT_BASE_IS_MOOF, struct.pack(">I", run.track_id)),
        _full_box(b"tfdt", 1, 0, struct.pack(">Q", run.time)),
        _full_box(b"trun", 1, _TRUN_FLAGS, struct.pack(">Ii", len(run.samples), data_offset), samples),
    )


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def _full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)
