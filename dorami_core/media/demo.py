"""The demo's source: a moving picture with sound, as packets of a publisher."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dorami_core.media.flv import FlvReader
from dorami_core.media.packets import MediaPacket
from dorami_core.media.workers.worker import READ_BYTES, Worker, open_worker


class DemoPackets:
    """An async iterator of packets, in real time. WorkerFailed when the worker has ended."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._reader = FlvReader()
        self._packets: deque[MediaPacket] = deque()

    @property
    def pid(self) -> int:
        return self._worker.pid

    def __aiter__(self) -> DemoPackets:
        return self

    async def __anext__(self) -> MediaPacket:
        while not self._packets:
            data = await self._worker.stdout.receive_some(READ_BYTES)
            if not data:
                raise await self._worker.ended_with(await self._worker.wait())
            self._packets.extend(self._reader.feed(data))
        return self._packets.popleft()


@asynccontextmanager
async def open_demo_packets(folder: Path) -> AsyncIterator[DemoPackets]:
    """The test picture for as long as the block runs; its clip is kept in `folder`.

    The first packet comes after some 0.2 s, or after the 3 s that making the clip takes once. What is not read in time
    is not queued: the worker waits, and goes on from the present.
    """
    async with open_worker("dorami_core.media.workers.testpicture", [str(folder)], grace_s=0.5) as worker:
        yield DemoPackets(worker)
