"""Pieces of a fragmented MP4, of any length that it has reached while it grows."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import av
import pytest
from media_parts import encoded_flv

from dorami_core.media import fragments
from dorami_core.media.fragments import boxes_of, piece_of
from dorami_core.media.workers.record import OPTIONS


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Four seconds as the recording worker writes them, before they get their index."""
    file = tmp_path_factory.mktemp("fragments") / "whole.mp4"
    options = {**OPTIONS, "movflags": OPTIONS["movflags"].replace("+hybrid_fragmented", "")}
    with (
        av.open(BytesIO(encoded_flv(4)), format="flv") as source,
        av.open(str(file), "w", format="mp4", options=options) as target,
    ):
        copies = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    return file.read_bytes()


def pictures(data: bytes, folder: Path, from_ms: int = 0, until_ms: int = 1 << 40) -> list[float]:
    """Times of the pictures of a piece, in seconds, as FFmpeg reads them."""
    file = folder / "piece.mp4"
    file.write_bytes(data)
    with file.open("rb") as opened:
        piece = piece_of(opened, from_ms, until_ms)
        if piece is None:
            return []
        with av.open(piece, format="mp4") as source:
            video = source.streams.video[0]
            return [float(p.pts * p.time_base) for p in source.demux(video) if p.pts is not None]


def test_a_growing_file_gives_whole_fragments_only(whole: bytes, tmp_path: Path) -> None:
    ends = [box.end for box in boxes_of(whole) if box.kind == b"mdat"]
    counts = [len(pictures(whole[:end], tmp_path)) for end in ends]
    assert counts == sorted(counts)
    assert counts[-1] >= 119
    for number, end in enumerate(ends):
        before = counts[number - 1] if number else 0
        assert len(pictures(whole[: end - 1], tmp_path)) == before
        assert len(pictures(whole[: end + 7], tmp_path)) == counts[number]


def test_it_begins_and_ends_near_what_is_asked_for(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pictures(whole, tmp_path, 3000)[0] == 0, "a key frame may be far before"
    monkeypatch.setattr(fragments, "LEAD_MS", 1000)
    monkeypatch.setattr(fragments, "TAIL_MS", 0)
    found = pictures(whole, tmp_path, 2600, 3000)
    assert 1 <= found[0] <= 1.6
    assert 2.9 <= found[-1] < 4


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\0" * 64, b"\xff" * 64, b"\0\0\0\x08free" * 9])
def test_what_is_no_fragmented_file_has_no_piece(data: bytes, tmp_path: Path) -> None:
    assert pictures(data, tmp_path) == []


def test_an_ordinary_mp4_has_no_piece(tmp_path: Path) -> None:
    file = tmp_path / "ordinary.mp4"
    with (
        av.open(BytesIO(encoded_flv(4)), format="flv") as source,
        av.open(str(file), "w", format="mp4", options=OPTIONS) as target,
    ):
        copy = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    assert pictures(file.read_bytes(), tmp_path) == []
