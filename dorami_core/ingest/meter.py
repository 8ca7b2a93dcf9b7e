"""How well a publisher's signal comes in: bitrate, frame rate, key frames, frames left out."""

from __future__ import annotations

from collections import deque
from typing import Literal

import attrs

from dorami_core.base.clock import Clock
from dorami_core.media.packets import MediaKind, MediaPacket

WINDOW_S = 5
SILENT_S = 2.0
LONGEST_KEYFRAME_INTERVAL_MS = 4000
"""HLS cuts at key frames and viewers begin at one: above this they wait and lag."""
SLOW_RATE = 0.9
DROPPED_SHARE = 0.05
_JUMP_MS = 5000
"""A longer step of the publisher's clock is no gap but another time."""
_GAP = 1.5
_WRAP = 1 << 32

Verdict = Literal["GOOD", "SLOW", "LONG_KEYFRAMES", "SILENT", "NONE"]


@attrs.frozen
class IngestStatistics:
    """Of one publisher; rates over the last WINDOW_S.

    `media_rate`: seconds of media that came in a second; below 1 the way here is too slow, or the encoder is.
    `dropped_frames`: frames that the encoder left out, told by the gaps in their times, since it began;
    `dropped_share` is of the window. `keyframe_interval_ms`: the last one, or how long there was none where that is
    longer; None before the first key frame.
    """

    bitrate_bps: int
    frames_per_second: float
    media_rate: float
    keyframe_interval_ms: int | None
    dropped_frames: int
    dropped_share: float
    silent_for_s: float

    @property
    def verdict(self) -> Verdict:
        """What is worst about it, for one sentence."""
        if self.silent_for_s > SILENT_S:
            return "SILENT"
        if self.media_rate < SLOW_RATE or self.dropped_share > DROPPED_SHARE:
            return "SLOW"
        if self.keyframe_interval_ms is not None and self.keyframe_interval_ms > LONGEST_KEYFRAME_INTERVAL_MS:
            return "LONG_KEYFRAMES"
        return "GOOD"


@attrs.define
class _Second:
    """What came in one second of the clock; `media_ms` had passed at its beginning."""

    begins_s: float
    media_ms: int
    bytes: int = 0
    frames: int = 0
    dropped: int = 0


class IngestMeter:
    """Holds WINDOW_S seconds of counts, whatever comes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_s = self._last_s = clock.monotonic()
        self._seconds: deque[_Second] = deque(maxlen=WINDOW_S + 1)
        self._media_ms = 0
        self._last_ms: int | None = None
        self._step_ms = 0.0
        self._dropped = 0
        self._keyframe_ms: int | None = None
        self._keyframe_interval_ms: int | None = None

    def add(self, packet: MediaPacket) -> None:
        """Takes one packet that came now."""
        self._last_s = now_s = self._clock.monotonic()
        if not self._seconds or now_s - self._seconds[-1].begins_s >= 1:
            self._seconds.append(_Second(now_s, self._media_ms))
        second = self._seconds[-1]
        second.bytes += len(packet.payload)
        if packet.kind is not MediaKind.VIDEO or packet.is_sequence_header:
            return
        second.frames += 1
        dropped = self._pass_to(packet.timestamp_ms)
        second.dropped += dropped
        self._dropped += dropped
        if packet.is_keyframe:
            if self._keyframe_ms is not None:
                self._keyframe_interval_ms = self._media_ms - self._keyframe_ms
            self._keyframe_ms = self._media_ms

    def _pass_to(self, timestamp_ms: int) -> int:
        """Moves the media time on; how many frames are missing before this one."""
        last_ms, self._last_ms = self._last_ms, timestamp_ms
        if last_ms is None:
            return 0
        step = (timestamp_ms - last_ms) % _WRAP
        if not 0 < step <= _JUMP_MS:
            return 0
        self._media_ms += step
        if not self._step_ms or step < self._step_ms / _GAP:
            self._step_ms = step
        elif step > self._step_ms * _GAP:
            return round(step / self._step_ms) - 1
        else:
            self._step_ms += (step - self._step_ms) / 8
        return 0

    def statistics(self) -> IngestStatistics:
        now_s = self._clock.monotonic()
        recent = [second for second in self._seconds if now_s - second.begins_s <= WINDOW_S]
        begins_s = recent[0].begins_s if recent else now_s
        passed_s = max(now_s - begins_s, 1.0)
        frames, dropped = sum(one.frames for one in recent), sum(one.dropped for one in recent)
        has_window = now_s - self._began_s >= WINDOW_S and self._last_ms is not None
        media_s = (self._media_ms - recent[0].media_ms) / 1000 if recent else 0.0
        interval_ms = self._keyframe_interval_ms
        if self._keyframe_ms is not None:
            since_ms = self._media_ms - self._keyframe_ms
            if since_ms > max(interval_ms or 0, LONGEST_KEYFRAME_INTERVAL_MS):
                interval_ms = since_ms
        return IngestStatistics(
            bitrate_bps=round(sum(one.bytes for one in recent) * 8 / passed_s),
            frames_per_second=frames / passed_s,
            media_rate=media_s / passed_s if has_window else 1.0,
            keyframe_interval_ms=interval_ms,
            dropped_frames=self._dropped,
            dropped_share=dropped / max(frames + dropped, 1),
            silent_for_s=now_s - self._last_s,
        )
