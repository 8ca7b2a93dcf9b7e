"""What the tests of the RTMP server share: a gate that remembers, and chunks written apart from the code under test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import trio

from dorami_core.ingest import amf0
from dorami_core.ingest.gate import PublishRefused, PublishRequest, RefusalCode
from dorami_core.ingest.messages import Message
from dorami_core.media.packets import MediaKind, MediaPacket

SECRET = "s3cr+t/="
AVC_HEADER = b"\x17\x00\x00\x00\x00\x01\x64\x00\x1f"
KEYFRAME = b"\x17\x01\x00\x00\x00" + b"k" * 100
FRAME = b"\x27\x01\x00\x00\x00" + b"p" * 50
AAC_HEADER = b"\xaf\x00\x12\x10"
SOUND = b"\xaf\x01" + b"s" * 30
METADATA = amf0.encode("onMetaData", amf0.EcmaArray(width=1280, height=720))


def video(payload: bytes = FRAME, at: int = 0) -> MediaPacket:
    return MediaPacket(MediaKind.VIDEO, at, payload)


class Recorder:
    """A publication that keeps what it gets."""

    def __init__(self, request: PublishRequest) -> None:
        self.request = request
        self.packets: list[MediaPacket] = []
        self.finished = False
        self.round_trips: list[float] = []
        self.refused_codec: tuple[MediaKind, str] | None = None
        self.error: Exception | None = None
        self.left = trio.Event()
        self._cut = trio.Event()
        self._reason = ""
        self._news = trio.Event()

    def write(self, packet: MediaPacket) -> None:
        if self.error is not None:
            raise self.error
        self.packets.append(packet)
        self._news.set()
        self._news = trio.Event()

    def finish(self) -> None:
        self.finished = True

    def note_round_trip(self, seconds: float) -> None:
        self.round_trips.append(seconds)
        self._news.set()
        self._news = trio.Event()

    def note_codec(self, kind: MediaKind, codec: str) -> None:
        self.refused_codec = kind, codec

    async def wait_cut(self) -> str:
        await self._cut.wait()
        return self._reason

    def cut(self, reason: str) -> None:
        self._reason = reason
        self._cut.set()

    async def wait_packets(self, count: int) -> None:
        while len(self.packets) < count:
            await self._news.wait()

    async def wait_round_trip(self) -> None:
        while not self.round_trips:
            await self._news.wait()


class FakeGate:
    """Lets in who knows SECRET. `answer` keeps everybody waiting until it is set; `refuse_with` refuses."""

    def __init__(self, refuse_with: RefusalCode | None = None, *, waiting: bool = False) -> None:
        self.requests: list[PublishRequest] = []
        self.publications: list[Recorder] = []
        self.refuse_with = refuse_with
        self.asked = trio.Event()
        self.entered = trio.Event()
        self.answer = trio.Event()
        if not waiting:
            self.answer.set()

    @asynccontextmanager
    async def publish(self, request: PublishRequest) -> AsyncIterator[Recorder]:
        self.requests.append(request)
        self.asked.set()
        await self.answer.wait()
        if request.secret != SECRET:
            raise PublishRefused("wrong_secret")
        if self.refuse_with is not None:
            raise PublishRefused(self.refuse_with)
        recorder = Recorder(request)
        self.publications.append(recorder)
        self.entered.set()
        try:
            yield recorder
        finally:
            recorder.left.set()

    @property
    def last(self) -> Recorder:
        return self.publications[-1]


def basic_header(fmt: int, chunk_stream_id: int) -> bytes:
    if chunk_stream_id <= 63:
        return bytes([fmt << 6 | chunk_stream_id])
    if chunk_stream_id <= 319:
        return bytes([fmt << 6 | 0, chunk_stream_id - 64])
    rest = chunk_stream_id - 64
    return bytes([fmt << 6 | 1, rest % 256, rest // 256])


class SpecChunks:
    """Writes chunks by the letter of RTMP 1.0, 5.3, with every header form that is allowed where it stands."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.chunk_size = 128
        self._last: dict[int, tuple[Message, int]] = {}

    def header(self, chunk_stream_id: int, message: Message) -> tuple[bytes, bytes]:
        """The first chunk's header, and that of all further ones of the message."""
        size = len(message.payload)
        forms = [(0, message.timestamp)]
        known = self._last.get(chunk_stream_id)
        if known is not None and known[0].stream_id == message.stream_id:
            last, last_field = known
            delta = (message.timestamp - last.timestamp) % 2**32
            forms.append((1, delta))
            if (len(last.payload), last.type_id) == (size, message.type_id):
                forms.append((2, delta))
                if last_field == delta:
                    forms.append((3, delta))
        fmt, field = self._random.choice(forms)
        self._last[chunk_stream_id] = (message, field)
        extended = field.to_bytes(4, "big") if field >= 0xFFFFFF else b""
        head = basic_header(fmt, chunk_stream_id)
        if fmt < 3:
            head += min(field, 0xFFFFFF).to_bytes(3, "big")
        if fmt < 2:
            head += size.to_bytes(3, "big") + bytes([message.type_id])
        if fmt == 0:
            head += message.stream_id.to_bytes(4, "little")
        return head + extended, basic_header(3, chunk_stream_id) + extended

    def set_chunk_size(self, size: int) -> bytes:
        value, step = size.to_bytes(4, "big"), self.chunk_size
        self.chunk_size = size
        parts = [value[at : at + step] for at in range(0, 4, step)]
        return b"\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00" + b"\xc2".join(parts)

    def interleave(self, queues: dict[int, list[Message]], sizes: list[int]) -> tuple[bytes, list[Message]]:
        """The messages of several chunk streams in any order; also the order in which they end."""
        out = bytearray()
        ended: list[Message] = []
        open_: dict[int, tuple[Message, int, bytes]] = {}
        waiting = {number: list(queue) for number, queue in queues.items() if queue}
        sizes = list(sizes)
        while waiting or open_:
            if sizes and self._random.random() < 0.2:
                out += self.set_chunk_size(sizes.pop())
            number = self._random.choice(sorted(waiting.keys() | open_.keys()))
            if number in open_:
                message, at, head = open_.pop(number)
                again = head
            else:
                message, at = waiting[number].pop(0), 0
                if not waiting[number]:
                    del waiting[number]
                head, again = self.header(number, message)
            out += head + message.payload[at : at + self.chunk_size]
            at += self.chunk_size
            if at < len(message.payload):
                open_[number] = (message, at, again)
            else:
                ended.append(message)
        return bytes(out), ended


def cut_up(data: bytes, random: Random) -> list[bytes]:
    """The same bytes in pieces, as a network might bring them."""
    count = random.choice([0, 1, 5, 40])
    points = sorted(random.randrange(len(data) + 1) for _ in range(count))
    return [data[a:b] for a, b in zip([0, *points], [*points, len(data)], strict=True)]
