"""What a target is fed: the broadcast's packets on a time that never goes back, a slate in its gaps, silence for sound
that is not wanted. Sans I/O: `now_s` is a monotonic clock of the caller's."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dorami_core.media.flv import encode_header, encode_metadata, encode_tag
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.media.slate import Slate

SLATE_AFTER_S = 2.0
"""A broadcast that is silent for so long is filled up. Not sooner: the way back is the next key frame, so a short
stutter would cost the rest of its GOP."""
_SCRIPT_AT_MS = 0
_MAX_BURST_MS = 3000.0
"""A loop that was held up for longer goes on from now rather than sending what was missed."""


class TargetFeed:
    """Made for each connection; the first bytes are the FLV header. Not more than a GOP of the slate per `fill`."""

    def __init__(self, slate: Slate, *, mute: bool, has_video: bool, has_audio: bool) -> None:
        self._slate = slate
        self._mute = mute
        self._silent = mute or not has_audio
        self._has_video = has_video
        self._video_header: bytes | None = None
        self._audio_header: bytes | None = None
        self._begun = False
        self._offset_ms: float | None = None
        self._last_ms = 0.0
        self._heard_at_s: float | None = None
        self._slate_from_ms: float | None = None
        self._slate_from_s = 0.0
        self._slate_frames = 0
        self._silence_ms = 0.0
        self.slates = 0

    @property
    def last_ms(self) -> float:
        """The time of the latest tag that was made."""
        return self._last_ms

    @property
    def on_slate(self) -> bool:
        return self._slate_from_ms is not None

    def take(self, packets: Iterable[MediaPacket], now_s: float) -> bytes:
        """Packets of the broadcast, as tags of the target's time."""
        out: list[bytes] = []
        for packet in packets:
            self._heard_at_s = now_s
            self._take(packet, now_s, out)
        return self._opened(out)

    @property
    def fill_at_s(self) -> float:
        """When `fill` has something to do; inf before the first packet."""
        if self._slate_from_ms is not None:
            return self._slate_due_s
        return math.inf if self._heard_at_s is None else self._heard_at_s + SLATE_AFTER_S

    def listen_again(self, now_s: float) -> None:
        """As if the broadcast had been heard just now: whoever listens was away."""
        if self._heard_at_s is not None and self._slate_from_ms is None:
            self._heard_at_s = now_s

    def fill(self, now_s: float) -> bytes:
        """What of the slate is due by now; nothing while the broadcast is heard."""
        if now_s < self.fill_at_s:
            return b""
        out: list[bytes] = []
        if self._slate_from_ms is None:
            self._begin_slate(now_s, out)
        behind_ms = (now_s - self._slate_from_s) * 1000 - self._slate_frames * self._step_ms
        if behind_ms > _MAX_BURST_MS:
            self._slate_from_s += behind_ms / 1000
        while self._slate_due_s <= now_s:
            self._slate_frame(out)
        return self._opened(out)

    # The broadcast

    def _take(self, packet: MediaPacket, now_s: float, out: list[bytes]) -> None:
        if packet.is_sequence_header:
            self._keep_header(packet, out)
            return
        if packet.kind is MediaKind.DATA:
            return  # the worker's muxer writes metadata of its own
        if packet.kind is MediaKind.AUDIO and self._silent:
            self._silent = self._mute
            if self._silent:
                return
        if self._slate_from_ms is not None:
            if self._has_video and not packet.is_keyframe:
                return
            self._end_slate(packet, now_s, out)
        if self._offset_ms is None:
            self._offset_ms = -float(packet.timestamp_ms)
        at_ms = packet.timestamp_ms + self._offset_ms
        if packet.kind is MediaKind.VIDEO:
            self._has_video = True
            self._silent_until(at_ms, out)
        self._tag(packet.kind, at_ms, packet.payload, out)

    def _keep_header(self, packet: MediaPacket, out: list[bytes]) -> None:
        if packet.kind is MediaKind.VIDEO:
            self._video_header = packet.payload
        elif self._silent and self._mute:
            return
        else:
            self._silent = False
            self._audio_header = packet.payload
        if self._slate_from_ms is None:
            self._tag(packet.kind, self._last_ms, packet.payload, out)

    def _end_slate(self, packet: MediaPacket, now_s: float, out: list[bytes]) -> None:
        """The broadcast goes on where the slate has come to, in real time."""
        assert self._slate_from_ms is not None
        real_ms = self._slate_from_ms + (now_s - self._slate_from_s) * 1000
        at_ms = max(self._last_ms + self._slate.frame_ms, real_ms)
        self._offset_ms = at_ms - packet.timestamp_ms
        self._slate_from_ms = None
        for kind, header in ((MediaKind.VIDEO, self._video_header), (MediaKind.AUDIO, self._audio_header)):
            if header is not None:
                self._tag(kind, self._last_ms, header, out)

    # The slate

    @property
    def _step_ms(self) -> float:
        return self._slate.frame_ms if self._slate.video else self._slate.silence_ms

    @property
    def _slate_due_s(self) -> float:
        """A frame is sent at its end: the broadcast may come back at any moment, and its time is then after it."""
        return self._slate_from_s + (self._slate_frames + 1) * self._step_ms / 1000

    def _begin_slate(self, now_s: float, out: list[bytes]) -> None:
        assert self._heard_at_s is not None
        self.slates += 1
        self._slate_from_ms = self._last_ms + (now_s - self._heard_at_s) * 1000
        self._slate_from_s = now_s
        self._slate_frames = 0
        self._silence_ms = self._slate_from_ms
        if self._slate.video and self._has_video:
            self._tag(MediaKind.VIDEO, self._last_ms, self._slate.video_header, out)
        if self._audio_header is None or self._audio_header[:4] != self._slate.audio_header[:4]:
            self._tag(MediaKind.AUDIO, self._last_ms, self._slate.audio_header, out)

    def _slate_frame(self, out: list[bytes]) -> None:
        assert self._slate_from_ms is not None
        at_ms = self._slate_from_ms + self._slate_frames * self._step_ms
        if self._slate.video and self._has_video:
            payload = self._slate.video[self._slate_frames % len(self._slate.video)]
            self._tag(MediaKind.VIDEO, at_ms, payload, out)
        self._slate_frames += 1
        self._silence_up_to(at_ms, out)

    # Silence

    def _silent_until(self, at_ms: float, out: list[bytes]) -> None:
        """Beside the picture, where the broadcast's own sound is not sent."""
        if not self._silent:
            return
        if self._silence_ms == 0.0 or at_ms - self._silence_ms > _MAX_BURST_MS:
            self._tag(MediaKind.AUDIO, self._last_ms, self._slate.audio_header, out)
            self._silence_ms = at_ms
        self._silence_up_to(at_ms, out)

    def _silence_up_to(self, at_ms: float, out: list[bytes]) -> None:
        while self._silence_ms <= at_ms:
            self._tag(MediaKind.AUDIO, self._silence_ms, self._slate.silence, out)
            self._silence_ms += self._slate.silence_ms

    # Bytes

    def _tag(self, kind: MediaKind, at_ms: float, payload: bytes, out: list[bytes]) -> None:
        out.append(encode_tag(kind, round(at_ms), payload))
        self._last_ms = max(self._last_ms, at_ms)

    def _opened(self, out: list[bytes]) -> bytes:
        if not out:
            return b""
        if not self._begun:
            self._begun = True
            script = encode_tag(MediaKind.DATA, _SCRIPT_AT_MS, encode_metadata({}))
            out.insert(0, encode_header(audio=True, video=self._has_video) + script)
        return b"".join(out)
