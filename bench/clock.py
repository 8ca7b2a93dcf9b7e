"""A moving picture that tells the time: milliseconds as black and white fields, published over RTMP in real time.

`python -m bench.clock RTMP_URL KEYFRAME_S` begins with a line on its standard input and ends when that closes.
`READ_CLOCK` is the other end, for a page.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from dorami_core.media.workers.child import end_with_stdin

COLUMNS, ROWS = 8, 4
FIELD_WIDTH, FIELD_HEIGHT = 80, 90
WIDTH, HEIGHT = COLUMNS * FIELD_WIDTH, ROWS * FIELD_HEIGHT
FPS = 30
SOUND_RATE = 44100
BLACK, WHITE = b"\x10", b"\xeb"
MODULUS = 1 << 24
"""The clock counts milliseconds up to this, 4.6 hours."""

READ_CLOCK = """video => {
  if (window.clockSeen) return;
  const seen = window.clockSeen = [];
  const canvas = document.createElement("canvas");
  canvas.width = 80; canvas.height = 40;
  const paint = canvas.getContext("2d", { willReadFrequently: true });
  const look = () => {
    video.requestVideoFrameCallback(look);
    const now = Date.now();
    paint.drawImage(video, 0, 0, 80, 40);
    const { data } = paint.getImageData(0, 0, 80, 40);
    const bytes = [0, 0, 0, 0];
    for (let i = 0; i < 32; i += 1) {
      const at = ((Math.floor(i / 8) * 10 + 5) * 80 + (i % 8) * 10 + 5) * 4;
      bytes[i >> 3] = bytes[i >> 3] * 2 + (data[at] > 127 ? 1 : 0);
    }
    if (((bytes[0] + bytes[1] + bytes[2] + 90) & 255) !== bytes[3]) return;
    const shown = bytes[0] * 65536 + bytes[1] * 256 + bytes[2];
    seen.push([now, shown, ((now - shown) % 16777216 + 16777216) % 16777216]);
  };
  video.requestVideoFrameCallback(look);
}"""
"""Run on a video element: leaves `window.clockSeen`, a row for each frame shown: when (ms of the page's clock), which
time it tells, and the difference."""


def fields(time_ms: int) -> bytes:
    """Four bytes, the most significant bit first: 24 bits of time, and a sum by which a blurred picture is known."""
    time = (time_ms % MODULUS).to_bytes(3, "big")
    return time + bytes((sum(time) + 90 & 255,))


def luma(time_ms: int) -> bytes:
    """The picture's first plane: a field for each bit, a row of them for each byte."""
    rows = []
    for byte in fields(time_ms):
        line = b"".join((WHITE if byte >> bit & 1 else BLACK) * FIELD_WIDTH for bit in range(COLUMNS - 1, -1, -1))
        rows.append(line * FIELD_HEIGHT)
    return b"".join(rows)


def publish(url: str, keyframe_s: float) -> None:
    """A key frame every `keyframe_s`, silent AAC; for ever, or until the server refuses."""
    import av

    with av.open(url, "w", format="flv") as target:
        keyint = f"keyint={round(keyframe_s * FPS)}:scenecut=0"
        options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": keyint}
        video: Any = target.add_stream("libx264", rate=FPS, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        sound: Any = target.add_stream("aac", rate=SOUND_RATE, layout="mono")
        target.start_encoding()  # or the first key frames would be further apart, and the segments longer for good
        began = time.monotonic()
        samples = 0
        grey = bytes([128]) * (WIDTH * HEIGHT // 4)
        for number in _ticks(began):
            frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
            frame.planes[1].update(grey)
            frame.planes[2].update(grey)
            frame.planes[0].update(luma(int(time.time() * 1000)))
            frame.pts, frame.time_base = number * 1000 // FPS, Fraction(1, 1000)
            target.mux(video.encode(frame))
            while samples < (number + 1) * SOUND_RATE // FPS:
                silence = av.AudioFrame(format="fltp", layout="mono", samples=1024)
                silence.planes[0].update(bytes(silence.planes[0].buffer_size))
                silence.sample_rate, silence.pts, silence.time_base = SOUND_RATE, samples, Fraction(1, SOUND_RATE)
                samples += 1024
                target.mux(sound.encode(silence))


def _ticks(began: float) -> Iterator[int]:
    """Numbers of frames, each when it is due; what is missed is left out."""
    number = 0
    while True:
        time.sleep(max(0.0, began + number / FPS - time.monotonic()))
        yield number
        number = max(number + 1, int((time.monotonic() - began) * FPS))


@contextmanager
def clock_publisher(url: str, *, keyframe_s: float = 1, is_held: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Publishes the clock in a process of its own while the block runs, with `is_held` from `release` on; killed at its
    end."""
    command = [sys.executable, "-m", "bench.clock", url, str(keyframe_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            if not is_held:
                release(process)
            yield process
        finally:
            process.kill()


def release(process: subprocess.Popen[bytes]) -> None:
    """It has loaded what it needs by now, or will have, and connects."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


if __name__ == "__main__":
    import av  # noqa: F401  before the line, since it takes long

    sys.stdin.buffer.readline()
    end_with_stdin()
    publish(sys.argv[1], float(sys.argv[2]))
