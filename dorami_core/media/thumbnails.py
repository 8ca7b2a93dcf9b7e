"""A picture of each broadcast that is on air, made anew every `media.thumbnail_s` from its last key frame alone."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import structlog
import trio

from dorami_core.base.settings import MediaSettings
from dorami_core.base.supervision import supervise
from dorami_core.media.flv import FlvReader, encode_header, encode_tag
from dorami_core.media.hub import RelayHub
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.media.workers.worker import Worker, open_worker

log = structlog.get_logger(__name__)

MODULE = "dorami_core.media.workers.thumbnail"
WIDTH = 640
ANSWER_S = 5.0
MAX_JPEG_BYTES = 2_000_000
_NAME = re.compile(r"([a-z0-9-]{4,64})\.jpg")


@attrs.frozen
class ThumbnailStatistics:
    """Counted since the start. `unchanged`: there was no new key frame; `failed`: no picture came of it."""

    made: int
    unchanged: int
    failed: int


class NoPicture(Exception):
    """The worker made none of it, or did not answer."""


class Thumbnails:
    """Made by `open_thumbnails`. The last picture of a broadcast outlives it, for lists of what was."""

    def __init__(self, hub: RelayHub, root: Path, settings: MediaSettings) -> None:
        self._hub = hub
        self._root = root
        self._interval_s = settings.thumbnail_s
        self._queue_max_bytes = settings.viewer_queue_max_bytes
        self._worker: Worker | None = None
        self._has_worker = trio.Event()
        self._asking = trio.Lock()
        self._made = self._unchanged = self._failed = 0

    def statistics(self) -> ThumbnailStatistics:
        return ThumbnailStatistics(self._made, self._unchanged, self._failed)

    async def run(self, stream_key: str) -> None:
        """Makes pictures until the broadcast's relay ends, the first as soon as there is a key frame."""
        last: bytes | None = None
        while (relay := self._hub.find(stream_key)) is not None:
            # One subscription for one look: what comes after the opening is not for us.
            with relay.subscribe(self._queue_max_bytes) as subscription:
                opening = await anext(subscription, None)
            if opening is None:
                return
            picture = key_frame_of(opening)
            if picture is None or picture == last:
                self._unchanged += 1
            else:
                last = picture
                try:
                    await self._write(stream_key, await self._ask(picture))
                    self._made += 1
                except (NoPicture, OSError) as error:
                    self._failed += 1
                    log.warning("thumbnail.failed", stream_key=stream_key, problem=str(error))
            await trio.sleep(self._interval_s)

    def file_of(self, name: str) -> Path | None:
        """The path of `{streamKey}.jpg`; None for any other name. The file itself may not be there."""
        return self._root / name if _NAME.fullmatch(name) else None

    async def serve(self) -> None:
        """Has the worker; raises when it has ended."""
        async with open_worker(MODULE, [str(WIDTH)], grace_s=0.5) as worker:
            self._worker = worker
            self._has_worker.set()
            try:
                status = await worker.wait()
            finally:
                self._worker = None
                self._has_worker = trio.Event()
            raise await worker.ended_with(status)

    async def _ask(self, flv: bytes) -> bytes:
        """NoPicture. A worker that does not answer is killed: its next answer would be to another question."""
        async with self._asking:
            worker: Worker | None = None
            answered = False
            try:
                with trio.fail_after(ANSWER_S):
                    await self._has_worker.wait()
                    worker = self._worker
                    if worker is None:
                        raise NoPicture("the worker has just ended")
                    await worker.stdin.send_all(len(flv).to_bytes(4, "big") + flv)
                    size = int.from_bytes(await _exactly(worker, 4), "big")
                    if size > MAX_JPEG_BYTES:
                        raise NoPicture("the picture is too large")
                    jpeg = await _exactly(worker, size)
                    answered = True
            except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise NoPicture(repr(error)) from error
            finally:
                if worker is not None and not answered and worker is self._worker:
                    os.kill(worker.pid, signal.SIGKILL)
        if not jpeg:
            raise NoPicture("the key frame cannot be decoded")
        return jpeg

    async def _write(self, stream_key: str, jpeg: bytes) -> None:
        def write() -> None:
            file = self._root / f"{stream_key}.jpg"
            part = file.with_suffix(".part")
            part.write_bytes(jpeg)
            part.replace(file)

        await trio.to_thread.run_sync(write)


async def _exactly(worker: Worker, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = await worker.stdout.receive_some(size - len(data))
        if not part:
            raise NoPicture("the worker ended")
        data += part
    return bytes(data)


def key_frame_of(opening: bytes) -> bytes | None:
    """As FLV the decoder configuration and the first key frame alone; None where there is no picture."""
    header: MediaPacket | None = None
    for packet in FlvReader().feed(opening):
        if packet.kind is MediaKind.VIDEO and packet.is_sequence_header:
            header = packet
        elif packet.is_keyframe and header is not None:
            # At one time always, so that the same frame gives the same bytes.
            tags = encode_tag(MediaKind.VIDEO, 0, header.payload) + encode_tag(MediaKind.VIDEO, 0, packet.payload)
            return encode_header(audio=False, video=True) + tags
    return None


@asynccontextmanager
async def open_thumbnails(hub: RelayHub, root: Path, settings: MediaSettings) -> AsyncIterator[Thumbnails]:
    """Pictures in `root`, which is made where it is not there; one worker for as long as the block runs."""
    await trio.to_thread.run_sync(lambda: root.mkdir(parents=True, exist_ok=True))
    thumbnails = Thumbnails(hub, root, settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise, "thumbnails", thumbnails.serve)
        yield thumbnails
        nursery.cancel_scope.cancel()
