"""One encoded audio, video or data message, as RTMP and FLV carry it."""

from __future__ import annotations

from enum import IntEnum

import attrs

_EX_VIDEO = 0x80
"""IsExHeader: the lower bits are a packet type and a FourCC follows."""
_EX_AUDIO = 9
_SEQUENCE_START, _SEQUENCE_END = 0, 2
_CODED_FRAMES = (1, 3)
_WITH_PACKET_TYPE = (7, 12)
"""AVC, and HEVC as encoders sent it before Enhanced RTMP."""


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
        """A decoder configuration: AVC, HEVC or AAC (FLV 10.1, E.4.2.1 and E.4.3.1), or SequenceStart (Enhanced RTMP
        v2, "Enhanced Video" and "Enhanced Audio")."""
        body = self.payload
        if len(body) < 2:
            return False
        if self.kind is MediaKind.VIDEO:
            if body[0] & _EX_VIDEO:
                return body[0] & 0x0F == _SEQUENCE_START
            return body[0] & 0x0F in _WITH_PACKET_TYPE and body[1] == 0
        if self.kind is MediaKind.AUDIO:
            if body[0] >> 4 == _EX_AUDIO:
                return body[0] & 0x0F == _SEQUENCE_START
            return body[0] >> 4 == 10 and body[1] == 0
        return False

    @property
    def ends_sequence(self) -> bool:
        """Video that only says that nothing follows."""
        body = self.payload
        if self.kind is not MediaKind.VIDEO or len(body) < 2:
            return False
        if body[0] & _EX_VIDEO:
            return body[0] & 0x0F == _SEQUENCE_END
        return body[0] & 0x0F in _WITH_PACKET_TYPE and body[1] == 2

    @property
    def format(self) -> bytes:
        """What a decoder is set up by, for a sequence header: all of it; but for AAC its object type, rate and
        channels (ISO 14496-3, 1.6.2.1), since encoders add to these what changes nothing."""
        is_aac = self.kind is MediaKind.AUDIO and self.payload[0] >> 4 == 10
        return self.payload[:4] if is_aac else self.payload

    @property
    def is_keyframe(self) -> bool:
        """A video frame that decoding can begin with; a sequence header is none."""
        body = self.payload
        if self.kind is not MediaKind.VIDEO or len(body) < 2:
            return False
        if body[0] & _EX_VIDEO:
            return body[0] >> 4 & 7 == 1 and body[0] & 0x0F in _CODED_FRAMES
        return body[0] >> 4 == 1 and not (body[0] & 0x0F in _WITH_PACKET_TYPE and body[1] != 1)
