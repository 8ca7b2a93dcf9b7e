"""What a target is fed, tag by tag."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from restream_parts import SLATE

from dorami_core.media.flv import FlvReader
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.restream.feed import SLATE_AFTER_S, TargetFeed

VIDEO_HEADER = MediaPacket(MediaKind.VIDEO, 0, b"\x17\x00\x00\x00\x00config")
AUDIO_HEADER = MediaPacket(MediaKind.AUDIO, 0, b"\xaf\x00\x11\x90")
OPENING = (VIDEO_HEADER, AUDIO_HEADER)


def key_frame(at_ms: int) -> MediaPacket:
    return MediaPacket(MediaKind.VIDEO, at_ms, b"\x17\x01\x00\x00\x00key")


def frame(at_ms: int) -> MediaPacket:
    return MediaPacket(MediaKind.VIDEO, at_ms, b"\x27\x01\x00\x00\x00frame")


def sound(at_ms: int) -> MediaPacket:
    return MediaPacket(MediaKind.AUDIO, at_ms, b"\xaf\x01sound")


def make_feed(*, mute: bool = False, has_video: bool = True, has_audio: bool = True) -> TargetFeed:
    return TargetFeed(SLATE, mute=mute, has_video=has_video, has_audio=has_audio)


class Read:
    """Reads what a feed has made."""

    def __init__(self) -> None:
        self._reader = FlvReader()
        self.packets: list[MediaPacket] = []

    def __call__(self, data: bytes) -> list[MediaPacket]:
        made = [p for p in self._reader.feed(data) if p.kind is not MediaKind.DATA] if data else []
        self.packets += made
        return made

    def times(self, kind: MediaKind) -> list[int]:
        return [p.timestamp_ms for p in self.packets if p.kind is kind and not p.is_sequence_header]


def payloads(packets: Sequence[MediaPacket]) -> list[bytes]:
    return [packet.payload for packet in packets]


def test_the_broadcast_passes_and_its_time_begins_at_nought() -> None:
    feed, read = make_feed(), Read()
    read(feed.take([*OPENING, key_frame(90_000), sound(90_010), frame(90_033)], 5.0))
    assert payloads(read.packets) == payloads([*OPENING, key_frame(0), sound(0), frame(0)])
    assert [p.timestamp_ms for p in read.packets] == [0, 0, 0, 10, 33]


def test_the_header_says_what_is_to_come() -> None:
    assert make_feed().take(OPENING, 0.0)[4] == 5
    assert make_feed(has_video=False).take((AUDIO_HEADER,), 0.0)[4] == 4


def test_nothing_is_filled_before_the_first_packet_nor_while_packets_come() -> None:
    feed = make_feed()
    assert feed.fill_at_s == float("inf")
    assert feed.fill(100.0) == b""
    feed.take([*OPENING, key_frame(0)], 100.0)
    assert feed.fill_at_s == 100.0 + SLATE_AFTER_S
    assert feed.fill(100.4) == b""
    assert not feed.on_slate


def test_a_gap_is_filled_in_real_time_with_picture_and_silence() -> None:
    feed, read = make_feed(), Read()
    read(feed.take([*OPENING, key_frame(0), frame(33)], 0.0))
    read.packets.clear()
    now = SLATE_AFTER_S
    while now < SLATE_AFTER_S + 2:
        read(feed.fill(now))
        now += 0.05
    assert feed.on_slate
    assert feed.slates == 1
    assert payloads(read.packets)[:2] == [SLATE.video_header, SLATE.audio_header]
    video, audio = read.times(MediaKind.VIDEO), read.times(MediaKind.AUDIO)
    assert video[0] == 33 + 1000 * SLATE_AFTER_S, "the time of the gap has passed for the platform too"
    assert {b - a for a, b in pairwise(video)} == {40}
    assert {b - a for a, b in pairwise(audio)} == {25}
    assert 1900 <= video[-1] - video[0] <= 2000
    assert abs(video[-1] - audio[-1]) <= 40
    assert payloads(read.packets).count(SLATE.video[0]) >= 20, "key frames come again and again"


def test_back_from_the_slate_it_goes_on_at_a_key_frame_and_time_never_goes_back() -> None:
    feed, read = make_feed(), Read()
    read(feed.take([*OPENING, key_frame(0), sound(0)], 0.0))
    for tick in range(10, 60):
        read(feed.fill(tick / 10))
    read.packets.clear()
    # The relay's own time stood still meanwhile.
    assert read(feed.take([frame(33), sound(33)], 6.0)) == [], "what cannot be decoded is left out"
    read(feed.take([VIDEO_HEADER, AUDIO_HEADER, key_frame(66), sound(70), frame(99)], 6.0))
    assert not feed.on_slate
    assert payloads(read.packets) == payloads([VIDEO_HEADER, AUDIO_HEADER, key_frame(0), sound(0), frame(0)])
    assert read.times(MediaKind.VIDEO) == [6000, 6033]
    assert read.times(MediaKind.AUDIO) == [6004]


def test_silence_of_the_same_form_needs_no_other_configuration() -> None:
    feed, read = make_feed(), Read()
    same = MediaPacket(MediaKind.AUDIO, 0, SLATE.audio_header + b"\x56\xe5\x00")
    read(feed.take([VIDEO_HEADER, same, key_frame(0), sound(0)], 0.0))
    for tick in range(20, 30):
        read(feed.fill(tick / 10))
    assert payloads(read.packets).count(SLATE.audio_header) == 0
    assert payloads(read.packets).count(SLATE.silence) > 20


def test_ten_gaps_leave_one_time_that_grows_with_the_clock() -> None:
    feed, read = make_feed(), Read()
    now, at_ms = 0.0, 0
    for _ in range(10):
        read(feed.take([*OPENING, key_frame(at_ms), sound(at_ms)], now))
        for _ in range(250):
            now += 0.1
            read(feed.fill(now))
        at_ms += 33
    read(feed.take([*OPENING, key_frame(at_ms)], now))
    assert feed.slates == 10
    for kind in (MediaKind.VIDEO, MediaKind.AUDIO):
        times = read.times(kind)
        assert times == sorted(times)
        assert abs(times[-1] - 250_000) < 100
        assert max(b - a for a, b in pairwise(times)) <= 1000 * SLATE_AFTER_S + 100


def test_a_loop_that_was_held_up_does_not_send_a_burst() -> None:
    feed = make_feed()
    feed.take([*OPENING, key_frame(0)], 0.0)
    feed.fill(SLATE_AFTER_S)
    assert len(feed.fill(120.0)) < 1000
    assert feed.fill_at_s > 120.0


def test_muted_sound_is_silence_beside_the_picture() -> None:
    feed, read = make_feed(mute=True), Read()
    read(feed.take([*OPENING, *(p for at in range(0, 3000, 40) for p in (frame(at), sound(at)))], 0.0))
    assert b"\xaf\x01sound" not in payloads(read.packets)
    assert AUDIO_HEADER.payload not in payloads(read.packets)
    audio = read.times(MediaKind.AUDIO)
    assert {b - a for a, b in pairwise(audio)} == {25}
    assert audio[-1] <= 2960 < audio[-1] + 25


def test_a_broadcast_without_sound_gets_silence_until_it_has_some() -> None:
    feed, read = make_feed(has_audio=False), Read()
    read(feed.take([VIDEO_HEADER, key_frame(0), frame(40), frame(80)], 0.0))
    assert payloads(read.packets).count(SLATE.silence) == 4
    read.packets.clear()
    read(feed.take([AUDIO_HEADER, sound(120), frame(120)], 0.1))
    assert payloads(read.packets) == payloads([AUDIO_HEADER, sound(0), frame(0)])


def test_sound_alone_is_filled_with_silence_alone() -> None:
    feed, read = make_feed(has_video=False), Read()
    read(feed.take([AUDIO_HEADER, sound(0)], 0.0))
    for tick in range(20, 30):
        read(feed.fill(tick / 10))
    assert not any(p.kind is MediaKind.VIDEO for p in read.packets)
    read.packets.clear()
    read(feed.take([sound(23)], 3.0))
    assert payloads(read.packets) == payloads([AUDIO_HEADER, sound(0)])
