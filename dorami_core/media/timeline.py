"""One continuous time for viewers, whatever clocks the publishers have."""

from __future__ import annotations

from dorami_core.media.packets import MediaKind, MediaPacket

SEAM_MS = 33
"""Distance of the first packet after a seam from the last one before it: about one frame."""
JUMP_MS = 1000
"""A step further than this is a jump of the publisher's clock, not a pause in one track."""
REORDER_MS = 100
"""Steps back up to this are held at the last time of the track; larger ones start anew."""
_WRAP = 1 << 32


class Track:
    """The state of audio, or of video."""

    def __init__(self) -> None:
        self.offset: int | None = None
        self.last = -1


class Timeline:
    """Gives every packet its time for viewers, in ms since the relay began; grows past 2**32.

    Within a track time never goes back. Audio and video share one offset, so that they stay in step over a seam;
    where a publisher gives them unrelated clocks, each keeps its own.
    """

    def __init__(self) -> None:
        self._tracks = {MediaKind.AUDIO: Track(), MediaKind.VIDEO: Track()}
        self._shared: int | None = None
        self._raw: int | None = None
        self._time = 0
        self._last = -1
        self.seams = 0

    def begin_source(self) -> None:
        """The packets that follow are of another publisher, or of the same one come back."""
        self._raw = None
        self._shared = None
        for track in self._tracks.values():
            track.offset = None

    def stamp(self, packet: MediaPacket) -> int:
        """The time of this packet. Metadata and decoder configurations take the present time and move nothing:
        publishers send them with 0."""
        if packet.kind is MediaKind.DATA or packet.is_sequence_header:
            return max(self._last, 0)
        track = self._tracks[packet.kind]
        out = self._place(track, self._unwrap(packet.timestamp_ms))
        track.last = out
        self._last = max(self._last, out)
        return out

    def _place(self, track: Track, time: int) -> int:
        if track.offset is not None:
            out = time + track.offset
            step = out - track.last
            # A track that was silent for long has leapt too, but to where the other one is.
            if step >= -REORDER_MS and (step <= JUMP_MS or out - self._last <= JUMP_MS):
                return max(out, track.last)
        if self._shared is not None and self._shared != track.offset:
            out = time + self._shared
            if out - track.last >= -REORDER_MS and abs(out - self._last) <= JUMP_MS:
                track.offset = self._shared
                return max(out, track.last, 0)
        out = self._last + SEAM_MS if self._last >= 0 else 0
        if self._last >= 0:
            self.seams += 1
        track.offset = self._shared = out - time
        return out

    def _unwrap(self, raw: int) -> int:
        if self._raw is None:
            self._time = raw
        else:
            step = (raw - self._raw) % _WRAP
            self._time += step - _WRAP if step >= _WRAP // 2 else step
        self._raw = raw
        return self._time
