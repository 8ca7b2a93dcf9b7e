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
from playlist_rules import SeenPlaylist, broken_rules, broken_succession, read

from dorami_core.base.errors import DoramiError
from dorami_core.base.settings import MediaSettings
from dorami_core.media import hls as hls_module
from dorami_core.media.hls import HlsWriter, open_hls_writer
from dorami_core.media.hub import RelayHub, open_relay_hub
from dorami_core.media.packets import MediaPacket
from dorami_core.media.relay import Relay

KEY = "hls-test"
SETTINGS = MediaSettings(flv_interval_s=0.01)


@asynccontextmanager
async def writing() -> AsyncIterator[tuple[RelayHub, HlsWriter, Relay]]:
    async with (
        open_relay_hub(SETTINGS) as hub,
        open_hls_writer(hub, SETTINGS) as writer,
        trio.open_nursery() as nursery,
    ):
        relay = hub.open(KEY)
        nursery.start_soon(writer.run, KEY)
        with trio.fail_after(60):
            yield hub, writer, relay
        hub.close(KEY)


async def ask(writer: HlsWriter, name: str, **query: str) -> bytes:
    return await writer.read(name, query, trio.sleep_forever)


async def text_of(writer: HlsWriter) -> str:
    try:
        return (await ask(writer, f"{KEY}.m3u8")).decode()
    except DoramiError:
        return ""


async def seen_when(writer: HlsWriter, condition: Callable[[SeenPlaylist], bool]) -> SeenPlaylist:
    """The first playlist that is so."""
    with trio.fail_after(60):
        while True:
            text = await text_of(writer)
            if text:
                assert broken_rules(text) == []
                seen = read(text)
                if condition(seen):
                    return seen
            await trio.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(60):
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


def probe(file: Path, *arguments: str) -> Any:
    command = ["ffprobe", "-v", "error", "-of", "json", *arguments, str(file)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=30).stdout)


async def fetched(writer: HlsWriter, seen: SeenPlaylist, folder: Path, *, since: int = 0) -> Path:
    """The segments of one discontinuity, from `since` on, behind their section, as one file."""
    discontinuity = seen.segments[-1].discontinuity
    wanted = [one for one in seen.complete if one.discontinuity == discontinuity and one.number >= since]
    file = folder / f"{wanted[0].number}.mp4"
    parts = [await ask(writer, str(wanted[0].section)), *[await ask(writer, str(one.uri)) for one in wanted]]
    file.write_bytes(b"".join(parts))
    return file


async def test_a_broadcast_becomes_a_playlist_that_plays(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    async with writing() as (hub, writer, relay):
        await publish(relay, encoded_packets(8))
        seen = await seen_when(writer, lambda seen: len(seen.complete) == SETTINGS.hls_window)
        assert [one.duration for one in seen.complete] == [1.0] * 6
        assert len([part for part in seen.complete[-1].parts]) == 3
        dates = [one.date for one in seen.segments if one.date is not None]
        assert [(after - date).total_seconds() for date, after in zip(dates, dates[1:], strict=False)] == [1.0] * 6
        # All of it came at once here, so the first one is nearly now.
        assert abs((dates[0] - before).total_seconds()) < 10
        for one in seen.segments:
            in_parts = [await ask(writer, part.uri) for part in one.parts]
            if one.uri is not None and in_parts:
                assert await ask(writer, one.uri) == b"".join(in_parts)
        assert await trio.to_thread.run_sync(
            starts_at_a_key_frame, await fetched(writer, seen, tmp_path, since=seen.sequence + 2)
        )
        hub.close(KEY)
        seen = await seen_when(writer, lambda seen: seen.has_ended)
        file = await fetched(writer, seen, tmp_path)
        shown = await trio.to_thread.run_sync(lambda: probe(file, "-show_streams", "-show_packets"))
    kinds = {stream["codec_name"]: stream for stream in shown["streams"]}
    assert set(kinds) == {"h264", "aac"}
    assert kinds["h264"]["width"] == 160
    for index in (0, 1):
        times = [float(packet["dts_time"]) for packet in shown["packets"] if packet["stream_index"] == index]
        assert len(times) > 120
        assert all(0 < after - time < 0.05 for time, after in zip(times, times[1:], strict=False))
    assert await trio.to_thread.run_sync(decodes, file)


def decodes(file: Path) -> bool:
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", str(file), "-f", "null", "-"]
    run = subprocess.run(command, capture_output=True, timeout=30, check=False)
    return run.returncode == 0 and run.stderr == b""


def starts_at_a_key_frame(file: Path) -> bool:
    packets = probe(file, "-select_streams", "v", "-show_packets", "-read_intervals", "%+#1")["packets"]
    return "K" in packets[0]["flags"]


async def test_the_window_slides_and_old_segments_go() -> None:
    async with writing() as (_, writer, relay):
        await publish(relay, encoded_packets(8))
        seen = await seen_when(writer, lambda seen: len(seen.complete) == SETTINGS.hls_window)
        first = seen.complete[0]
        await go_on(relay, shifted(encoded_packets(8)[3:], 8000))
        await go_on(relay, shifted(encoded_packets(8)[3:], 16000))
        seen = await seen_when(writer, lambda seen: seen.sequence >= first.number + 14)
        assert len(seen.complete) == SETTINGS.hls_window
        with pytest.raises(DoramiError, match="NOT_FOUND"):
            await ask(writer, str(first.uri))
        assert await ask(writer, str(seen.complete[0].section))
        assert writer.statistics()[KEY].parts <= (2 * SETTINGS.hls_window + 3) * 3


async def test_a_reload_waits_for_a_part_that_a_worker_makes() -> None:
    async with writing() as (_, writer, relay):
        await publish(relay, encoded_packets(4))
        before = await text_of_complete(writer)
        seen = read(before)
        open_one = seen.segments[-1]
        assert open_one.uri is None
        asked = {"_HLS_msn": str(open_one.number), "_HLS_part": str(len(open_one.parts))}
        texts = []

        async def reload() -> None:
            texts.append((await ask(writer, f"{KEY}.m3u8", **asked)).decode())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reload)
            await until(lambda: writer.statistics()[KEY].waiting == 1)
            await go_on(relay, shifted(encoded_packets(1)[3:], 4000))
        assert broken_succession(before, texts[0]) == []
        assert seen.hint in [part.uri for part in read(texts[0]).parts]
        assert await ask(writer, str(seen.hint))


async def text_of_complete(writer: HlsWriter) -> str:
    """Once all that four seconds make is there: three segments, and parts of the fourth but its last frames."""
    await seen_when(writer, lambda seen: len(seen.complete) == 3 and len(seen.segments[-1].parts) == 2)
    return await text_of(writer)


@pytest.mark.plain_trio
async def test_a_killed_worker_is_started_again_and_the_playlist_goes_on(tmp_path: Path) -> None:
    async with writing() as (_, writer, relay):
        await publish(relay, encoded_packets(8))
        before = await seen_when(writer, lambda seen: len(seen.complete) >= 3)
        pid = writer.statistics()[KEY].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: writer.statistics()[KEY].restarts == 1)
        await until(lambda: writer.statistics()[KEY].pid not in (None, pid))
        await go_on(relay, shifted(encoded_packets(4)[3:], 8000))
        seen = await seen_when(
            writer, lambda seen: seen.segments[-1].discontinuity == 1 and seen.segments[-1].uri is None
        )
        assert seen.target == before.target
        await go_on(relay, shifted(encoded_packets(2)[3:], 12000))
        seen = await seen_when(writer, lambda seen: any(one.discontinuity == 1 for one in seen.complete))
        assert await trio.to_thread.run_sync(decodes, await fetched(writer, seen, tmp_path))


async def test_another_source_of_another_size_follows_after_a_discontinuity(tmp_path: Path) -> None:
    async with writing() as (hub, writer, relay):
        await publish(relay, encoded_packets(4))
        before = await seen_when(writer, lambda seen: len(seen.complete) >= 2)
        first = await fetched(writer, before, tmp_path)
        await publish(relay, encoded_packets(4, "320x180"))
        await until(lambda: writer.statistics()[KEY].sources == 1 and writer.statistics()[KEY].pid is not None)
        await go_on(relay, shifted(encoded_packets(4, "320x180")[3:], 4000))
        await seen_when(writer, lambda seen: any(one.discontinuity == 1 for one in seen.complete))
        assert (writer.statistics()[KEY].sources, writer.statistics()[KEY].restarts) == (1, 0)
        hub.close(KEY)
        seen = await seen_when(writer, lambda seen: seen.has_ended)
        second = await fetched(writer, seen, tmp_path)
        assert before.complete[0].section != seen.complete[-1].section
        sizes, times = [], []
        for file in (first, second):
            shown = await trio.to_thread.run_sync(lambda file=file: probe(file, "-show_streams", "-show_packets"))
            sizes += [stream["width"] for stream in shown["streams"] if "width" in stream]
            times.append([float(p["dts_time"]) for p in shown["packets"] if p["stream_index"] == 0])
        assert sizes == [160, 320]
        assert times[1][0] > times[0][-1], "time goes on over the change"


async def test_a_configuration_said_again_is_nothing_new_and_another_one_is() -> None:
    packets = encoded_packets(4)
    headers = [packet for packet in packets if packet.is_sequence_header]
    repeated = [again for packet in packets for again in ([*headers, packet] if packet.is_keyframe else [packet])]
    async with writing() as (_, writer, relay):
        await publish(relay, repeated)
        await seen_when(writer, lambda seen: len(seen.complete) == 3)
        assert writer.statistics()[KEY].restarts == 0
        await go_on(relay, shifted(encoded_packets(4, "320x180"), 4000))
        seen = await seen_when(writer, lambda seen: seen.segments[-1].discontinuity == 1)
        assert writer.statistics()[KEY].restarts == 1
        assert seen.segments[-1].section != seen.segments[0].section


async def test_all_stays_for_a_while_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hls_module, "LINGER_S", 0.3)
    async with writing() as (hub, writer, relay):
        await publish(relay, encoded_packets(4))
        seen = await seen_when(writer, lambda seen: True)
        hub.close(KEY)
        await seen_when(writer, lambda seen: seen.has_ended)
        assert await ask(writer, str(seen.complete[0].uri))
        await until(lambda: writer.statistics() == {})
        assert await text_of(writer) == ""


async def test_cancelled_as_the_broadcast_ends_it_still_lingers() -> None:
    async with open_relay_hub(SETTINGS) as hub, open_hls_writer(hub, SETTINGS) as writer:
        relay = hub.open(KEY)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run, KEY)
            await publish(relay, encoded_packets(4))
            await seen_when(writer, lambda seen: True)
            hub.close(KEY)
            nursery.cancel_scope.cancel()
        assert "ENDLIST" in await text_of(writer)


@pytest.mark.parametrize(
    "name",
    ["../secret.m3u8", "hls-test.m3u8/..", "hls-test-s.m4s", "hls-test-1.mp4", "HLS-TEST.m3u8", "other.m3u8", ""],
)
async def test_other_names_are_not_looked_up(name: str) -> None:
    async with writing() as (_, writer, relay):
        await publish(relay, encoded_packets(4))
        await seen_when(writer, lambda seen: True)
        with pytest.raises(DoramiError, match="NOT_FOUND"):
            await ask(writer, name)
