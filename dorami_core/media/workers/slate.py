"""The slate worker: the opening of a broadcast as FLV on stdin, what fills its gaps as FLV on stdout.

`python -m dorami_core.media.workers.slate`. The picture has the size and the rate of the broadcast's, the silence its
sampling rate and channels, so that a platform has nothing to adapt to but new parameter sets.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from typing import Any

from dorami_core.media.workers.child import follow_parent

SECONDS = 2
"""Length of the one GOP; platforms ask for a key frame every 2 to 4 s."""
SILENT_FRAMES = 6
"""The encoder's first frames hold its start; from then on every silent one is the same."""
MAX_OPENING_BYTES = 64_000_000


def slate_of(opening: bytes) -> bytes:
    """The slate for a broadcast that begins like this."""
    import av

    with av.open(BytesIO(opening), format="flv", options={"analyzeduration": "500000"}) as source:
        video = source.streams.video[0] if source.streams.video else None
        audio = source.streams.audio[0] if source.streams.audio else None
        size = (video.width, video.height) if video is not None else (0, 0)
        fps = _frame_rate(video.average_rate if video is not None else None)
        rate = audio.rate if audio is not None else 44100
        layout = "mono" if audio is not None and audio.channels == 1 else "stereo"
    out = BytesIO()
    with av.open(out, "w", format="flv", options={"flvflags": "no_duration_filesize"}) as target:
        picture = None
        if size[0] and size[1]:
            picture = target.add_stream("libx264", rate=fps)
            picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
            picture.gop_size = fps * SECONDS
            picture.thread_count = 1
            picture.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "24"}
        sound = target.add_stream("aac", rate=rate)
        sound.layout, sound.bit_rate = layout, 96_000
        packets = [*(_still(picture, fps) if picture is not None else ()), *_silence(sound, rate, layout)]
        for packet in packets:
            target.mux(packet)
    return out.getvalue()


def _frame_rate(average: Fraction | None) -> int:
    fps = float(average or 30)
    return round(fps) if math.isfinite(fps) and 5 <= fps <= 60 else 30


def _still(stream: Any, fps: int) -> Iterator[Any]:
    """A pause sign in the brand's colour on a dark ground, the same in every frame."""
    import av

    width, height = stream.width, stream.height
    unit = max(2, min(width, height) // 24 * 2)
    bar_w, bar_h = unit, unit * 3
    left, top = (width - bar_w * 3) // 2 & ~1, (height - bar_h) // 2 & ~1
    graph = (
        f"color=0x14141c:s={width}x{height}:r={fps},format=yuv420p,"
        f"drawbox=x={left}:y={top}:w={bar_w}:h={bar_h}:color=0xFF1493:t=fill,"
        f"drawbox=x={left + bar_w * 2}:y={top}:w={bar_w}:h={bar_h}:color=0xFF1493:t=fill[out0]"
    )
    with av.open(graph, format="lavfi") as source:
        for number, frame in enumerate(source.decode(video=0)):
            if number == fps * SECONDS:
                break
            frame.pts, frame.time_base = number, Fraction(1, fps)
            frame.pict_type = av.video.frame.PictureType.NONE  # the encoder decides
            yield from stream.encode(frame)
    yield from stream.encode(None)


def _silence(stream: Any, rate: int, layout: str) -> Iterator[Any]:
    import av

    for number in range(SILENT_FRAMES):
        frame = av.AudioFrame(format="fltp", layout=layout, samples=1024)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts, frame.time_base = rate, number * 1024, Fraction(1, rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def main() -> None:
    follow_parent()
    opening = bytearray()
    while data := os.read(0, 1 << 16):
        opening += data
        if len(opening) > MAX_OPENING_BYTES:
            sys.exit("the opening is too large")
    slate = slate_of(bytes(opening))
    while slate:
        slate = slate[os.write(1, slate) :]


if __name__ == "__main__":
    main()
