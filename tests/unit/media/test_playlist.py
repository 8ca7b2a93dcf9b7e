"""The playlist against the rules of RFC 8216bis, over many courses of a broadcast."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playlist_rules import broken_rules, broken_succession, read

from dorami_core.media.cutting import Cutter, Frame, Part, Track
from dorami_core.media.playlist import Playlist, TooFarAhead

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
VIDEO = Track(1, 16000, is_video=True)
SOUND = Track(2, 44100, is_video=False, frame_ticks=1024)
FIRST = 1000


def frames(seconds: float, gop_s: float, fps: float = 30, from_ms: int = 0) -> Iterator[tuple[int, Frame]]:
    """Both tracks in the order of their times, in whole milliseconds as FLV has them."""
    pictures = [(int(number * 1000 / fps), 1, number) for number in range(int(seconds * fps))]
    sounds = [(int(number * 1024 / 44.1), 2, number) for number in range(int(seconds * 43))]
    every = max(1, round(gop_s * fps))
    for at, track, number in sorted(pictures + sounds):
        is_key = track == 2 or number % every == 0
        yield track, Frame(from_ms + at, from_ms + at, is_key, b"%d" % number)


def cut(source: Iterator[tuple[int, Frame]], target_s: int | None = None) -> list[Part]:
    cutter = Cutter([VIDEO, SOUND], 334, 1000, target_s)
    parts = [part for track, frame in source if (part := cutter.add(track, frame)) is not None]
    last = cutter.end()
    return [*parts, last] if last is not None else parts


def playlist() -> Playlist:
    return Playlist("shop-live", FIRST, 6, 334)


def fill(target: Playlist, parts: list[Part], from_s: float = 0) -> list[str]:
    """The text after each part, from the first one on."""
    texts = []
    for part in parts:
        target.add(part, START + timedelta(seconds=from_s, milliseconds=part.time_ms))
        if target.has_text:
            texts.append(target.text().decode())
    return texts


def all_broken(texts: list[str]) -> list[str]:
    broken = [rule for text in texts for rule in broken_rules(text)]
    for before, after in zip(texts, texts[1:], strict=False):
        broken += broken_succession(before, after)
    return broken


@pytest.mark.parametrize("fps", [15, 20, 24, 25, 29.97, 30, 50, 60])
@pytest.mark.parametrize("gop_s", [0.5, 1, 2, 4, 8.3])
def test_every_state_keeps_the_rules(fps: float, gop_s: float) -> None:
    target = playlist()
    target.begin_source(b"header")
    texts = fill(target, cut(frames(20, gop_s, fps)))
    target.end()
    assert len(texts) > 30
    assert all_broken([*texts, target.text().decode()]) == []
    seen = read(target.text().decode())
    assert seen.has_ended
    assert all(0.9 < (one.duration or 0) < 2.5 for one in seen.segments[:-1])


@pytest.mark.parametrize("seed", range(20))
def test_interruptions_keep_them_too(seed: int) -> None:
    """Sources of other frame rates and key-frame intervals follow one another; every number stays what it was."""
    chance = random.Random(seed)
    target, texts, at_s = playlist(), [], 0.0
    for source in range(8):
        target.begin_source(b"header %d" % source)
        seconds = chance.uniform(0.2, 9)
        fps, gop_s = chance.choice([15, 25, 30, 60]), chance.choice([0.5, 1, 2, 5])
        parts = cut(frames(seconds, gop_s, fps, from_ms=int(at_s * 1000)), target.target_s)
        texts += fill(target, parts, from_s=source * 25)
        at_s += seconds
    assert all_broken(texts) == []
    seen = read(texts[-1])
    assert seen.segments[-1].discontinuity == 7
    # Each section is there for as long as a segment needs it.
    for one in seen.segments:
        assert one.section is not None
        assert target.section(int(one.section.removeprefix("shop-live-i").removesuffix(".mp4"))) is not None


def test_the_rules_are_really_asked() -> None:
    """Each of these changes breaks one."""
    target = playlist()
    target.begin_source(b"header")
    texts = fill(target, cut(frames(12, 1)))
    good, later = texts[-4], texts[-1]
    assert broken_rules(good) == broken_succession(good, later) == []
    for was, becomes in {
        "TARGETDURATION:1": "TARGETDURATION:0",
        "HOLD-BACK=3.0": "HOLD-BACK=2.9",
        "PART-HOLD-BACK=1.02": "PART-HOLD-BACK=1.00",
        "PART-TARGET=0.337": "PART-TARGET=0.4",
        "#EXT-X-MAP": "#EXT-X-MAP:URI=",
        "DURATION=0.333": "DURATION=0.400",
        "VERSION:6": "VERSION:5",
    }.items():
        assert was in good
        changed = good.replace(was, becomes) if was != "#EXT-X-MAP" else without_line(good, was)
        assert broken_rules(changed) != [], was
    assert broken_rules(without_line(good, "#EXT-X-PROGRAM-DATE-TIME")) != []
    assert broken_rules(without_line(good, "#EXT-X-PRELOAD-HINT")) != []
    assert broken_succession(later, good) != []
    shifted = later.replace("DISCONTINUITY-SEQUENCE:0", "DISCONTINUITY-SEQUENCE:1")
    assert broken_succession(good, shifted) != []


def without_line(text: str, start: str) -> str:
    lines = text.splitlines(keepends=True)
    lines.remove(next(line for line in lines if line.startswith(start)))
    return "".join(lines)


def test_dates_follow_the_frames() -> None:
    target = playlist()
    target.begin_source(b"header")
    fill(target, cut(frames(5, 1)))
    seen = read(target.text().decode())
    assert [one.date for one in seen.segments] == [START + timedelta(seconds=number) for number in range(5)]


def test_a_segment_is_its_parts_and_what_left_stays_for_a_while() -> None:
    target = playlist()
    target.begin_source(b"header")
    parts = cut(frames(30, 1))
    fill(target, parts)
    target.end()
    assert target.section(FIRST) == b"header"
    seen = read(target.text().decode())
    assert seen.sequence == FIRST + 24
    assert len(seen.segments) == 6
    for number in range(FIRST + 16, FIRST + 30):
        index = (number - FIRST) * 3
        assert target.segment(number) == b"".join(part.data for part in parts[index : index + 3])
        assert target.part(FIRST * 10 + index) == parts[index].data
    assert target.segment(FIRST + 15) is None
    assert target.part(FIRST * 10 + 45) is None
    assert target.statistics().parts == 14 * 3


def test_which_reloads_are_answered_wait_or_are_refused() -> None:
    """6.2.5.2"""
    target = playlist()
    target.begin_source(b"header")
    parts = cut(frames(6, 1))
    fill(target, parts[:14])  # four segments and two parts of the fifth
    last = FIRST + 3
    for segment, part in [
        (last - 3, None),
        (last, None),
        (last, 2),
        (last, 3),
        (last - 1, 9),
        (last + 1, 0),
        (last + 1, 1),
    ]:
        assert target.reaches(segment, part), (segment, part)
    for segment, part in [
        (last + 1, None),
        (last + 1, 2),
        (last + 1, 10),
        (last + 2, None),
        (last + 2, 0),
        (last + 2, 8),
    ]:
        assert not target.reaches(segment, part), (segment, part)
    # The Advance Part Limit is three seconds of parts: nine of them.
    for segment, part in [(last + 3, None), (last + 3, 0), (last + 1, 11), (last + 2, 9)]:
        with pytest.raises(TooFarAhead):
            target.reaches(segment, part)
    fill(target, parts[14:15])
    assert target.reaches(last + 1, 2)
    assert not target.reaches(last + 1, None)
    fill(target, parts[15:16])
    assert target.reaches(last + 1, None)
    assert target.reaches(last + 1, 3), "behind the last part: the first of the next"
    target.end()
    assert target.reaches(last + 50, 3), "nothing is waited for any more"


def test_a_part_behind_the_last_waits_where_the_next_segment_has_not_begun() -> None:
    target = playlist()
    target.begin_source(b"header")
    parts = cut(frames(3, 1))
    fill(target, parts[:3])
    assert not target.has_text
    target.begin_source(b"other")
    target.add(parts[3], START)
    assert target.reaches(FIRST, 3)


def test_sound_alone_is_cut_by_time() -> None:
    cutter = Cutter([SOUND], 334, 1000)
    parts = []
    for number in range(430):
        at = int(number * 1024 / 44.1)
        if (part := cutter.add(2, Frame(at, at, True, b"s"))) is not None:
            parts.append(part)
    target = playlist()
    target.begin_source(b"header")
    texts = fill(target, parts)
    assert all_broken(texts) == []
    assert all(part.is_independent for part in read(texts[-1]).parts)


def test_sound_without_pictures_does_not_gather_without_end() -> None:
    cutter = Cutter([VIDEO, SOUND], 334, 1000)
    cutter.add(1, Frame(0, 0, True, b"k"))
    for number in range(100):
        assert cutter.add(2, Frame(number * 23, number * 23, True, bytes(200_000))) is None
    part = cutter.add(1, Frame(2300, 2300, True, b"k"))
    assert part is not None
    assert len(part.data) < 8_300_000
