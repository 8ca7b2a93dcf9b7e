"""The thumbnail worker, one for all broadcasts: `python -m dorami_core.media.workers.thumbnail WIDTH`.

On stdin the opening of a broadcast as FLV, with one key frame, on stdout its picture as JPEG; each has its length
before it (four bytes, big-endian). Length 0: no picture could be made of it. Ends well when stdin closes.
"""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from io import BytesIO

from dorami_core.media.workers.child import follow_parent

QUALITY = 5
"""FFmpeg's scale: 2 is the best, 31 the worst."""
MAX_BYTES = 32_000_000


def jpeg_of(flv: bytes, width: int) -> bytes:
    """The first picture, no wider than `width`. av.error.FFmpegError, or ValueError where there is none."""
    import av

    with av.open(BytesIO(flv), "r", format="flv", options={"analyzeduration": "0"}) as source:
        if not source.streams.video:
            raise ValueError("no video")
        source.streams.video[0].thread_count = 1
        frame = next(source.decode(video=0), None)
    if frame is None or not frame.width:
        raise ValueError("no picture")
    wide = min(width, frame.width) & ~1
    high = max(2, round(frame.height * wide / frame.width) & ~1)
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = wide, high, "yuvj420p"
    encoder.options = {"qmin": str(QUALITY), "qmax": str(QUALITY)}
    encoder.time_base = Fraction(1, 1000)
    picture = frame.reformat(wide, high, "yuvj420p")
    picture.pict_type = av.video.frame.PictureType.NONE
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


def _read(size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        part = os.read(0, size - len(data))
        if not part:
            return None
        data += part
    return bytes(data)


def _answer(jpeg: bytes) -> None:
    data = len(jpeg).to_bytes(4, "big") + jpeg
    while data:
        data = data[os.write(1, data) :]


def main(arguments: list[str]) -> None:
    import av

    follow_parent()
    os.nice(5)
    width = int(arguments[0])
    while (head := _read(4)) is not None:
        size = int.from_bytes(head, "big")
        if size > MAX_BYTES or (flv := _read(size)) is None:
            return
        try:
            jpeg = jpeg_of(flv, width)
        except (av.error.FFmpegError, ValueError) as error:
            print(error, file=sys.stderr, flush=True)
            jpeg = b""
        _answer(jpeg)


if __name__ == "__main__":
    main(sys.argv[1:])
