"""What somebody who joins in the middle needs first: header, metadata, decoder configurations, the last GOP."""

from __future__ import annotations

import attrs

from dorami_core.media.flv import encode_header, encode_tag
from dorami_core.media.packets import MediaKind, MediaPacket

MAX_GOP_PACKETS = 4000
AUDIO_ONLY_AFTER_MS = 1500
"""A source that has sent audio for so long and no video is taken for audio only."""
_SET_DATA_FRAME = b"\x02\x00\x0d@setDataFrame"
_ON_METADATA = b"\x02\x00\x0aonMetaData"


def as_script(payload: bytes) -> bytes:
    """The data message as an FLV tag carries it: without the command that RTMP publishers put before it."""
    return payload.removeprefix(_SET_DATA_FRAME)


def tag_time(packet: MediaPacket, at_ms: int) -> int:
    """The time on a packet's tag. FFmpeg takes metadata at any time but 0 for a stream of subtitles, and no player
    looks at it."""
    return 0 if packet.kind is MediaKind.DATA and packet.payload.startswith(_ON_METADATA) else at_ms


@attrs.frozen(slots=True)
class Tag:
    """A packet on the viewers' time and its FLV bytes. `source_begins`: it is the first of a new publisher."""

    packet: MediaPacket
    data: bytes
    source_begins: bool = False


class JoinCache:
    """Keeps the last GOP up to `max_bytes` and MAX_GOP_PACKETS; a larger one is dropped whole, since half a GOP
    cannot be shown, and those who join wait for the next key frame."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._snapshot: bytes | None = None
        self._clear()

    def _clear(self) -> None:
        self._metadata: MediaPacket | None = None
        self._video_header: MediaPacket | None = None
        self._audio_header: MediaPacket | None = None
        self.has_video = False
        self.has_audio = False
        self._first_audio_ms: int | None = None
        self._last_ms = 0
        self._drop_gop()

    def _drop_gop(self) -> None:
        self._gop: list[bytes] = []
        self._gop_start_ms = 0
        self.gop_bytes = 0

    @property
    def gop_packets(self) -> int:
        return len(self._gop)

    def add(self, tag: Tag) -> None:
        """Takes a tag that was given to the viewers of this moment."""
        packet = tag.packet
        self._snapshot = None
        if tag.source_begins:
            self._clear()
        self._last_ms = packet.timestamp_ms
        if packet.kind is MediaKind.DATA:
            if packet.payload.startswith(_ON_METADATA):
                self._metadata = packet
                return
        elif packet.kind is MediaKind.VIDEO:
            self.has_video = True
            if packet.is_sequence_header:
                if self._video_header is not None and self._video_header.payload != packet.payload:
                    self._drop_gop()  # it cannot be decoded with the new configuration
                self._video_header = packet
                return
            if packet.is_keyframe:
                self._drop_gop()
                self._gop_start_ms = packet.timestamp_ms
                self._append(tag.data)
                return
        else:
            self.has_audio = True
            if self._first_audio_ms is None:
                self._first_audio_ms = packet.timestamp_ms
            if packet.is_sequence_header:
                self._audio_header = packet
                return
        if self._gop:
            self._append(tag.data)

    def _append(self, data: bytes) -> None:
        self._gop.append(data)
        self.gop_bytes += len(data)
        if self.gop_bytes > self._max_bytes or len(self._gop) > MAX_GOP_PACKETS:
            self._drop_gop()

    @property
    def ready(self) -> bool:
        """Whether a viewer can begin here: at a key frame, or with a source that has audio alone."""
        if self._gop:
            return True
        if self.has_video or self._first_audio_ms is None:
            return False
        return self._last_ms - self._first_audio_ms >= AUDIO_ONLY_AFTER_MS

    def resume(self) -> bytes:
        """Decoder configurations and the last GOP, stamped with its time, for one who has the header already."""
        at = self._gop_start_ms if self._gop else self._last_ms
        heads = [packet for packet in (self._metadata, self._video_header, self._audio_header) if packet is not None]
        return b"".join(
            [*(encode_tag(packet.kind, tag_time(packet, at), packet.payload) for packet in heads), *self._gop]
        )

    def snapshot(self) -> bytes:
        """The FLV header and `resume()`; made once for all who join between two rounds."""
        if self._snapshot is None:
            self._snapshot = encode_header(audio=self.has_audio, video=self.has_video) + self.resume()
        return self._snapshot
