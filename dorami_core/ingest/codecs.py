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


_TAKEN = {MediaKind.VIDEO: (7, 12), MediaKind.AUDIO: (2, 10)}
_TAKEN_FOURCC = {MediaKind.VIDEO: (b"hvc1", b"av01"), MediaKind.AUDIO: (b"Opus",)}
"""What mpegts.js 1.8 plays out of FLV."""
_ONE_TRACK = (0, 1, 2, 3, 4)
"""Packet types with the FourCC right behind them; above are those of several tracks, and ModEx."""
_COMMAND_FRAME = 5


def codec_name(packet: MediaPacket) -> str:
    """What people call it."""
    body = packet.payload
    if _is_enhanced(packet):
        if body[0] & 0x0F not in _ONE_TRACK:
            return "in several tracks"
        code = body[1:5].decode("latin-1")
        return _FOURCC.get(code, repr(code))
    number = _number(packet)
    return (_VIDEO if packet.kind is MediaKind.VIDEO else _AUDIO).get(number, f"codec {number}")


def unsupported_codec(packet: MediaPacket) -> str | None:
    """A sentence that names the codec and what to change in the encoder; None for what is taken."""
    if _is_taken(packet):
        return None
    what, setting = ("video", "H.264") if packet.kind is MediaKind.VIDEO else ("sound", "AAC")
    encoder = "video" if packet.kind is MediaKind.VIDEO else "audio"
    name = codec_name(packet)
    return f"The {what} is {name}, which is not taken here: set the encoder's {encoder} codec to {setting}."


def _is_taken(packet: MediaPacket) -> bool:
    body = packet.payload
    if packet.kind is MediaKind.VIDEO and body[0] >> 4 & 7 == _COMMAND_FRAME:
        return True
    if _is_enhanced(packet):
        return body[0] & 0x0F in _ONE_TRACK and body[1:5] in _TAKEN_FOURCC[packet.kind]
    return _number(packet) in _TAKEN[packet.kind]


def _is_enhanced(packet: MediaPacket) -> bool:
    first = packet.payload[0]
    return first & 0x80 != 0 if packet.kind is MediaKind.VIDEO else first >> 4 == 9


def _number(packet: MediaPacket) -> int:
    first = packet.payload[0]
    return first & 0x0F if packet.kind is MediaKind.VIDEO else first >> 4


def is_playable(packet: MediaPacket) -> bool:
    """Whether a packet has its whole codec header and carries a picture or sound.

    Encoders do send empty messages, and video "command frames", which no player wants.
    """
    body = packet.payload
    if packet.kind is MediaKind.VIDEO and body[0] >> 4 & 7 == _COMMAND_FRAME:
        return False
    least = 6 if _is_enhanced(packet) else 5 if packet.kind is MediaKind.VIDEO else 2
    return len(body) >= least
