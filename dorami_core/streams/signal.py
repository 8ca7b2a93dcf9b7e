"""How a publisher's signal is doing, for the seller's page."""

from __future__ import annotations

from typing import Literal

import attrs

from dorami_core.ingest.meter import Verdict
from dorami_core.media.packets import MediaKind
from dorami_core.streams.source import Source

_KINDS: dict[MediaKind, Literal["video", "audio"]] = {MediaKind.VIDEO: "video", MediaKind.AUDIO: "audio"}


@attrs.frozen
class RefusedCodec:
    """What the last publisher sent that is not taken here."""

    kind: Literal["video", "audio"]
    codec: str


@attrs.frozen
class Signal:
    """`verdict` is what is worst about it: "GOOD"; "SLOW", where media comes slower than it plays or frames are left
    out; "LONG_KEYFRAMES", above four seconds; "SILENT"; "NONE" where nobody publishes, and all else is empty then.

    Rates are of the last five seconds, `dropped_frames` of the whole; `round_trip_ms` is None where it is not
    known (SRS).
    """

    verdict: Verdict
    encoder: str = ""
    video_codec: str | None = None
    audio_codec: str | None = None
    bitrate_bps: int = 0
    frames_per_second: float = 0.0
    keyframe_interval_ms: int | None = None
    dropped_frames: int = 0
    round_trip_ms: int | None = None
    refused: RefusedCodec | None = None


def signal_of(source: Source) -> Signal:
    measured = source.meter.statistics()
    return Signal(
        verdict=measured.verdict,
        encoder=source.encoder,
        video_codec=source.codecs.get(MediaKind.VIDEO),
        audio_codec=source.codecs.get(MediaKind.AUDIO),
        bitrate_bps=measured.bitrate_bps,
        frames_per_second=round(measured.frames_per_second, 1),
        keyframe_interval_ms=measured.keyframe_interval_ms,
        dropped_frames=measured.dropped_frames,
        round_trip_ms=None if source.round_trip_s is None else round(source.round_trip_s * 1000),
    )


def refused_codec(source: Source) -> RefusedCodec | None:
    if source.refused_codec is None:
        return None
    kind, codec = source.refused_codec
    return RefusedCodec(_KINDS[kind], codec)
