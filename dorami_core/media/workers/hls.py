"""The HLS worker: FLV on stdin, remuxed by copy into MPEG-TS segments and a playlist (RFC 8216).

`python -m dorami_core.media.workers.hls FOLDER NAME SEGMENT_S WINDOW START_NUMBER CONTINUES`; a progress frame
`{"segment_ms", "packets", "bytes"}` about once a second of video. Ends well when stdin closes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dorami_core.media.workers.child import follow_parent, report

FLAGS = "delete_segments+program_date_time+independent_segments+temp_file+omit_endlist"
PROBE = {"analyzeduration": "1000000", "probesize": "2000000", "fpsprobesize": "0"}


def hls_options(name: str, segment_s: float, window: int, start_number: int, continues: bool) -> dict[str, str]:
    """Options of FFmpeg's hls muxer. `continues`: the playlist goes on after a discontinuity."""
    return {
        "hls_time": str(segment_s),
        "hls_list_size": str(window),
        # A player that is a little late still finds what the playlist named when it was read.
        "hls_delete_threshold": str(max(3, window // 2)),
        "hls_flags": FLAGS + ("+append_list+discont_start" if continues else ""),
        "hls_segment_type": "mpegts",
        "hls_segment_filename": f"{name}-%d.ts",
        "start_number": str(start_number),
    }


def remux(name: str, options: dict[str, str]) -> None:
    """Copies packets from stdin until it closes."""
    import av

    packets = bytes_out = reported_ms = 0
    with (
        av.open("pipe:0", format="flv", options=PROBE) as source,
        av.open(f"{name}.m3u8", "w", format="hls", options=options) as target,
    ):
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams if s.type in ("audio", "video")}
        last: dict[int, int] = {}
        for packet in source.demux(*(source.streams[index] for index in streams)):
            if packet.dts is None or packet.pts is None:
                continue
            index = packet.stream.index
            # MPEG-TS wants times that grow; a burst of late audio may share one millisecond.
            if packet.dts <= last.get(index, packet.dts - 1):
                packet.dts = last[index] + 1
                packet.pts = max(packet.pts, packet.dts)
            last[index] = packet.dts
            packets += 1
            bytes_out += packet.size
            time_ms = int(packet.dts * packet.time_base * 1000)
            packet.stream = streams[index]
            target.mux(packet)
            if time_ms - reported_ms >= 1000:
                reported_ms = time_ms
                report(segment_ms=time_ms, packets=packets, bytes=bytes_out)


def main(arguments: list[str]) -> None:
    follow_parent()
    folder, name, segment_s, window, start_number, continues = arguments
    Path(folder).mkdir(parents=True, exist_ok=True)
    # Relative names: what FFmpeg reads as a pattern is then never part of the folder's name.
    os.chdir(folder)
    try:
        remux(name, hls_options(name, float(segment_s), int(window), int(start_number), continues == "1"))
    except EOFError:
        return  # stdin closed before the first frame


if __name__ == "__main__":
    main(sys.argv[1:])
