"""Reads live playlists, and names each rule of RFC 8216bis (draft 16) that one breaks, or two in a row."""

from __future__ import annotations

import re
from datetime import datetime

import attrs

MS = 0.0011
"""Durations are written in milliseconds."""


@attrs.frozen
class SeenPart:
    uri: str
    duration: float
    is_independent: bool


@attrs.define
class SeenSegment:
    """`uri` and `duration` are None for the one that is not complete."""

    number: int
    discontinuity: int
    section: str | None
    date: datetime | None
    uri: str | None = None
    duration: float | None = None
    parts: list[SeenPart] = attrs.field(factory=list)

    @property
    def span(self) -> float:
        return self.duration if self.duration is not None else sum(part.duration for part in self.parts)


@attrs.define
class SeenPlaylist:
    version: int = 1
    target: int = 0
    sequence: int = 0
    control: dict[str, str] = attrs.field(factory=dict)
    part_target: float = 0
    hint: str | None = None
    is_independent: bool = False
    has_ended: bool = False
    segments: list[SeenSegment] = attrs.field(factory=list)

    @property
    def complete(self) -> list[SeenSegment]:
        return [segment for segment in self.segments if segment.uri is not None]

    @property
    def parts(self) -> list[SeenPart]:
        return [part for segment in self.segments for part in segment.parts]


def attributes(text: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in re.findall(r'([A-Z-]+)=("[^"]*"|[^,]*)', text)}


def read(text: str) -> SeenPlaylist:
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U"
    assert text.endswith("\n")
    seen = SeenPlaylist()
    discontinuity, section = 0, None
    current: SeenSegment | None = None

    def segment() -> SeenSegment:
        nonlocal current
        if current is None:
            current = SeenSegment(seen.sequence + len(seen.segments), discontinuity, section, None)
            seen.segments.append(current)
        return current

    for line in lines[1:]:
        name, _, value = line.partition(":")
        match name:
            case "#EXT-X-VERSION":
                seen.version = int(value)
            case "#EXT-X-TARGETDURATION":
                seen.target = int(value)
            case "#EXT-X-MEDIA-SEQUENCE":
                seen.sequence = int(value)
            case "#EXT-X-DISCONTINUITY-SEQUENCE":
                assert not seen.segments, "before the first segment (4.4.3.3)"
                discontinuity = int(value)
            case "#EXT-X-INDEPENDENT-SEGMENTS":
                seen.is_independent = True
            case "#EXT-X-SERVER-CONTROL":
                seen.control = attributes(value)
            case "#EXT-X-PART-INF":
                seen.part_target = float(attributes(value)["PART-TARGET"])
            case "#EXT-X-DISCONTINUITY":
                assert current is None, "between segments"
                discontinuity += 1
            case "#EXT-X-MAP":
                section = attributes(value)["URI"]
            case "#EXT-X-PROGRAM-DATE-TIME":
                segment().date = datetime.fromisoformat(value)
            case "#EXT-X-PART":
                found = attributes(value)
                part = SeenPart(found["URI"], float(found["DURATION"]), found.get("INDEPENDENT") == "YES")
                segment().parts.append(part)
            case "#EXTINF":
                segment().duration = float(value.rstrip(","))
            case "#EXT-X-PRELOAD-HINT":
                assert attributes(value)["TYPE"] == "PART"
                seen.hint = attributes(value)["URI"]
                assert line == lines[-1]
            case "#EXT-X-ENDLIST":
                seen.has_ended = True
            case _:
                assert not line.startswith("#"), f"an unknown tag: {line}"
                segment().uri = line
                current = None
    return seen


def broken_rules(text: str) -> list[str]:
    seen = read(text)
    broken = []

    def need(holds: bool, rule: str) -> None:
        if not holds:
            broken.append(rule)

    need(seen.version >= 6, "EXT-X-MAP needs version 6 (8)")
    need(bool(seen.complete), "a playlist has segments")
    for one in seen.complete:
        assert one.duration is not None
        need(int(one.duration + 0.5) <= seen.target, f"{one.uri} is longer than the target duration (4.4.3.1)")
    for one in seen.segments:
        need(one.date is not None, f"segment {one.number} has no date")
        need(one.section is not None, f"segment {one.number} has no EXT-X-MAP (4.4.4.5)")
        if one.parts and one.duration is not None:
            whole = sum(part.duration for part in one.parts)
            need(abs(whole - one.duration) < MS, f"parts of {one.uri} are not it (4.4.4.9)")
        for part in one.parts:
            need(part.duration <= seen.part_target, f"{part.uri} is longer than the part target (4.4.4.9)")
        for part in one.parts[:-1]:
            need(part.duration >= 0.85 * seen.part_target, f"{part.uri} is too short (4.4.4.9)")
        if seen.is_independent and one.parts:
            need(one.parts[0].is_independent, f"{one.uri} does not begin with a key frame (4.4.2.1)")
    need(seen.control.get("CAN-BLOCK-RELOAD") == "YES", "blocking reload")
    need(float(seen.control["HOLD-BACK"]) >= 3 * seen.target, "HOLD-BACK (4.4.3.8)")
    need(float(seen.control["PART-HOLD-BACK"]) >= 3 * seen.part_target, "PART-HOLD-BACK (4.4.3.8)")
    need((seen.hint is None) == seen.has_ended, "a hint until the end (4.4.5.3)")
    need(seen.hint not in [part.uri for part in seen.parts], "the hint is of what is not there yet")
    from_end_ms = 0
    for one in reversed(seen.segments):
        from_end_ms += round(one.span * 1000)
        need(bool(one.parts) == (from_end_ms <= 3000 * seen.target), f"parts of {one.number}: three targets (4.4.4.9)")
    names = [one.uri for one in seen.complete] + [part.uri for part in seen.parts]
    need(len(set(names)) == len(names), "each name once")
    return broken


def broken_succession(before_text: str, after_text: str) -> list[str]:
    """Of two states of one playlist, a part apart at least (6.2.1, 6.2.2)."""
    before, after = read(before_text), read(after_text)
    broken = []
    if after.target != before.target:
        broken.append("the target duration changes (4.4.3.1)")
    if after.part_target != before.part_target:
        broken.append("the part target changes")
    if after.sequence < before.sequence:
        broken.append("the media sequence goes back (4.4.3.2)")
    if after.sequence > before.sequence and sum(one.span for one in after.complete) < 3 * after.target:
        broken.append("a segment went though less than three target durations are left (6.2.2)")
    was = {one.number: one for one in before.segments}
    for one in after.segments:
        old = was.get(one.number)
        if old is None:
            continue
        if old.uri is not None and (old.uri, old.duration, old.date) != (one.uri, one.duration, one.date):
            broken.append(f"segment {one.number} changed (6.2.1)")
        if old.discontinuity != one.discontinuity:
            broken.append(f"segment {one.number} has another discontinuity number (4.4.3.3)")
        if old.section != one.section:
            broken.append(f"segment {one.number} has another section")
        if one.parts and old.parts != one.parts[: len(old.parts)]:
            broken.append(f"parts of {one.number} changed")
    fresh = [part.uri for part in after.parts if part not in before.parts]
    if before.hint is not None and fresh and fresh[0] != before.hint and before.parts[-1] in after.parts:
        broken.append("what was hinted at is not what came (4.4.5.3)")
    return broken
