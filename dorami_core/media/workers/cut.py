"""The cutting worker: a piece of a recording, copied into an MP4 whose index comes first.

`python -m dorami_core.media.workers.cut FILE TARGET FROM_MS UNTIL_MS`; UNTIL_MS -1 is the end. The recording may still
be growing. What is cut begins at the last key frame that is not after FROM_MS and ends before UNTIL_MS; TARGET is
there in one step. At the end one progress frame `{"from_ms", "time_ms", "bytes"}`: where it begins in the recording,
how long and how large it is; all 0, and no TARGET, where there is nothing to cut.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from dorami_core.media.fragments import piece_of
from dorami_core.media.workers.child import follow_parent, report

if TYPE_CHECKING:
    import av

SEEK_EARLIER_MS = 2000
MAX_LEAD_BYTES = 64_000_000
"""Of packets that are held while the next key frame may still be early enough."""


@attrs.frozen
class Cut:
    """Where it begins in the recording, how long and how large it is."""

    from_ms: int = 0
    time_ms: int = 0
    bytes: int = 0


def cut(file: Path, target: Path, from_ms: int, until_ms: int) -> Cut:
    """The default Cut where there is nothing between."""
    import av

    end_ms = until_ms if until_ms >= 0 else 1 << 62
    part = target.with_suffix(".part")
    with ExitStack() as stack:
        raw = stack.enter_context(file.open("rb"))
        piece = piece_of(raw, from_ms, end_ms)
        source = stack.enter_context(av.open(str(file) if piece is None else piece, "r", format="mp4"))
        streams = [stream for stream in source.streams if stream.type in ("audio", "video")]
        picture = source.streams.video[0] if source.streams.video else None
        if piece is None:
            # FFmpeg seeks by decoding times, which are earlier than those of the pictures.
            source.seek(max(0, from_ms - SEEK_EARLIER_MS) * 1000, backward=True)
        packets = _from_key_frame(source.demux(*streams), picture, from_ms, end_ms)
        first = next(packets, None)
        if first is None:
            return Cut()
        begin = Fraction(first.pts or 0) * first.time_base
        time_ms = _copy(av, streams, first, packets, begin, part)
    os.replace(part, target)
    return Cut(round(begin * 1000), time_ms, target.stat().st_size)


def _from_key_frame(
    packets: Iterator[av.Packet[Any]], picture: av.VideoStream | None, from_ms: int, until_ms: int
) -> Iterator[av.Packet[Any]]:
    """Begins with the key frame; without a picture, with the packet that is heard at `from_ms`. Nothing where all is
    earlier."""
    held: list[av.Packet[Any]] = []
    held_bytes = 0
    begun = False
    over: set[int] = set()
    for packet in packets:
        if packet.dts is None or packet.pts is None:
            continue
        at_ms = packet.pts * packet.time_base * 1000
        if packet.dts * packet.time_base * 1000 >= until_ms:
            over.add(packet.stream.index)
            if picture is None or picture.index in over:
                break
            continue
        if begun:
            yield packet
            continue
        is_start = packet.is_keyframe if picture is None or packet.stream is picture else False
        if is_start and (at_ms <= from_ms or not held):
            held, held_bytes = [packet], packet.size
        elif held:
            held.append(packet)
            held_bytes += packet.size
        if held and (at_ms >= from_ms or held_bytes > MAX_LEAD_BYTES):
            begun = True
            yield from held
            held = []


def _copy(
    av: Any,
    streams: list[Any],
    first: av.Packet[Any],
    rest: Iterator[av.Packet[Any]],
    begin: Fraction,
    part: Path,
) -> int:
    """Its length in milliseconds."""
    end = Fraction(0)
    with av.open(str(part), "w", format="mp4", options={"movflags": "faststart"}) as out:
        copies = {stream.index: out.add_stream_from_template(stream) for stream in streams}
        for packet in _chain(first, rest):
            offset = int(begin / packet.time_base)
            if packet.pts < offset:
                continue  # sound from before the first picture
            packet.pts -= offset
            packet.dts -= offset
            end = max(end, packet.pts * packet.time_base + (packet.duration or 0) * packet.time_base)
            packet.stream = copies[packet.stream.index]
            out.mux(packet)
    return round(end * 1000)


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def main(arguments: list[str]) -> None:
    follow_parent()
    os.nice(5)
    file, target, from_ms, until_ms = arguments
    report(**attrs.asdict(cut(Path(file), Path(target), int(from_ms), int(until_ms))))


if __name__ == "__main__":
    main(sys.argv[1:])
