"""FLV bytes against the layout of the specification and FFmpeg's own files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_parts import encoded_flv

from dorami_core.media.flv import FlvError, FlvReader, encode_header, encode_metadata, encode_tag
from dorami_core.media.packets import MediaKind, MediaPacket

PACKETS = st.builds(MediaPacket, st.sampled_from(MediaKind), st.integers(0, 2**32 - 1), st.binary(max_size=300))


def test_a_tag_is_laid_out_as_annex_e_says() -> None:
    tag = encode_tag(MediaKind.VIDEO, 0x12345678, b"abc")
    assert tag == bytes.fromhex("09 000003 345678 12 000000 616263 0000000e")


@pytest.mark.parametrize(("audio", "video", "flags"), [(True, True, 5), (False, True, 1), (True, False, 4)])
def test_the_header_says_which_tracks_come(audio: bool, video: bool, flags: int) -> None:
    assert encode_header(audio=audio, video=video) == b"FLV\x01" + bytes((flags,)) + b"\0\0\0\x09" + b"\0\0\0\0"


@given(st.lists(PACKETS, max_size=8), st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_what_was_written_is_read_again_however_it_is_cut(packets: list[MediaPacket], cuts: list[int]) -> None:
    data = encode_header(audio=True, video=True)
    data += b"".join(encode_tag(p.kind, p.timestamp_ms, p.payload) for p in packets)
    reader, read, turn = FlvReader(), [], 0
    while data:
        size = cuts[turn % len(cuts)]
        read += reader.feed(data[:size])
        data, turn = data[size:], turn + 1
    assert read == packets


def test_ffmpegs_files_are_read_and_written_alike() -> None:
    data = encoded_flv()
    packets = FlvReader().feed(data)
    again = data[:13] + b"".join(encode_tag(p.kind, p.timestamp_ms, p.payload) for p in packets)
    assert again == data
    assert sum(p.is_keyframe for p in packets) == 4
    assert {p.kind for p in packets if p.is_sequence_header} == {MediaKind.AUDIO, MediaKind.VIDEO}


@pytest.mark.parametrize(
    "data",
    [
        b"FLX",
        b"<html>",
        b"FLV\x01\x05\x00\x00\x00\x08" + bytes(8),
        b"FLV\x01\x05\xff\xff\xff\xff" + bytes(8),
        encode_header(audio=True, video=True) + bytes((7,)) + bytes(10),
        encode_header(audio=True, video=True) + bytes((9, 0, 1, 1)) + bytes(7),
    ],
)
def test_what_is_no_flv_or_too_large_is_refused(data: bytes) -> None:
    reader = FlvReader(max_tag_bytes=256)
    with pytest.raises(FlvError):
        reader.feed(data)


def test_a_payload_that_the_size_field_cannot_hold_is_refused() -> None:
    with pytest.raises(FlvError, match="16777216"):
        encode_tag(MediaKind.VIDEO, 0, bytes(2**24))


def test_metadata_is_an_ecma_array_of_numbers() -> None:
    assert encode_metadata({"width": 540}) == (
        b"\x02\x00\x0aonMetaData\x08\x00\x00\x00\x01\x00\x05width\x00\x40\x80\xe0\x00\x00\x00\x00\x00\x00\x00\x09"
    )
