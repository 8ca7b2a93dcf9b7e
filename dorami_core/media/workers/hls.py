"""The HLS worker: FLV on stdin; fragmented MP4 (ISO 14496-12, 8.8) out, by copy, on stdout in msgpack.

`python -m dorami_core.media.workers.hls PART_MS SEGMENT_MS TARGET_S` (0: by the first segment). First a frame
`{"init": bytes}`, then one for each part: `{"data", "time_ms", "duration_ms", "begins_segment", "is_independent"}`.
Ends well when stdin closes, and where the decoder configuration changes.
"""

from __future__ import annotations

import sys
from io import BytesIO
from typing import Any

import attrs

from dorami_core.media.cutting import Cutter, Frame, Part, Track
from dorami_core.media.workers.child import follow_parent, report

PROBE = {"analyzeduration": "1000000", "probesize": "2000000", "fpsprobesize": "0"}
INIT_OPTIONS = {"movflags": "empty_moov+default_base_moof+frag_custom"}


def initialization(streams: list[Any]) -> tuple[bytes, dict[int, Track]]:
    """The header that all fragments need before them, and the tracks that it names, by the index of their stream."""
    import av

    file = BytesIO()
    with av.open(file, "w", format="mp4", options=INIT_OPTIONS) as target:
        # opaque: a copy needs no encoder, and for AV1 the decoder's name is none of one
        made = [target.add_stream_from_template(stream, opaque=True) for stream in streams]
        target.start_encoding()
        header = file.getvalue()
        tracks = {
            stream.index: Track(
                id=copy.index + 1,  # mov_write_header numbers them so
                timescale=copy.time_base.denominator,
                is_video=stream.type == "video",
                frame_ticks=_frame_ticks(stream) if stream.type == "audio" else 0,
            )
            for stream, copy in zip(streams, made, strict=True)
        }
    return header, tracks


def _frame_ticks(stream: Any) -> int:
    """Of AAC with its timescale of one tick a sample; others say how long a frame is by their times."""
    context = stream.codec_context
    return 1024 if context.name == "aac" and context.profile in (None, "LC") else 0


def package(part_ms: int, segment_ms: int, target_s: int | None) -> None:
    """Packets from stdin until it closes."""
    import av

    with av.open("pipe:0", format="flv", options=PROBE) as source:
        streams = [stream for stream in source.streams if stream.type in ("audio", "video")]
        header, tracks = initialization(streams)
        report(init=header)
        cutter = Cutter(list(tracks.values()), part_ms, segment_ms, target_s)
        last: dict[int, int] = {}
        configurations = {
            stream.index: stream.codec_context.extradata for stream in streams if stream.codec_context.extradata
        }
        for packet in source.demux(*streams):
            if packet.dts is None or packet.pts is None:
                continue
            index = packet.stream.index
            if packet.has_sidedata("new_extradata"):  # encoders may say the same again
                configuration = bytes(packet.get_sidedata("new_extradata"))
                if configurations.setdefault(index, configuration) != configuration:
                    break
            # A burst of late sound may share one millisecond; times must grow.
            time_ms = max(int(packet.dts * packet.time_base * 1000), last.get(index, -1) + 1)
            last[index] = time_ms
            shown_ms = int(packet.pts * packet.time_base * 1000)
            frame = Frame(time_ms, max(shown_ms, time_ms), packet.is_keyframe, bytes(packet))
            _report(cutter.add(tracks[index].id, frame))
        _report(cutter.end())


def _report(part: Part | None) -> None:
    if part is not None:
        report(**attrs.asdict(part))


def main(arguments: list[str]) -> None:
    follow_parent()
    part_ms, segment_ms, target_s = map(int, arguments)
    try:
        package(part_ms, segment_ms, target_s or None)
    except EOFError:
        return  # stdin closed before the first frame


if __name__ == "__main__":
    main(sys.argv[1:])
