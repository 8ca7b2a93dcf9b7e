"""The broadcast of `relay` and `latency`: 720p30 at a constant bitrate, with sound, each frame stamped when sent."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from pathlib import Path

import attrs

from bench.viewers import stamp
from dorami_core.media.flv import FlvReader, encode_metadata
from dorami_core.media.packets import MediaKind, MediaPacket

WIDTH, HEIGHT, FPS, SECONDS, GOP_S = 1280, 720, 30, 8, 2
SAMPLE_RATE, FRAME_SAMPLES = 44100, 1024
_UUID = b"dorami-bench-sei"
_AVC_HEAD = 5
"""Bytes of an AVC video payload before its NAL units (FLV 10.1, E.4.3.1)."""


@attrs.frozen
class Clip:
    """Payloads of FLV tags; both tracks repeat, each by itself, and the first video frame is a key frame."""

    video_header: bytes
    audio_header: bytes
    video: tuple[bytes, ...]
    audio: tuple[bytes, ...]


def make_clip(file: Path, kbps: int) -> None:
    """Encodes it, filled up to the bitrate: some seconds of work."""
    import av

    with av.open(str(file), "w", format="flv") as target:
        video = target.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.bit_rate = kbps * 1000
        gop = FPS * GOP_S
        rate = f"vbv-maxrate={kbps}:vbv-bufsize={kbps}:nal-hrd=cbr:filler=1"
        video.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:{rate}",
        }
        audio = target.add_stream("aac", rate=SAMPLE_RATE)
        audio.bit_rate, audio.layout = 128_000, "stereo"
        with av.open(f"testsrc2=size={WIDTH}x{HEIGHT}:rate={FPS}:duration={SECONDS}", format="lavfi") as source:
            for picture in source.decode(video=0):
                picture = picture.reformat(format="yuv420p")
                picture.pict_type = av.video.frame.PictureType.NONE  # the encoder decides
                target.mux(video.encode(picture))
            target.mux(video.encode(None))
        tone = f"aevalsrc='0.1*sin(440*2*PI*t)|0.1*sin(441*2*PI*t)':s={SAMPLE_RATE}:n={FRAME_SAMPLES}:d={SECONDS}"
        with av.open(tone, format="lavfi") as source:
            resampler = av.AudioResampler("fltp", "stereo", SAMPLE_RATE, frame_size=FRAME_SAMPLES)
            for sound in source.decode(audio=0):
                for part in resampler.resample(sound):
                    target.mux(audio.encode(part))
            target.mux(audio.encode(None))


def load_clip(file: Path) -> Clip:
    headers: dict[MediaKind, bytes] = {}
    media: dict[MediaKind, list[bytes]] = {MediaKind.VIDEO: [], MediaKind.AUDIO: []}
    for packet in FlvReader().feed(file.read_bytes()):
        if packet.is_sequence_header:
            headers[packet.kind] = packet.payload
        elif packet.kind is MediaKind.AUDIO or (packet.kind is MediaKind.VIDEO and packet.payload[1] == 1):
            media[packet.kind].append(packet.payload)
    return Clip(
        headers[MediaKind.VIDEO], headers[MediaKind.AUDIO], tuple(media[MediaKind.VIDEO]), tuple(media[MediaKind.AUDIO])
    )


def opening(clip: Clip) -> list[MediaPacket]:
    """Metadata and decoder configurations."""
    values = {"width": WIDTH, "height": HEIGHT, "framerate": FPS, "videocodecid": 7, "audiocodecid": 10}
    return [
        MediaPacket(MediaKind.DATA, 0, encode_metadata(values)),
        MediaPacket(MediaKind.VIDEO, 0, clip.video_header),
        MediaPacket(MediaKind.AUDIO, 0, clip.audio_header),
    ]


def timetable(clip: Clip) -> Iterator[tuple[float, MediaPacket]]:
    """Without end: when each packet is due, in s since the beginning, and the packet."""
    return heapq.merge(
        _track(MediaKind.VIDEO, clip.video, 1 / FPS),
        _track(MediaKind.AUDIO, clip.audio, FRAME_SAMPLES / SAMPLE_RATE),
        key=lambda item: item[0],
    )


def _track(kind: MediaKind, payloads: tuple[bytes, ...], step_s: float) -> Iterator[tuple[float, MediaPacket]]:
    for count, payload in enumerate(itertools.cycle(payloads)):
        yield count * step_s, MediaPacket(kind, round(count * step_s * 1000), payload)


def stamped(packet: MediaPacket, number: int) -> MediaPacket:
    """The video frame with its number and the present time in front: an SEI unit of user data (H.264, D.1.7), which
    decoders skip."""
    text = _UUID + f"{stamp(number)} ".encode()
    unit = bytes((6, 5, len(text))) + text + b"\x80"
    payload = packet.payload[:_AVC_HEAD] + len(unit).to_bytes(4, "big") + unit + packet.payload[_AVC_HEAD:]
    return attrs.evolve(packet, payload=payload)
