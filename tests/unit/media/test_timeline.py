"""Continuous time for viewers over every trick of a publisher's clock."""

from __future__ import annotations

from collections.abc import Iterable

from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.media.timeline import JUMP_MS, SEAM_MS, Timeline


def video(time: int) -> MediaPacket:
    return MediaPacket(MediaKind.VIDEO, time % 2**32, b"\x27\x01\x00\x00\x00x")


def audio(time: int) -> MediaPacket:
    return MediaPacket(MediaKind.AUDIO, time % 2**32, b"\xaf\x01x")


def stamps(timeline: Timeline, packets: Iterable[MediaPacket]) -> list[int]:
    return [timeline.stamp(packet) for packet in packets]


def test_a_source_begins_at_0_and_keeps_its_steps() -> None:
    assert stamps(Timeline(), [video(5000), audio(5010), video(5033), audio(5033)]) == [0, 10, 33, 33]


def test_configurations_with_time_0_move_nothing() -> None:
    header = MediaPacket(MediaKind.VIDEO, 0, b"\x17\x00\x00\x00\x00")
    script = MediaPacket(MediaKind.DATA, 0, b"\x02")
    timeline = Timeline()
    assert stamps(timeline, [script, header, video(90_000), header, video(90_033)]) == [0, 0, 0, 0, 33]
    assert timeline.seams == 0


def test_another_source_goes_on_where_the_last_one_ended() -> None:
    timeline = Timeline()
    assert stamps(timeline, [video(100), audio(120), video(133)]) == [0, 20, 33]
    timeline.begin_source()
    assert stamps(timeline, [video(7), audio(17), video(40)]) == [33 + SEAM_MS, 33 + SEAM_MS + 10, 33 + SEAM_MS + 33]


def test_the_32_bit_wrap_is_no_seam() -> None:
    timeline = Timeline()
    first = 2**32 - 50
    assert stamps(timeline, [video(first + step) for step in (0, 33, 66, 99)]) == [0, 33, 66, 99]
    assert timeline.seams == 0


def test_a_jump_ahead_is_closed_and_both_tracks_stay_in_step() -> None:
    times = stamps(Timeline(), [video(0), audio(0), video(33), video(60_000), audio(60_010), video(60_033)])
    assert times == [0, 0, 33, 33 + SEAM_MS, 33 + SEAM_MS + 10, 33 + SEAM_MS + 33]


def test_a_jump_back_is_closed_too() -> None:
    times = stamps(Timeline(), [video(60_000), audio(60_000), video(60_033), video(10), audio(20), video(43)])
    assert times == [0, 0, 33, 66, 76, 99]


def test_a_late_packet_of_the_old_clock_stays_on_it() -> None:
    timeline = Timeline()
    times = stamps(timeline, [video(0), audio(0), video(33), video(9000), audio(23), audio(9005), video(9033)])
    assert times == [0, 0, 33, 66, 23, 71, 99]
    assert timeline.seams == 1


def test_a_track_that_was_silent_comes_back_where_the_other_is() -> None:
    packets = [audio(0), *(video(time) for time in range(0, 5000, 40)), audio(4970), video(5000)]
    assert stamps(Timeline(), packets)[-2:] == [4970, 5000]


def test_a_small_step_back_is_held() -> None:
    assert stamps(Timeline(), [video(0), video(40), video(35), video(80)]) == [0, 40, 40, 80]


def test_tracks_with_unrelated_clocks_run_side_by_side() -> None:
    timeline = Timeline()
    packets = [p for step in range(0, 3000, 30) for p in (video(1_000_000 + step), audio(step))]
    times = stamps(timeline, packets)
    assert timeline.seams <= 1
    assert all(0 <= later - earlier <= 30 for earlier, later in zip(times[::2], times[2::2], strict=False))
    assert max(times) < 3000 + 2 * SEAM_MS


def test_a_pause_below_the_limit_is_kept() -> None:
    assert stamps(Timeline(), [video(0), video(JUMP_MS)]) == [0, JUMP_MS]
    assert stamps(Timeline(), [video(0), video(JUMP_MS + 1)]) == [0, SEAM_MS]
