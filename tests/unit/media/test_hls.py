"""HLS by a real worker from real packets, read by FFmpeg."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio
from media_parts import encoded_packets, shifted

from dorami_core.base.settings import MediaSettings
from dorami_core.media import hls as hls_module
from dorami_core.media.hls import HlsWriter, open_hls_writer
from dorami_core.media.hub import RelayHub, open_relay_hub
from dorami_core.media.packets import MediaPacket
from dorami_core.media.relay import Relay

KEY = "hls-test"
SETTINGS = MediaSettings(flv_interval_s=0.01)


@asynccontextmanager
async def writing(root: Path) -> AsyncIterator[tuple[RelayHub, HlsWriter, Relay]]:
    async with (
        open_relay_hub(SETTINGS) as hub,
        open_hls_writer(hub, root, SETTINGS) as writer,
        trio.open_nursery() as nursery,
    ):
        relay = hub.open(KEY)
        nursery.start_soon(writer.run, KEY)
        with trio.fail_after(20):
            yield hub, writer, relay
        hub.close(KEY)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.01)


async def publish(relay: Relay, packets: Sequence[MediaPacket]) -> None:
    relay.begin_source()
    await go_on(relay, packets)


async def go_on(relay: Relay, packets: Sequence[MediaPacket]) -> None:
    for start in range(0, len(packets), 40):
        for packet in packets[start : start + 40]:
            relay.write(packet)
        await trio.sleep(SETTINGS.flv_interval_s * 2)


def playlist_of(writer: HlsWriter) -> str:
    file = writer.file_of(f"{KEY}.m3u8")
    return file.read_text() if file is not None and file.exists() else ""


def segments(playlist: str) -> list[str]:
    return [line for line in playlist.splitlines() if line.endswith(".ts")]


def around_the_discontinuity(playlist: str) -> tuple[str, str]:
    """What is before and after the last one; FFmpeg may put a further one at the head of the list."""
    before, _, after = playlist.rpartition("#EXT-X-DISCONTINUITY\n")
    return before, after


def probe(file: Path, *arguments: str) -> Any:
    command = ["ffprobe", "-v", "error", "-of", "json", *arguments, str(file)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=30).stdout)


async def test_a_broadcast_becomes_a_playlist_that_plays(tmp_path: Path) -> None:
    before = datetime.now(UTC).timestamp()
    async with writing(tmp_path / "hls 100%d") as (hub, writer, relay):
        await publish(relay, encoded_packets(8))
        await until(lambda: len(segments(playlist_of(writer))) == SETTINGS.hls_window)
        text = playlist_of(writer)
        assert "#EXT-X-INDEPENDENT-SEGMENTS" in text
        assert "ENDLIST" not in text
        dates = [line.split(":", 1)[1] for line in text.splitlines() if line.startswith("#EXT-X-PROGRAM-DATE-TIME")]
        times = [datetime.strptime(date, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp() for date in dates]
        assert len(times) == SETTINGS.hls_window
        assert before - 1 < times[0] < before + 15
        assert all(0.9 < b - a < 1.1 for a, b in zip(times, times[1:], strict=False))
        assert [line for line in text.splitlines() if line.startswith("#EXTINF")] == ["#EXTINF:1.000000,"] * 6
        # Every name in it is answered by the lookup, relative to either URL.
        files = [writer.file_of(name) for name in segments(text)]
        assert all(file is not None and file.stat().st_size > 0 for file in files)
        assert await trio.to_thread.run_sync(starts_at_a_key_frame, files[2])
        hub.close(KEY)
        await until(lambda: "ENDLIST" in playlist_of(writer))
        file = writer.file_of(f"{KEY}.m3u8")
        assert file is not None
        shown = await trio.to_thread.run_sync(lambda: probe(file, "-show_streams", "-show_format", "-count_packets"))
    kinds = {stream["codec_name"]: stream for stream in shown["streams"]}
    assert set(kinds) == {"h264", "aac"}
    assert kinds["h264"]["width"] == 160
    assert float(shown["format"]["duration"]) > 4
    assert int(kinds["h264"]["nb_read_packets"]) > 120
    assert list((tmp_path / "hls 100%d").iterdir()) == []


def starts_at_a_key_frame(segment: Path) -> bool:
    packets = probe(segment, "-select_streams", "v", "-show_packets", "-read_intervals", "%+#1")["packets"]
    return "K" in packets[0]["flags"]


async def test_the_window_slides_and_old_segments_go(tmp_path: Path) -> None:
    async with writing(tmp_path / "hls") as (_, writer, relay):
        await publish(relay, encoded_packets(8))
        await go_on(relay, shifted(encoded_packets(8)[3:], 8000))
        await until(lambda: writer.statistics()[KEY].progress.get("segment_ms", 0) >= 15_000)
        folder = writer.folder_of(KEY)
        assert folder is not None
        assert len(segments(playlist_of(writer))) == SETTINGS.hls_window
        await until(lambda: len(list(folder.glob("*.ts"))) <= SETTINGS.hls_window + 5)


@pytest.mark.plain_trio
async def test_a_killed_worker_is_started_again_and_the_playlist_goes_on(tmp_path: Path) -> None:
    async with writing(tmp_path / "hls") as (_, writer, relay):
        await publish(relay, encoded_packets(8))
        await until(lambda: len(segments(playlist_of(writer))) >= 3)
        last = segments(playlist_of(writer))[-1]
        pid = writer.statistics()[KEY].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: writer.statistics()[KEY].restarts == 1)
        await until(lambda: writer.statistics()[KEY].pid not in (None, pid))
        await go_on(relay, shifted(encoded_packets(4)[3:], 8000))
        await until(lambda: all(map(segments, around_the_discontinuity(playlist_of(writer)))))
        text = playlist_of(writer)
        assert number(segments(text)[-1]) > number(last)
        numbers = [number(name) for name in segments(text)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def number(segment: str) -> int:
    return int(segment.removesuffix(".ts").rsplit("-", 1)[1])


async def test_another_source_of_another_size_follows_after_a_discontinuity(tmp_path: Path) -> None:
    async with writing(tmp_path / "hls") as (hub, writer, relay):
        await publish(relay, encoded_packets(4))
        await until(lambda: len(segments(playlist_of(writer))) >= 2)
        await publish(relay, encoded_packets(4, "320x180"))
        await until(lambda: all(map(segments, around_the_discontinuity(playlist_of(writer)))))
        assert writer.statistics()[KEY].sources == 1
        assert writer.statistics()[KEY].restarts == 0
        hub.close(KEY)
        await until(lambda: "ENDLIST" in playlist_of(writer))
        before, after = around_the_discontinuity(playlist_of(writer))
        sizes = []
        for name in (segments(before)[0], segments(after)[0]):
            file = writer.file_of(name)
            assert file is not None
            shown = await trio.to_thread.run_sync(probe, file, "-show_streams")
            sizes += [stream["width"] for stream in shown["streams"] if "width" in stream]
        assert sizes == [160, 320]


async def test_files_outlive_the_broadcast_for_a_while_and_stale_ones_go_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hls_module, "LINGER_S", 0.3)
    root = tmp_path / "hls"
    (root / "old.1").mkdir(parents=True)
    async with writing(root) as (hub, writer, relay):
        assert not (root / "old.1").exists()
        await publish(relay, encoded_packets(4))
        await until(lambda: playlist_of(writer) != "")
        hub.close(KEY)
        await until(lambda: "ENDLIST" in playlist_of(writer))
        await until(lambda: writer.folder_of(KEY) is None)
        assert list(root.iterdir()) == []


async def test_cancelled_as_the_broadcast_ends_the_files_still_linger(tmp_path: Path) -> None:
    async with open_relay_hub(SETTINGS) as hub, open_hls_writer(hub, tmp_path / "hls", SETTINGS) as writer:
        relay = hub.open(KEY)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run, KEY)
            await publish(relay, encoded_packets(4))
            await until(lambda: playlist_of(writer) != "")
            hub.close(KEY)
            nursery.cancel_scope.cancel()
        assert "ENDLIST" in playlist_of(writer)


@pytest.mark.parametrize(
    "name", ["../secret.m3u8", "hls-test.m3u8/..", "hls-test-.ts", "hls-test-1.mp4", "HLS-TEST.m3u8", "other.m3u8", ""]
)
async def test_other_names_are_not_looked_up(name: str, tmp_path: Path) -> None:
    async with writing(tmp_path / "hls") as (_, writer, _relay):
        await until(lambda: writer.folder_of(KEY) is not None)
        assert writer.file_of(name) is None
