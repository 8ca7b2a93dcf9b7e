"""What the seller is told of the signal, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from dorami_core.ingest.meter import LONGEST_KEYFRAME_INTERVAL_MS, IngestMeter
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.testing.clock import ManualClock

FRAME_BYTES = 10_000
FPS = 30


def frame(at_ms: int, *, is_key: bool = False) -> MediaPacket:
    body = (b"\x17" if is_key else b"\x27") + b"\x01\x00\x00\x00"
    return MediaPacket(MediaKind.VIDEO, at_ms % 2**32, body + bytes(FRAME_BYTES - len(body)))


def play(
    meter: IngestMeter,
    clock: ManualClock,
    frames: Iterable[int],
    *,
    gop: int = 60,
    start_ms: int = 0,
    speed: float = 1.0,
) -> None:
    """These frames of a 30 fps picture, each in its time; at `speed` media takes so much longer to come."""
    last = None
    for number in frames:
        clock.advance((number - (number - 1 if last is None else last)) / FPS / speed)
        last = number
        meter.add(frame(start_ms + number * 1000 // FPS, is_key=number % gop == 0))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.mark.parametrize("start_ms", [0, 2**32 - 4000])
def test_a_good_signal(clock: ManualClock, start_ms: int) -> None:
    meter = IngestMeter(clock)
    play(meter, clock, range(FPS * 20), start_ms=start_ms)
    found = meter.statistics()
    assert found.verdict == "GOOD"
    assert abs(found.frames_per_second - FPS) < 1
    assert abs(found.bitrate_bps - FPS * FRAME_BYTES * 8) < FRAME_BYTES * 8
    assert abs(found.media_rate - 1) < 0.02
    assert (found.keyframe_interval_ms, found.dropped_frames) == (2000, 0)


def test_key_frames_that_are_too_far_apart(clock: ManualClock) -> None:
    meter = IngestMeter(clock)
    play(meter, clock, range(FPS * 4), gop=FPS * 10)
    assert meter.statistics().keyframe_interval_ms is None
    play(meter, clock, range(FPS * 4, FPS * 6), gop=FPS * 10)
    found = meter.statistics()
    assert found.keyframe_interval_ms is not None
    assert found.keyframe_interval_ms > LONGEST_KEYFRAME_INTERVAL_MS, "before the second one has come"
    assert found.verdict == "LONG_KEYFRAMES"
    play(meter, clock, range(FPS * 6, FPS * 11), gop=FPS * 10)
    assert meter.statistics().keyframe_interval_ms == 10_000
    play(meter, clock, range(FPS * 11, FPS * 15), gop=FPS * 2)
    assert meter.statistics().verdict == "GOOD"


def test_four_seconds_are_no_reason_to_warn(clock: ManualClock) -> None:
    meter = IngestMeter(clock)
    play(meter, clock, range(FPS * 13), gop=FPS * 4)
    found = meter.statistics()
    assert (found.verdict, found.keyframe_interval_ms) == ("GOOD", 4000)


def test_frames_left_out_are_counted_by_their_gaps(clock: ManualClock) -> None:
    meter = IngestMeter(clock)
    play(meter, clock, (number for number in range(FPS * 10) if number % 10 != 5 or number < FPS * 5))
    found = meter.statistics()
    assert found.dropped_frames == 15
    assert found.dropped_share == pytest.approx(0.1, abs=0.02)
    assert found.verdict == "SLOW"


def test_an_upload_that_is_too_slow(clock: ManualClock) -> None:
    meter = IngestMeter(clock)
    play(meter, clock, range(FPS * 6))
    play(meter, clock, range(FPS * 6, FPS * 11), speed=0.8)
    found = meter.statistics()
    assert found.media_rate == pytest.approx(0.8, abs=0.03)
    assert (found.verdict, found.dropped_frames) == ("SLOW", 0)


def test_silence(clock: ManualClock) -> None:
    meter = IngestMeter(clock)
    play(meter, clock, range(FPS * 6))
    clock.advance(2.5)
    assert meter.statistics().verdict == "SILENT"
    clock.advance(60)
    assert meter.statistics().bitrate_bps == 0


def test_sound_alone_is_no_slow_picture(clock: ManualClock) -> None:
    meter = IngestMeter(clock)
    for number in range(400):
        clock.advance(0.023)
        meter.add(MediaPacket(MediaKind.AUDIO, number * 23, b"\xaf\x01" + bytes(300)))
    found = meter.statistics()
    assert (found.verdict, found.frames_per_second, found.keyframe_interval_ms) == ("GOOD", 0, None)
    assert found.bitrate_bps > 90_000


@pytest.mark.parametrize("jump_ms", [-30_000, 60_000])
def test_a_jump_of_the_encoders_clock_is_no_gap(clock: ManualClock, jump_ms: int) -> None:
    meter = IngestMeter(clock)
    play(meter, clock, range(FPS * 10), start_ms=40_000)
    play(meter, clock, range(FPS * 10, FPS * 20), start_ms=40_000 + jump_ms)
    found = meter.statistics()
    assert (found.verdict, found.dropped_frames, found.keyframe_interval_ms) == ("GOOD", 0, 2000)
