"""The demo's picture: how long it plays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from dorami_core import demo
from dorami_core.media.packets import MediaKind, MediaPacket

KEYFRAME = MediaPacket(MediaKind.VIDEO, 0, b"\x17\x01\x00\x00\x00")


class Fallback:
    """A broadcast that cuts its fallback for `reason` once a packet has come."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.playing = trio.Event()
        self.left = False

    @asynccontextmanager
    async def fallback(self, stream_key: str) -> AsyncIterator[Fallback]:
        try:
            yield self
        finally:
            self.left = True

    def write(self, packet: MediaPacket) -> None:
        self.playing.set()

    async def wait_cut(self) -> str:
        await self.playing.wait()
        return self.reason


@asynccontextmanager
async def endless_packets(folder: Path) -> AsyncIterator[AsyncIterator[MediaPacket]]:
    async def packets() -> AsyncIterator[MediaPacket]:
        while True:
            yield KEYFRAME
            await trio.lowlevel.checkpoint()

    yield packets()


async def play(broadcast: Any, folder: Path) -> None:
    with trio.fail_after(60):
        await demo._play(broadcast, folder, trio.Event())


async def test_the_picture_ends_with_its_broadcast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "open_demo_packets", endless_packets)
    broadcast = Fallback("ended")
    await play(broadcast, tmp_path)
    assert broadcast.left


async def test_a_picture_that_was_cut_otherwise_is_played_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "open_demo_packets", endless_packets)
    with pytest.raises(RuntimeError, match="stopped"):
        await play(Fallback("stopped"), tmp_path)
