"""What stands in for a publisher that is gone: a still picture and silence, in the broadcast's own format."""

from __future__ import annotations

import attrs
import trio

from dorami_core.media.flv import FlvReader
from dorami_core.media.packets import MediaKind
from dorami_core.media.workers.worker import READ_BYTES, WorkerFailed, open_worker

FRAME_SAMPLES = 1024
MAKING_LIMIT_S = 20.0
MAX_BYTES = 16_000_000


@attrs.frozen
class Slate:
    """Payloads of FLV tags. `video` is one GOP, empty for a broadcast without a picture; `silence` one AAC frame that
    can follow itself. `frame_ms` and `silence_ms` are their lengths."""

    video_header: bytes
    video: tuple[bytes, ...]
    frame_ms: float
    audio_header: bytes
    silence: bytes
    silence_ms: float


def read_slate(flv: bytes) -> Slate:
    """What the worker wrote; ValueError where something is missing."""
    headers: dict[MediaKind, bytes] = {}
    frames: dict[MediaKind, list[bytes]] = {MediaKind.VIDEO: [], MediaKind.AUDIO: []}
    times: list[int] = []
    for packet in FlvReader().feed(flv):
        if packet.is_sequence_header:
            headers[packet.kind] = packet.payload
        elif packet.kind is MediaKind.VIDEO and packet.payload[1] == 1:
            frames[packet.kind].append(packet.payload)
            times.append(packet.timestamp_ms)
        elif packet.kind is MediaKind.AUDIO:
            frames[packet.kind].append(packet.payload)
    video, audio = frames[MediaKind.VIDEO], frames[MediaKind.AUDIO]
    if MediaKind.AUDIO not in headers or not audio or (video and MediaKind.VIDEO not in headers):
        raise ValueError("a slate without configurations or sound")
    return Slate(
        video_header=headers.get(MediaKind.VIDEO, b""),
        video=tuple(video),
        frame_ms=(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 1000 / 30,
        audio_header=headers[MediaKind.AUDIO],
        silence=audio[-1],
        silence_ms=FRAME_SAMPLES * 1000 / _sampling_rate(headers[MediaKind.AUDIO]),
    )


def _sampling_rate(header: bytes) -> int:
    """From the AudioSpecificConfig (ISO 14496-3, 1.6.2.1): five bits of object type, four of the rate's index."""
    rates = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
    index = (int.from_bytes(header[2:4], "big") >> 7) & 0x0F
    return rates[index] if index < len(rates) else 44100


async def make_slate(opening: bytes) -> Slate:
    """The slate of a broadcast whose FLV begins like this, with a whole key frame in it; half a second of work in a
    process of its own. WorkerFailed where it cannot be made."""
    out = bytearray()
    async with open_worker("dorami_core.media.workers.slate", grace_s=0.5) as worker:
        with trio.move_on_after(MAKING_LIMIT_S) as limit:
            async with trio.open_nursery() as nursery:

                async def write() -> None:
                    try:
                        await worker.stdin.send_all(opening)
                        await worker.stdin.aclose()
                    except trio.BrokenResourceError:
                        return  # it has ended; its status says how

                nursery.start_soon(write)
                while len(out) < MAX_BYTES and (data := await worker.stdout.receive_some(READ_BYTES)):
                    out += data
            status = await worker.wait()
        if limit.cancelled_caught:
            raise WorkerFailed(worker.module, f"made no slate in {MAKING_LIMIT_S:g} s", worker.stderr_tail)
        if status != 0:
            raise await worker.ended_with(status)
    try:
        return read_slate(bytes(out))
    except ValueError as error:
        raise WorkerFailed(worker.module, str(error), "") from None
