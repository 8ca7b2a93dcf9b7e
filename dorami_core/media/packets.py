"""One encoded audio, video or data message, as RTMP and FLV carry it."""

from __future__ import annotations

from enum import IntEnum

import attrs


class MediaKind(IntEnum):
    """RTMP message type = FLV tag type (FLV 10.1, E.4.1)."""

    AUDIO = 8
    VIDEO = 9
    DATA = 18


@attrs.frozen(slots=True)
class MediaPacket:
    """`payload` is the body of an FLV tag: codec bits first; `timestamp_ms` is the decoding time, 0..2**32-1, as the
    publisher sent it."""

    kind: MediaKind
    timestamp_ms: int
    payload: bytes

    @property
    def is_sequence_header(self) -> bool:
        """AVC or AAC decoder configuration (FLV 10.1, E.4.2.1 and E.4.3.1)."""
        body = self.payload
        if len(body) < 2:
            return False
        if self.kind is MediaKind.VIDEO:
            return body[0] & 0x0F == 7 and body[1] == 0
        return self.kind is MediaKind.AUDIO and body[0] >> 4 == 10 and body[1] == 0

    @property
    def format(self) -> bytes:
        """What a decoder is set up by, for a sequence header: all of it for video; for AAC its object type, rate and
        channels (ISO 14496-3, 1.6.2.1), since encoders add to these what changes nothing."""
        return self.payload[:4] if self.kind is MediaKind.AUDIO else self.payload

    @property
    def is_keyframe(self) -> bool:
        """A video frame that decoding can begin with; a sequence header is none."""
        body = self.payload
        return (
            self.kind is MediaKind.VIDEO
            and len(body) > 1
            and body[0] >> 4 == 1
            and not (body[0] & 0x0F == 7 and body[1] != 1)
        )
