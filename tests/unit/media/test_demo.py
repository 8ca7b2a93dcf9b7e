"""The test picture: it moves, it sounds, and its time runs on over the seam."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av
import pytest
import trio

from dorami_core.media.clip import (
    AUDIO_FRAMES,
    FPS,
    FRAME_SAMPLES,
    HEIGHT,
    SAMPLE_RATE,
    SECONDS,
    WIDTH,
    Clip,
    clip_path,
    load_clip,
    make_clip,
)
from dorami_core.media.demo import open_demo_packets
from dorami_core.media.flv import FlvReader
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.media.workers.testpicture import frames, opening
from dorami_core.media.workers.worker import WorkerFailed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    make_clip(folder)
    return folder


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    clip = load_clip(folder)
    assert clip is not None
    return clip


def played(clip: Clip, seconds: float) -> Iterator[MediaPacket]:
    reader = FlvReader()
    yield from reader.feed(opening(clip))
    for data in islice(frames(clip), round(seconds * FPS)):
        yield from reader.feed(data)


def test_the_clip_is_portrait_moves_in_every_frame_and_begins_a_gop_each_second(folder: Path) -> None:
    with av.open(str(clip_path(folder))) as file:
        last: bytes | None = None
        keys = []
        for number, frame in enumerate(file.decode(video=0)):
            assert (frame.width, frame.height) == (WIDTH, HEIGHT)
            picture = bytes(frame.planes[0])
            assert picture != last
            last = picture
            if frame.key_frame:
                keys.append(number)
    assert keys == list(range(0, SECONDS * FPS, FPS))
    assert clip_path(folder).stat().st_size * 8 / SECONDS < 1_500_000


def test_there_is_sound_all_the_way(folder: Path) -> None:
    with av.open(str(clip_path(folder))) as file:
        stream = file.streams.audio[0]
        assert (stream.rate, stream.layout.name, stream.profile) == (SAMPLE_RATE, "stereo", "LC")
        peaks = [max(memoryview(bytes(frame.planes[0])).cast("f")) for frame in file.decode(audio=0)]
    assert len(peaks) >= AUDIO_FRAMES - 1
    second = SAMPLE_RATE // FRAME_SAMPLES
    assert all(max(peaks[at : at + second]) > 0.05 for at in range(0, len(peaks) - second, second))
    assert max(peaks) < 0.5


def test_time_runs_on_over_the_seam_in_both_tracks(clip: Clip) -> None:
    packets = [p for p in played(clip, 2 * SECONDS + 3) if p.kind is not MediaKind.DATA and not p.is_sequence_header]
    for kind, period in ((MediaKind.VIDEO, 1000 / FPS), (MediaKind.AUDIO, FRAME_SAMPLES * 1000 / SAMPLE_RATE)):
        times = [p.timestamp_ms for p in packets if p.kind is kind]
        assert all(abs(time - number * period) <= 1 for number, time in enumerate(times))
        assert times[-1] > (2 * SECONDS + 2.9) * 1000


def test_a_player_decodes_the_loop_over_the_seam_without_a_fault(clip: Clip, tmp_path: Path) -> None:
    file = tmp_path / "loop.flv"
    parts = [opening(clip), *islice(frames(clip), (SECONDS + 2) * FPS)]
    file.write_bytes(b"".join(parts))
    with av.open(str(file)) as source:
        counts = {"video": 0, "audio": 0}
        for frame in source.decode():
            counts["video" if isinstance(frame, av.VideoFrame) else "audio"] += 1
    assert counts["video"] == (SECONDS + 2) * FPS
    assert counts["audio"] >= (SECONDS + 2) * SAMPLE_RATE // FRAME_SAMPLES - 1


def test_the_sound_at_the_seam_is_the_sound_that_would_have_followed(clip: Clip, tmp_path: Path) -> None:
    """Decoded around three times: the third round is the second one (but for the decoder's own noise), and the first
    seam has no step that is not in the music elsewhere."""
    file = tmp_path / "loop.flv"
    file.write_bytes(b"".join([opening(clip), *islice(frames(clip), 3 * SECONDS * FPS)]))
    with av.open(str(file)) as source:
        sound = [bytes(frame.planes[0]) for frame in source.decode(audio=0)]
    second, third = (b"".join(sound[turn * AUDIO_FRAMES : (turn + 1) * AUDIO_FRAMES - 3]) for turn in (1, 2))
    pairs = zip(memoryview(second).cast("f"), memoryview(third).cast("f"), strict=True)
    assert max(abs(a - b) for a, b in pairs) < 0.02
    seam = memoryview(b"".join(sound[AUDIO_FRAMES - 2 : AUDIO_FRAMES + 2])).cast("f")
    inside = memoryview(b"".join(sound[AUDIO_FRAMES + 40 : AUDIO_FRAMES + 80])).cast("f")
    assert steepest(seam) <= 1.5 * steepest(inside)


def steepest(samples: Any) -> float:
    return max(abs(b - a) for a, b in zip(samples, samples[1:], strict=False))


def test_a_clip_that_is_missing_or_not_whole_is_not_used(folder: Path, tmp_path: Path) -> None:
    assert load_clip(tmp_path) is None
    data = clip_path(folder).read_bytes()
    clip_path(tmp_path).write_bytes(data[: len(data) // 2])
    assert load_clip(tmp_path) is None


async def test_packets_come_at_once_and_at_the_pace_of_the_clock(folder: Path) -> None:
    with trio.fail_after(60):
        async with open_demo_packets(folder) as packets:
            opening = [await anext(packets) for _ in range(4)]
            assert [p.kind for p in opening[:3]] == [MediaKind.DATA, MediaKind.VIDEO, MediaKind.AUDIO]
            assert opening[3].is_keyframe
            start = trio.current_time()
            while (packet := await anext(packets)).timestamp_ms < 1000:
                continue
            assert 0.8 < trio.current_time() - start < 1.6
            assert packet.kind in (MediaKind.AUDIO, MediaKind.VIDEO)


@pytest.mark.plain_trio
async def test_the_first_use_makes_the_clip(tmp_path: Path) -> None:
    with trio.fail_after(60):
        async with open_demo_packets(tmp_path / "new") as packets:
            assert (await anext(packets)).kind is MediaKind.DATA
    assert load_clip(tmp_path / "new") is not None
    assert [file.name for file in (tmp_path / "new").iterdir()] == [clip_path(tmp_path).name]


async def test_a_killed_worker_is_an_error_of_its_own(folder: Path) -> None:
    with pytest.raises(WorkerFailed, match="exit status -9"):
        async with open_demo_packets(folder) as packets:
            await anext(packets)
            os.kill(packets.pid, signal.SIGKILL)
            async for _ in packets:
                pass
