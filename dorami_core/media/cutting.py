"""Where HLS parts and segments end: frames in, fragments of about one length out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import attrs

from dorami_core.media.fmp4 import Run, Sample, encode_fragment

TOLERANCE_MS = 3
"""FLV rounds times to milliseconds, so a span of frames is a little longer or shorter than it should be."""
MAX_PART_BYTES = 8_000_000
"""A part ends here whatever its length."""
SOUND_DRIFT_MS = 60
"""Sound that is further from its own clock than this has a gap."""


@attrs.frozen
class Track:
    """`timescale` in ticks a second. `frame_ticks` is the length of every frame of a track of sound, 0 where it is
    not known, or there is no such length."""

    id: int
    timescale: int
    is_video: bool
    frame_ticks: int = 0


@attrs.frozen(slots=True)
class Frame:
    time_ms: int
    """Of decoding."""
    shown_ms: int
    is_key: bool
    data: bytes


@attrs.frozen
class Part:
    """A fragment. `begins_segment`: a new segment starts with it; `is_independent`: it starts with a key frame."""

    data: bytes
    time_ms: int
    duration_ms: int
    begins_segment: bool
    is_independent: bool


class Cutter:
    """Video leads where there is any, else the only track. A part is as many frames as fit into `part_ms`; a segment
    ends at the first key frame after `segment_ms`, or without one where it would else be longer than the target
    duration allows (RFC 8216bis, 4.4.3.1): that of the first segment, twice `segment_ms` at most.
    """

    def __init__(self, tracks: Sequence[Track], part_ms: int, segment_ms: int, target_s: int | None = None) -> None:
        self._tracks = {track.id: track for track in tracks}
        self._lead = next((track for track in tracks if track.is_video), tracks[0])
        self._part_ms = part_ms
        self._segment_ms = segment_ms
        self._target_s = target_s
        self._frames: dict[int, list[Frame]] = {track.id: [] for track in tracks}
        self._bytes = 0
        self._number = 0
        self._step_ms = 0
        self._segment_began_ms: int | None = None
        self._begins_segment = True
        self._sound_time: dict[int, int] = {}

    def add(self, track_id: int, frame: Frame) -> Part | None:
        """Takes a frame, of times that never go back within a track; the part that ends before it, if one does.

        Frames of the other tracks are dropped until the leading one begins, and above MAX_PART_BYTES.
        """
        part = None
        if track_id == self._lead.id:
            part = self._before(frame)
        elif self._segment_began_ms is None or self._bytes >= MAX_PART_BYTES:
            return None
        self._frames[track_id].append(frame)
        self._bytes += len(frame.data)
        return part

    def end(self) -> Part | None:
        """What is left; its last frame is taken to be as long as the one before."""
        frames = self._frames[self._lead.id]
        return self._cut(frames[-1].time_ms + max(self._step_ms, 1)) if frames else None

    def _before(self, frame: Frame) -> Part | None:
        if self._segment_began_ms is None:
            self._segment_began_ms = frame.time_ms
        frames = self._frames[self._lead.id]
        if not frames:
            return None
        now = frame.time_ms
        self._step_ms = now - frames[-1].time_ms
        segment_ms = now - self._segment_began_ms
        ends_segment = segment_ms >= self._segment_ms - TOLERANCE_MS and (frame.is_key or not self._lead.is_video)
        if not ends_segment:
            ends_segment = segment_ms + self._step_ms > self._longest_ms()
        is_full = now + self._step_ms - frames[0].time_ms > self._part_ms + TOLERANCE_MS
        if not (ends_segment or is_full or self._bytes >= MAX_PART_BYTES):
            return None
        part = self._cut(now)
        if ends_segment:
            if self._target_s is None:
                self._target_s = target_duration_s(segment_ms)
            self._segment_began_ms = now
            self._begins_segment = True
        return part

    def _longest_ms(self) -> int:
        target_s = self._target_s or target_duration_s(2 * self._segment_ms)
        return target_s * 1000 + 500 - TOLERANCE_MS

    def _cut(self, end_ms: int) -> Part:
        self._number += 1
        lead = self._frames[self._lead.id]
        runs = [
            self._pictures(track, self._frames[id], end_ms) if track.is_video else self._sound(track, self._frames[id])
            for id, track in self._tracks.items()
            if self._frames[id]
        ]
        part = Part(
            encode_fragment(self._number, runs),
            lead[0].time_ms,
            end_ms - lead[0].time_ms,
            self._begins_segment,
            lead[0].is_key or not self._lead.is_video,
        )
        self._frames = {id: [] for id in self._frames}
        self._bytes = 0
        self._begins_segment = False
        return part

    def _pictures(self, track: Track, frames: Sequence[Frame], end_ms: int) -> Run:
        times = [_ticks(track, frame.time_ms) for frame in frames]
        ends = [*times[1:], _ticks(track, end_ms)]
        samples = [
            Sample(end - time, _ticks(track, frame.shown_ms) - time, frame.is_key, frame.data)
            for frame, time, end in zip(frames, times, ends, strict=True)
        ]
        return Run(track.id, times[0], samples)

    def _sound(self, track: Track, frames: Sequence[Frame]) -> Run:
        """On a clock of its own, that of its frames: rounded times would leave a hole or an overlap at every part."""
        time = _ticks(track, frames[0].time_ms)
        own = self._sound_time.get(track.id)
        if own is not None and abs(time - own) <= _ticks(track, SOUND_DRIFT_MS):
            time = own
        lengths = [track.frame_ticks] * len(frames)
        if not track.frame_ticks:
            times = [_ticks(track, frame.time_ms) for frame in frames]
            steps = [after - before for before, after in itertools.pairwise(times)]
            lengths = [*steps, steps[-1] if steps else _ticks(track, self._step_ms)]
        self._sound_time[track.id] = time + sum(lengths)
        samples = [Sample(length, 0, True, frame.data) for length, frame in zip(lengths, frames, strict=True)]
        return Run(track.id, time, samples)


def target_duration_s(segment_ms: float) -> int:
    """A segment's length as EXT-X-TARGETDURATION counts it: rounded to whole seconds (RFC 8216bis, 4.4.3.1)."""
    return max(1, int(segment_ms / 1000 + 0.5))


def _ticks(track: Track, time_ms: int) -> int:
    return time_ms * track.timescale // 1000
