"""HLS over a real edge: ranges, and answers that wait."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge_harness import Edge, running_edge
from polling_client import Reply, Wire

from dorami_core.testing.waiting import becomes

SEGMENT = "/hls/demo-stream-s1.m4s"
RELOAD = "/hls/demo-stream.m3u8?_HLS_msn=7&_HLS_part=1"
MEDIA = "0123456789" * 30_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "demo-stream.m3u8").write_text("#EXTM3U\n")
    (tmp_path / "demo-stream-s1.m4s").write_text(MEDIA)
    (tmp_path / "demo-stream-i1.mp4").write_text("ftyp")
    return tmp_path


async def ask(edge: Edge, path: str, **headers: str) -> Reply:
    return await Wire(await edge.connect(), edge.port).ask("GET", path, **headers)


async def wait_for(edge: Edge, waiting: int) -> None:
    await becomes(lambda: edge.video.waiting == waiting)


@pytest.mark.parametrize(
    ("wanted", "begin", "end"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, 300_000),
        ("bytes=-50", 299_950, 300_000),
        ("bytes=5-9999999", 5, 300_000),
    ],
)
async def test_one_range_of_a_segment(folder: Path, wanted: str, begin: int, end: int) -> None:
    async with running_edge(folder) as edge:
        reply = await ask(edge, SEGMENT, Range=wanted)
        assert (reply.status, reply.text) == (206, MEDIA[begin:end])
        assert reply.headers["content-range"] == f"bytes {begin}-{end - 1}/300000"
        assert reply.headers["accept-ranges"] == "bytes"
        assert reply.headers["content-type"] == "video/mp4"


async def test_ranges_that_are_none(folder: Path) -> None:
    async with running_edge(folder) as edge:
        reply = await ask(edge, SEGMENT, Range="bytes=300000-")
        assert (reply.status, reply.headers["content-range"]) == (416, "bytes */300000")
        for wanted in ("bytes=0-1,5-9", "bytes=9-5", "lines=1-2", "bytes=-"):
            reply = await ask(edge, SEGMENT, Range=wanted)
            assert (reply.status, len(reply.text)) == (200, 300_000)
        reply = await ask(edge, SEGMENT, Range="bytes=0-99", If_Range='"other"')
        assert (reply.status, len(reply.text)) == (200, 300_000)


async def test_a_reload_waits_and_ends_with_its_client(folder: Path) -> None:
    async with running_edge(folder) as edge:
        leaving, staying = Wire(await edge.connect(), edge.port), Wire(await edge.connect(), edge.port)
        await leaving.send("GET", RELOAD)
        await staying.send("GET", RELOAD)
        await wait_for(edge, 2)
        await leaving.stream.aclose()
        await wait_for(edge, 1)
        edge.video.news.set()
        reply = await staying.reply()
        assert (reply.status, reply.text) == (200, "#EXTM3U\n")
        # Whoever asks for the same gets the same, so a cache may keep it.
        assert reply.headers["cache-control"] == "public, max-age=6"
        assert edge.counters.disconnects["http_error"] == 1


async def test_a_request_behind_one_that_waits_is_answered_after_it(folder: Path) -> None:
    async with running_edge(folder) as edge:
        wire = Wire(await edge.connect(), edge.port)
        await wire.send("GET", RELOAD)
        await wire.send("GET", "/hls/demo-stream-i1.mp4")
        await wait_for(edge, 1)
        edge.video.news.set()
        assert [(await wire.reply()).text for _ in range(2)] == ["#EXTM3U\n", "ftyp"]
