"""The demo's test picture: one short clip, drawn and encoded once, whose tracks repeat without a seam."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from dorami_core.media.flv import FlvReader
from dorami_core.media.packets import MediaKind, MediaPacket

if TYPE_CHECKING:
    import av

VERSION = 1
"""Part of the file's name: a cached clip of another version is not used."""
WIDTH, HEIGHT, FPS, SECONDS = 540, 960, 30, 12
SAMPLE_RATE, FRAME_SAMPLES, AUDIO_FRAMES = 44100, 1024, 517
"""517 AAC frames last 12.005 s; the tracks repeat each by itself, so neither has a gap at the seam."""
AUDIO_S = AUDIO_FRAMES * FRAME_SAMPLES / SAMPLE_RATE
NOTES = 24
LEAD_FRAMES = 16


@attrs.frozen
class Clip:
    """Payloads of FLV tags: configurations, one per video frame (the first is a key frame), one per AAC frame."""

    video_header: bytes
    audio_header: bytes
    video: tuple[bytes, ...]
    audio: tuple[bytes, ...]


def clip_path(folder: Path) -> Path:
    return folder / f"test-picture-{VERSION}.flv"


def load_clip(folder: Path) -> Clip | None:
    """The cached clip, None where there is none that is whole."""
    try:
        packets = FlvReader().feed(clip_path(folder).read_bytes())
    except FileNotFoundError:
        return None
    headers: dict[MediaKind, bytes] = {}
    media: dict[MediaKind, list[bytes]] = {MediaKind.VIDEO: [], MediaKind.AUDIO: []}
    for packet in packets:
        if packet.is_sequence_header:
            headers[packet.kind] = packet.payload
        elif packet.kind in media and not _ends_sequence(packet):
            media[packet.kind].append(packet.payload)
    video, audio = media[MediaKind.VIDEO], media[MediaKind.AUDIO]
    if len(video) != FPS * SECONDS or len(audio) != AUDIO_FRAMES or len(headers) != 2:
        return None
    return Clip(headers[MediaKind.VIDEO], headers[MediaKind.AUDIO], tuple(video), tuple(audio))


def _ends_sequence(packet: MediaPacket) -> bool:
    return packet.kind is MediaKind.VIDEO and packet.payload[1] == 2


def make_clip(folder: Path) -> None:
    """Draws and encodes the clip, some seconds of work, and puts it into the folder in one step."""
    import av

    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"test-picture.{os.getpid()}.part"
    try:
        with av.open(str(part), "w", format="flv") as target:
            video = target.add_stream("libx264", rate=FPS)
            video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            video.gop_size = FPS
            video.options = {
                "preset": "superfast",
                "tune": "zerolatency",  # no B-frames, no lookahead
                "crf": "22",
                "maxrate": "1100k",
                "bufsize": "1100k",
                "x264-params": f"keyint={FPS}:min-keyint={FPS}:scenecut=0",
            }
            audio = target.add_stream("aac", rate=SAMPLE_RATE)
            audio.bit_rate, audio.layout = 96_000, "stereo"
            sound = list(_sound(audio))
            for packet in _picture(video):
                target.mux(packet)
            for packet in sound:
                target.mux(packet)  # the order does not matter: a clip is read track by track
        part.replace(clip_path(folder))
    finally:
        part.unlink(missing_ok=True)


def _picture(stream: av.VideoStream) -> Iterator[av.Packet[Any]]:
    """Two lights over a dark ground, a bouncing ball, and bars for the second and for the loop.

    What is soft is drawn at half the size. Every movement has a period that divides the clip's length, so the last
    frame leads to the first one.
    """
    import av

    def light(size: int, colour: str, softness: float, strength: int) -> str:
        r, g, b = colour.split()
        alpha = f"{strength}*pow(clip(1-hypot(X-{size // 2},Y-{size // 2})/{size // 2},0,1),{softness})"
        drawn = f"geq=r={r}:g={g}:b={b}:a='{alpha}'"
        return f"color=black:s={size}x{size}:r={FPS}:d=0.04,format=rgba,{drawn},loop=-1:1,format=yuva420p"

    turn = 2 * math.pi / (FPS * SECONDS)
    ground = f"gradients=s={WIDTH // 2}x{HEIGHT // 2}:r={FPS}:c0=0x0d0509:c1=0x3d0a2a:nb_colors=2:x0=0:y0=0"
    graph = ";".join(
        (
            f"{ground}:x1={WIDTH // 2}:y1={HEIGHT // 2}:speed={turn},format=yuv420p[ground]",
            f"{light(380, '255 20 147', 1.3, 230)}[pink]",
            f"{light(260, '120 40 255', 1.5, 150)}[violet]",
            f"{light(120, '255 255 255', 0.4, 255)}[ball]",
            f"color=0xFF1493:s={WIDTH}x12:r={FPS},format=yuv420p[loop]",
            f"color=white:s={WIDTH}x4:r={FPS},format=yuv420p[second]",
            "[ground][violet]overlay=x='W/2-w/2-80*cos(2*PI*t/12)':y='H/2-h/2+165*sin(2*PI*t/6)'[a]",
            "[a][pink]overlay=x='W/2-w/2+85*cos(2*PI*t/6)':y='H/2-h/2+140*sin(2*PI*t/4)',"
            f"scale={WIDTH}:{HEIGHT}:flags=bilinear[b]",
            "[b][ball]overlay=x='(W-w)*abs(1-mod(t/2,2))':y='H-h-60-560*abs(sin(PI*t/1.5))'[c]",
            f"[c][loop]overlay=x='-w+w*mod(t,{SECONDS})/{SECONDS}':y=H-h[d]",
            "[d][second]overlay=x='-w+w*mod(t,1)':y=H-20[out0]",
        )
    )
    with av.open(graph, format="lavfi") as source:
        for number, frame in enumerate(source.decode(video=0)):
            if number == FPS * SECONDS:
                break
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            frame.pict_type = av.video.frame.PictureType.NONE  # the encoder decides
            yield from stream.encode(frame)
    yield from stream.encode(None)


def _sound(stream: av.AudioStream) -> list[av.Packet[Any]]:
    """A soft pentatonic figure. It is encoded a little longer than its period and the first frames are left out, so
    that what is kept begins as what comes after its end: repeated, it is as if it had never stopped."""
    import av

    note_s = AUDIO_S / NOTES
    step = f"mod(floor(t/{note_s}),{NOTES})"
    # Degrees 0 2 4 7 9 of the major scale, in an order that wanders.
    degree = f"st(1,mod({step}*7,5));st(2,ld(1)*2+floor(ld(1)/3))"
    tone = f"0.16*min(1,60*mod(t,{note_s}))*exp(-5*mod(t,{note_s}))*sin(2*PI*t*{{base}}*pow(2,ld(2)/12))"
    exprs = "|".join(f"{degree};{tone.format(base=base)}".replace(";", r"\;") for base in (220, 220.6))
    with av.open(f"aevalsrc=exprs='{exprs}':s={SAMPLE_RATE}:n={FRAME_SAMPLES}", format="lavfi") as source:
        packets: list[av.Packet[Any]] = []
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=SAMPLE_RATE, frame_size=FRAME_SAMPLES)
        for frame in source.decode(audio=0):
            frame.pts = None
            for part in resampler.resample(frame):
                packets += stream.encode(part)
            if len(packets) >= LEAD_FRAMES + AUDIO_FRAMES:
                break
    kept = packets[LEAD_FRAMES : LEAD_FRAMES + AUDIO_FRAMES]
    for number, packet in enumerate(kept):
        packet.pts = packet.dts = number * FRAME_SAMPLES
        packet.time_base = Fraction(1, SAMPLE_RATE)
    return kept
