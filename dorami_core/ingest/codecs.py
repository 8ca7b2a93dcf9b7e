"""Which codecs are taken, read from the first bytes of a media message (FLV 10.1, E.4.2 and E.4.3; Enhanced RTMP)."""

from __future__ import annotations

from dorami_core.media.packets import MediaKind, MediaPacket

_VIDEO = {
    2: "Sorenson H.263",
    3: "Screen video",
    4: "VP6",
    5: "VP6 with alpha",
    6: "Screen video 2",
    7: "H.264",
    12: "HEVC",
}
_AUDIO = {
    0: "PCM", 1: "ADPCM", 2: "MP3", 3: "PCM", 4: "Nellymoser", 5: "Nellymoser", 6: "Nellymoser", 7: "G.711",
    8: "G.711", 10: "AAC", 11: "Speex", 14: "MP3",
}  # fmt: skip
_FOURCC = {
    "hvc1": "HEVC", "av01": "AV1", "vp08": "VP8", "vp09": "VP9", "avc1": "H.264 in Enhanced RTMP", "vvc1": "VVC",
    "Opus": "Opus", "fLaC": "FLAC", "ac-3": "AC-3", "ec-3": "E-AC-3", "mp4a": "AAC in Enhanced RTMP", ".mp3": "MP3",
}  # fmt: skip


def codec_name(packet: MediaPacket) -> str:
    """What people call it."""
    first = packet.payload[0]
    if packet.kind is MediaKind.VIDEO:
        if first & 0x80:
            return _fourcc(packet.payload)
        return _VIDEO.get(first & 0x0F, f"codec {first & 0x0F}")
    return _fourcc(packet.payload) if first >> 4 == 9 else _AUDIO.get(first >> 4, f"codec {first >> 4}")


def unsupported_codec(packet: MediaPacket) -> str | None:
    """A sentence that names the codec and what to change in the encoder; None for H.264 and AAC."""
    first = packet.payload[0]
    if packet.kind is MediaKind.VIDEO and first & 0x8F != 7:
        return f"The video is {codec_name(packet)}, which is not taken here: set the encoder's video codec to H.264."
    if packet.kind is MediaKind.AUDIO and first >> 4 != 10:
        return f"The sound is {codec_name(packet)}, which is not taken here: set the encoder's audio codec to AAC."
    return None


def is_playable(packet: MediaPacket) -> bool:
    """Whether a H.264 or AAC packet has its whole codec header and carries a picture or sound.

    Encoders do send empty messages, and video "command frames" (type 5), which no player wants.
    """
    body = packet.payload
    if packet.kind is MediaKind.VIDEO:
        return len(body) >= 5 and body[0] >> 4 != 5
    return len(body) >= 2


def _fourcc(payload: bytes) -> str:
    code = payload[1:5].decode("latin-1")
    return _FOURCC.get(code, repr(code))
