"""The recording worker: FLV on stdin, copied into a fragmented MP4 (ISO 14496-12, 8.8), readable at any moment; at its
end it gets an index and is an ordinary MP4, in which a player can seek.

`python -m dorami_core.media.workers.record FILE`; a progress frame `{"time_ms", "packets", "bytes"}` about once a
second of video. Ends well when stdin closes. A fragment is written at every key frame and every half second between,
and flushed at once: that is what a kill loses. The index is kept in memory until then, some 20 MB an hour.
"""

from __future__ import annotations

import sys

from dorami_core.media.workers.child import follow_parent, report
from dorami_core.media.workers.hls import PROBE

OPTIONS = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof+hybrid_fragmented",
    "frag_duration": "500000",
    "flush_packets": "1",
    # The muxer waits this long (us) for a packet of the other track, 10 s by default.
    "max_interleave_delta": "500000",
}


def record(file: str) -> None:
    """Copies packets from stdin until it closes."""
    import av

    packets = bytes_out = reported_ms = time_ms = 0
    with (
        av.open("pipe:0", format="flv", options=PROBE) as source,
        av.open(file, "w", format="mp4", options=OPTIONS) as target,
    ):
        # opaque: a copy needs no encoder, and for AV1 the decoder's name is none of one
        tracks = [stream for stream in source.streams if stream.type in ("audio", "video")]
        streams = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in tracks}
        last: dict[int, int] = {}
        for packet in source.demux(*(source.streams[index] for index in streams)):
            if packet.dts is None or packet.pts is None:
                continue
            index = packet.stream.index
            # MP4 wants times that grow; a burst of late audio may share one millisecond.
            if packet.dts <= last.get(index, packet.dts - 1):
                packet.dts = last[index] + 1
                packet.pts = max(packet.pts, packet.dts)
            last[index] = packet.dts
            packets += 1
            bytes_out += packet.size
            time_ms = max(time_ms, int(packet.dts * packet.time_base * 1000))
            packet.stream = streams[index]
            target.mux(packet)
            if time_ms - reported_ms >= 1000:
                reported_ms = time_ms
                report(time_ms=time_ms, packets=packets, bytes=bytes_out)
        report(time_ms=time_ms, packets=packets, bytes=bytes_out)


def main(arguments: list[str]) -> None:
    follow_parent()
    try:
        record(*arguments)
    except EOFError:
        return  # stdin closed before the first frame


if __name__ == "__main__":
    main(sys.argv[1:])
