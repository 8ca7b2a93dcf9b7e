"""Real packets to test with, made once by an encoder, and a sink that keeps what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO

import av
import trio

from dorami_core.base.sending import Send, Taken
from dorami_core.media.flv import FlvReader
from dorami_core.media.packets import MediaKind, MediaPacket


@cache
def encoded_flv(seconds: int = 4, size: str = "160x90") -> bytes:
    """An FLV file: H.264 at 30 fps with a key frame a second, AAC at 44.1 kHz."""
    file = BytesIO()
    picture = f"testsrc2=s={size}:r=30:d={seconds}[out0];sine=f=440:r=44100:d={seconds}:samples_per_frame=1024[out1]"
    with av.open(picture, format="lavfi") as source, av.open(file, "w", format="flv") as target:
        video = target.add_stream("libx264", rate=30)
        video.width, video.height = (int(side) for side in size.split("x"))
        video.pix_fmt, video.gop_size = "yuv420p", 30
        video.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "keyint=30:scenecut=0"}
        audio = target.add_stream("aac", rate=44100)
        for frame in source.decode():
            stream = video if isinstance(frame, av.VideoFrame) else audio
            if isinstance(frame, av.VideoFrame):
                frame.pict_type = av.video.frame.PictureType.NONE
            target.mux(stream.encode(frame))
        target.mux(video.encode(None))
        target.mux(audio.encode(None))
    return file.getvalue()


@cache
def encoded_packets(seconds: int = 4, size: str = "160x90") -> tuple[MediaPacket, ...]:
    """Metadata, both configurations, then the file from its first key frame (at 0) to before the end of sequence."""
    packets = FlvReader().feed(encoded_flv(seconds, size))
    opening = [p for p in packets if p.is_sequence_header or p.kind is MediaKind.DATA]
    media = [p for p in packets if p not in opening and not (p.kind is MediaKind.VIDEO and p.payload[1] == 2)]
    media = media[from_key_frame(media, 0) :]
    return (*opening, *shifted(media, -media[0].timestamp_ms))


def shifted(packets: Sequence[MediaPacket], by_ms: int) -> list[MediaPacket]:
    """The same, on a clock that is ahead by so much; configurations and metadata keep their 0."""
    return [
        p
        if p.is_sequence_header or p.kind is MediaKind.DATA
        else MediaPacket(p.kind, (p.timestamp_ms + by_ms) % 2**32, p.payload)
        for p in packets
    ]


def from_key_frame(packets: Sequence[MediaPacket], number: int) -> int:
    """The index of the key frame with this number, from 0."""
    return [index for index, packet in enumerate(packets) if packet.is_keyframe][number]


class ListSink:
    """Keeps every object it is given; `stuck` ones count all of it as queued. `kernel_takes`: of each object at most so
    many bytes, or nothing ever again."""

    def __init__(self, *, stuck: bool = False) -> None:
        self.sent: list[bytes] = []
        self.stuck = stuck
        self.queued_bytes = 0
        self.aborted: str | None = None
        self.gone = trio.Event()
        self.kernel_takes: int | OSError | None = None

    @property
    def ready(self) -> Send | None:
        return None if self.queued_bytes else self._take

    def _take(self, data: bytes) -> int:
        if self.stuck:
            raise BlockingIOError
        if isinstance(self.kernel_takes, OSError):
            raise self.kernel_takes
        taken = data[: self.kernel_takes]
        self.sent.append(taken)
        return len(taken)

    def keep(self, data: bytes, taken: Taken) -> None:
        if isinstance(taken, OSError):
            self.abort("peer_reset")
        else:
            self.sent.append(data[taken:])
            self.queued_bytes += len(data) - taken

    def send_nowait(self, data: bytes) -> int:
        self.sent.append(data)
        if self.stuck:
            self.queued_bytes += len(data)
        return self.queued_bytes

    def abort(self, reason: str) -> None:
        self.aborted = reason
        self.queued_bytes = 0
        self.gone.set()

    async def wait_closed(self) -> None:
        await self.gone.wait()

    @property
    def packets(self) -> list[MediaPacket]:
        return FlvReader().feed(b"".join(self.sent)) if self.sent else []


class KeepsNothing(ListSink):
    def keep(self, data: bytes, taken: Taken) -> None:
        raise RuntimeError("nothing can be kept")


class BrokenSink(ListSink):
    def send_nowait(self, data: bytes) -> int:
        raise OSError("gone")
