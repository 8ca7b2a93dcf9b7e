"""The test picture worker: `python -m dorami_core.media.workers.testpicture FOLDER` writes FLV to stdout, in real time
and without end. The clip is made first where the folder has none."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from dorami_core.media.clip import FPS, FRAME_SAMPLES, HEIGHT, SAMPLE_RATE, WIDTH, Clip, load_clip, make_clip
from dorami_core.media.flv import encode_header, encode_metadata, encode_tag
from dorami_core.media.packets import MediaKind
from dorami_core.media.workers.child import end_with_stdin, follow_parent

BEHIND_S = 0.5
"""After a longer stop it goes on from now, rather than sending what was missed in one burst."""
METADATA = {
    "width": WIDTH,
    "height": HEIGHT,
    "framerate": FPS,
    "videocodecid": 7,
    "audiocodecid": 10,
    "audiosamplerate": SAMPLE_RATE,
    "audiosamplesize": 16,
}


def opening(clip: Clip) -> bytes:
    """What comes before the first frame."""
    return b"".join(
        (
            encode_header(audio=True, video=True),
            encode_tag(MediaKind.DATA, 0, encode_metadata({**METADATA, "stereo": 1})),
            encode_tag(MediaKind.VIDEO, 0, clip.video_header),
            encode_tag(MediaKind.AUDIO, 0, clip.audio_header),
        )
    )


def frames(clip: Clip) -> Iterator[bytes]:
    """Per video frame its tag and those of the sound up to the next one. Times run on over every seam; they are
    computed from the count of frames, so rounding never adds up."""
    sound = enumerate(itertools.cycle(clip.audio))
    number, payload = next(sound)
    for count, picture in enumerate(itertools.cycle(clip.video)):
        tags = [encode_tag(MediaKind.VIDEO, count * 1000 // FPS, picture)]
        while number * FRAME_SAMPLES * FPS < (count + 1) * SAMPLE_RATE:
            tags.append(encode_tag(MediaKind.AUDIO, number * FRAME_SAMPLES * 1000 // SAMPLE_RATE, payload))
            number, payload = next(sound)
        yield b"".join(tags)


def play(clip: Clip) -> None:
    """Writes to stdout, one write per video frame, paced by the clock; returns when nobody reads any more."""
    try:
        _write(opening(clip))
        start = time.monotonic()
        for count, data in enumerate(frames(clip)):
            wait_s = start + count / FPS - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            elif wait_s < -BEHIND_S:
                start -= wait_s
            _write(data)
    except BrokenPipeError:
        return


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def main(arguments: list[str]) -> None:
    follow_parent()
    end_with_stdin()
    folder = Path(arguments[0])
    clip = load_clip(folder)
    if clip is None:
        make_clip(folder)
        # A fresh process has none of the encoder's memory: 100 MB that the loop would never use.
        os.execv(sys.executable, [sys.executable, "-m", "dorami_core.media.workers.testpicture", *arguments])
    play(clip)


if __name__ == "__main__":
    main(sys.argv[1:])
