"""Thumbnails by a real worker, read as pictures."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import pytest
import trio
from media_parts import encoded_flv, encoded_packets, from_key_frame
from PIL import Image

from dorami_core.base.errors import DoramiError
from dorami_core.base.settings import MediaSettings
from dorami_core.edge.http1 import Request
from dorami_core.edge.video import read_hls
from dorami_core.media.hls import open_hls_writer
from dorami_core.media.hub import RelayHub, open_relay_hub
from dorami_core.media.out import VideoOut
from dorami_core.media.thumbnails import Thumbnails, key_frame_of, open_thumbnails

KEY = "show-one"
SETTINGS = MediaSettings(flv_interval_s=0.01, thumbnail_s=0.05)


@asynccontextmanager
async def making(root: Path) -> AsyncIterator[tuple[RelayHub, Thumbnails]]:
    async with (
        open_relay_hub(SETTINGS) as hub,
        open_thumbnails(hub, root, SETTINGS) as thumbnails,
        trio.open_nursery() as nursery,
    ):
        hub.open(KEY)
        nursery.start_soon(thumbnails.run, KEY)
        with trio.fail_after(60):
            yield hub, thumbnails
        nursery.cancel_scope.cancel()
        hub.close(KEY)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not condition():
            await trio.sleep(0.01)


def size_of(file: Path) -> tuple[int, int]:
    """(0, 0) while there is none."""
    if not file.exists():
        return (0, 0)
    with Image.open(file) as picture:
        return picture.size


async def publish(hub: RelayHub, size: str, key_frames: int = 1) -> None:
    relay = hub.find(KEY)
    assert relay is not None
    packets = encoded_packets(4, size)
    relay.begin_source()
    for packet in packets[: from_key_frame(packets, key_frames)]:
        relay.write(packet)
    await trio.sleep(SETTINGS.flv_interval_s * 3)


async def test_a_picture_comes_with_each_new_key_frame(tmp_path: Path) -> None:
    async with making(tmp_path / "thumbnails") as (hub, thumbnails):
        file = thumbnails.file_of(f"{KEY}.jpg")
        assert file is not None
        assert not file.exists()
        await publish(hub, "320x180")
        await until(lambda: thumbnails.statistics().made == 1)
        first = file.read_bytes()
        picture = Image.open(BytesIO(first))
        assert (picture.format, picture.size) == ("JPEG", (320, 180))
        assert len(picture.convert("RGB").resize((32, 18)).getcolors(1000) or []) > 50, "it is not blank"
        await until(lambda: thumbnails.statistics().unchanged > 2)
        assert thumbnails.statistics().made == 1, "the same key frame is not decoded again"
        await publish(hub, "320x180", key_frames=3)
        await until(lambda: thumbnails.statistics().made > 1)
        await until(lambda: file.read_bytes() != first)
        assert list(file.parent.glob("*.part")) == []


async def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    async with making(tmp_path) as (hub, thumbnails):
        await publish(hub, "1280x720")
        await until(lambda: thumbnails.statistics().made == 1)
        assert size_of(tmp_path / f"{KEY}.jpg") == (640, 360)


async def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    async with making(tmp_path) as (hub, thumbnails):
        await publish(hub, "320x180")
        await until(lambda: thumbnails.statistics().made == 1)
        assert thumbnails._worker is not None
        os.kill(thumbnails._worker.pid, signal.SIGKILL)
        await publish(hub, "160x90", key_frames=2)
        await until(lambda: size_of(tmp_path / f"{KEY}.jpg")[0] == 160)


async def test_what_cannot_be_decoded_is_no_picture_and_no_end(tmp_path: Path) -> None:
    async with making(tmp_path) as (hub, thumbnails):
        relay = hub.find(KEY)
        assert relay is not None
        good = encoded_packets(4, "160x90")
        relay.begin_source()
        for packet in good[: from_key_frame(good, 1)]:
            broken = bytes([*packet.payload[:5], *os.urandom(200)]) if packet.is_keyframe else packet.payload
            relay.write(type(packet)(packet.kind, packet.timestamp_ms, broken))
        await until(lambda: thumbnails.statistics().failed + thumbnails.statistics().made > 0)
        await publish(hub, "320x180")
        await until(lambda: size_of(tmp_path / f"{KEY}.jpg")[0] == 320)


async def test_the_edge_gives_it_out_to_be_kept_for_seconds(tmp_path: Path) -> None:
    async with making(tmp_path / "pictures") as (hub, thumbnails):
        async with open_hls_writer(hub, SETTINGS) as hls:
            await publish(hub, "320x180")
            await until(lambda: thumbnails.statistics().made == 1)
            name, video = f"{KEY}.jpg", VideoOut(hub, hls, thumbnails)
            request = Request("GET", f"/hls/{name}", {}, {}, "127.0.0.1")
            with socket.socket() as sock:
                answer = await read_hls(request, name, sock, video)
                with pytest.raises(DoramiError, match="NOT_FOUND"):
                    await read_hls(request, "show-two.jpg", sock, video)
    headers = dict(answer.headers)
    assert (headers["Content-Type"], headers["Cache-Control"]) == ("image/jpeg", "public, max-age=10")
    assert answer.body[:2] == b"\xff\xd8"
    assert thumbnails.file_of("../secret.jpg") is None
    assert thumbnails.file_of("show-one.png") is None


def test_only_the_key_frame_is_taken() -> None:
    opening = encoded_flv(2, "160x90")
    picture = key_frame_of(opening)
    assert picture is not None
    assert len(picture) < len(opening) / 3
    assert key_frame_of(picture) == picture
    assert key_frame_of(opening[:13]) is None
