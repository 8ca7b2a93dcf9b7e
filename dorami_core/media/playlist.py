"""A live media playlist with low-latency parts, and the media that it names (RFC 8216bis, draft 16)."""

from __future__ import annotations

import math
from collections import deque
from datetime import UTC, datetime

import attrs

from dorami_core.media.cutting import TOLERANCE_MS, Part, target_duration_s

VERSION = 6
"""For EXT-X-MAP (section 8)."""
HOLD_BACK_TARGETS = 3
"""HOLD-BACK is at least three target durations (4.4.3.8)."""
HOLD_BACK_PARTS = 3
"""PART-HOLD-BACK is best three part targets or more (4.4.3.8)."""
PART_LIST_TARGETS = 3
"""Parts are named within so many target durations of the end (4.4.4.9)."""
MIN_TARGETS = 3
"""The playlist is never shorter than so many target durations (6.2.2)."""
AHEAD_SEGMENTS = 2
"""A reload may ask for so many segments after the last (6.2.5.2)."""
PARTS_PER_SECOND = 10
"""At most: no two broadcasts of a key share a number of a part."""


class TooFarAhead(Exception):
    """A reload asks for what no client can expect yet (6.2.5.2)."""


@attrs.frozen
class StoredPart:
    number: int
    data: bytes
    duration_ms: int
    is_independent: bool


@attrs.define
class Segment:
    """`source` is the number of its initialization section; `date` is when its first frame came in."""

    number: int
    date: datetime
    source: int
    is_discontinuous: bool
    parts: list[StoredPart] = attrs.field(factory=list)

    @property
    def duration_ms(self) -> int:
        return sum(part.duration_ms for part in self.parts)

    @property
    def data(self) -> bytes:
        return b"".join([part.data for part in self.parts])


@attrs.frozen
class PlaylistStatistics:
    """`segments` that are complete and in the playlist; `parts` and `bytes` that are kept."""

    segments: int
    parts: int
    bytes: int


class Playlist:
    """`add` takes what a Cutter makes. The first segment gives the target duration, so there is no text before its end.

    Names are `{key}-s{number}.m4s` for segments, `{key}-p{number}.m4s` for parts, `{key}-i{number}.mp4` for
    initialization sections. What left the playlist stays for a playlist's length and two segments (6.2.2).
    """

    def __init__(self, key: str, first_number: int, window: int, part_ms: int) -> None:
        self._key = key
        self._window = window
        self._part_target_ms = part_ms + TOLERANCE_MS
        self._segments: deque[Segment] = deque()
        self._retired: deque[Segment] = deque()
        self._open: Segment | None = None
        self._next_segment = first_number
        self._next_part = first_number * PARTS_PER_SECOND
        self._sections: dict[int, bytes] = {}
        self._new_section: bytes | None = None
        self._discontinuities_gone = 0
        self._text: bytes | None = None
        self.target_s: int | None = None
        self.has_ended = False

    def begin_source(self, section: bytes) -> None:
        """What follows needs this initialization section; after other media, it is a discontinuity."""
        self._new_section = section

    def add(self, part: Part, date: datetime) -> None:
        """`date` is when the part's first frame came in."""
        if self._open is None or part.begins_segment or self._new_section is not None:
            self._close_segment()
            self._open_segment(date)
        assert self._open is not None
        self._open.parts.append(StoredPart(self._next_part, part.data, part.duration_ms, part.is_independent))
        self._next_part += 1
        self._text = None

    def end(self) -> None:
        """No more comes."""
        self._close_segment()
        self.has_ended = True
        self._text = None

    def _open_segment(self, date: datetime) -> None:
        number = self._next_segment
        self._next_segment += 1
        is_discontinuous = False
        if self._new_section is not None:
            is_discontinuous = bool(self._sections)
            self._sections[number], self._new_section = self._new_section, None
        self._open = Segment(number, date, max(self._sections), is_discontinuous)

    def _close_segment(self) -> None:
        closed, self._open = self._open, None
        if closed is None:
            return
        self._segments.append(closed)
        if self.target_s is None:
            self.target_s = target_duration_s(closed.duration_ms)
        while len(self._segments) > self._window and self._would_last():
            gone = self._segments.popleft()
            self._discontinuities_gone += gone.is_discontinuous
            self._retired.append(gone)
        while len(self._retired) > len(self._segments) + 2:
            self._retired.popleft()
        needed = {segment.source for segment in (*self._retired, *self._segments)} | {max(self._sections)}
        self._sections = {number: section for number, section in self._sections.items() if number in needed}

    def _would_last(self) -> bool:
        """Without its first segment."""
        rest_ms = sum(segment.duration_ms for segment in self._segments) - self._segments[0].duration_ms
        return rest_ms >= MIN_TARGETS * 1000 * (self.target_s or 1)

    def _listed(self) -> tuple[Segment, ...]:
        return (*self._segments, *((self._open,) if self._open is not None else ()))

    # What clients ask for

    @property
    def has_text(self) -> bool:
        return self.target_s is not None

    @property
    def longest_wait_s(self) -> float:
        """A reload that waits longer than three target durations is refused (6.2.5.2)."""
        return 3.0 * (self.target_s or 1)

    @property
    def newest_part(self) -> int:
        """The number of the last one; below the first one's where there is none."""
        return self._next_part - 1

    def reaches(self, segment: int, part: int | None) -> bool:
        """Whether the text has this segment, or this part of it, or a later one. TooFarAhead (6.2.5.2)."""
        if self.has_ended:
            return True
        last = self._segments[-1].number if self._segments else self._next_segment - 1
        parts = len(self._open.parts) if self._open is not None else 0
        if segment > last + AHEAD_SEGMENTS:
            raise TooFarAhead
        if part is not None and segment > last:
            newest = parts - 1 if segment == last + 1 else -1
            if part > newest + self._advance_parts():
                raise TooFarAhead
        if segment < last or (segment == last and part is None):
            return True
        if segment == last and part is not None:
            # A part behind the last one of its segment is the first one of the next (6.2.5.2).
            return part < len(self._segments[-1].parts) or parts > 0
        return part is not None and segment == last + 1 and part < parts

    def _advance_parts(self) -> int:
        """The Advance Part Limit (6.2.5.2)."""
        return math.ceil(3000 / self._part_target_ms) if self._part_target_ms < 1000 else 3

    def part(self, number: int) -> bytes | None:
        for segment in (*self._retired, *self._listed()):
            first = segment.parts[0].number
            if first <= number < first + len(segment.parts):
                return segment.parts[number - first].data
        return None

    def segment(self, number: int) -> bytes | None:
        return next((one.data for one in (*self._retired, *self._segments) if one.number == number), None)

    def section(self, number: int) -> bytes | None:
        return self._sections.get(number)

    def text(self) -> bytes:
        """Made once for all who ask between two parts."""
        if self._text is None:
            self._text = "".join(f"{line}\n" for line in self._lines()).encode()
        return self._text

    def _lines(self) -> list[str]:
        assert self.target_s is not None
        lines = [
            "#EXTM3U",
            f"#EXT-X-VERSION:{VERSION}",
            f"#EXT-X-TARGETDURATION:{self.target_s}",
            f"#EXT-X-MEDIA-SEQUENCE:{self._segments[0].number}",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{self._discontinuities_gone}",
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,"
            f"HOLD-BACK={HOLD_BACK_TARGETS * self.target_s:.1f},PART-HOLD-BACK={self._part_hold_back_s():.2f}",
            f"#EXT-X-PART-INF:PART-TARGET={_seconds(self._part_target_ms)}",
        ]
        if all(segment.parts[0].is_independent for segment in self._listed()):
            lines.insert(2, "#EXT-X-INDEPENDENT-SEGMENTS")
        section = None
        parts_from = self._parts_from()
        for segment in self._segments:
            lines += self._segment_lines(segment, section, has_parts=segment.number >= parts_from)
            lines += [f"#EXTINF:{_seconds(segment.duration_ms)},", f"{self._key}-s{segment.number}.m4s"]
            section = segment.source
        if self._open is not None:
            lines += self._segment_lines(self._open, section, has_parts=True)
        if self.has_ended:
            lines.append("#EXT-X-ENDLIST")
        else:
            lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{self._key}-p{self._next_part}.m4s"')
        return lines

    def _segment_lines(self, segment: Segment, section: int | None, *, has_parts: bool) -> list[str]:
        """All that stands before its EXTINF."""
        lines = ["#EXT-X-DISCONTINUITY"] if segment.is_discontinuous else []
        if segment.source != section:
            lines.append(f'#EXT-X-MAP:URI="{self._key}-i{segment.source}.mp4"')
        date = segment.date.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{date}")
        if has_parts:
            lines += [
                f'#EXT-X-PART:DURATION={_seconds(part.duration_ms)},URI="{self._key}-p{part.number}.m4s"'
                + (",INDEPENDENT=YES" if part.is_independent else "")
                for part in segment.parts
            ]
        return lines

    def _parts_from(self) -> int:
        """The first segment whose parts are named."""
        left_ms = PART_LIST_TARGETS * 1000 * (self.target_s or 1) - (self._open.duration_ms if self._open else 0)
        number = self._next_segment
        for segment in reversed(self._segments):
            left_ms -= segment.duration_ms
            if left_ms < 0:
                break
            number = segment.number
        return number

    def _part_hold_back_s(self) -> float:
        return math.ceil(HOLD_BACK_PARTS * self._part_target_ms / 10) / 100

    def statistics(self) -> PlaylistStatistics:
        kept = (*self._retired, *self._listed())
        return PlaylistStatistics(
            segments=len(self._segments),
            parts=sum(len(segment.parts) for segment in kept),
            bytes=sum(len(part.data) for segment in kept for part in segment.parts),
        )


def _seconds(duration_ms: int) -> str:
    return f"{duration_ms / 1000:.3f}"
