"""The clock of a picture: what is drawn is the time."""

from __future__ import annotations

import pytest

from bench.clock import COLUMNS, FIELD_HEIGHT, FIELD_WIDTH, HEIGHT, MODULUS, ROWS, WHITE, WIDTH, fields, luma
from bench.hls_viewers import Newest, newest


def read(picture: bytes) -> int:
    """From the middle of each field, as a page does."""
    value = 0
    for row in range(ROWS):
        for column in range(COLUMNS):
            x, y = column * FIELD_WIDTH + FIELD_WIDTH // 2, row * FIELD_HEIGHT + FIELD_HEIGHT // 2
            value = value * 2 + (picture[y * WIDTH + x] == WHITE[0])
    return value


@pytest.mark.parametrize("time_ms", [0, 1, 255, 1_795_625_036_123, MODULUS - 1, MODULUS])
def test_a_picture_tells_its_time(time_ms: int) -> None:
    picture = luma(time_ms)
    assert len(picture) == WIDTH * HEIGHT
    shown = read(picture).to_bytes(4, "big")
    assert shown == fields(time_ms)
    assert int.from_bytes(shown[:3], "big") == time_ms % MODULUS
    assert shown[3] == (sum(shown[:3]) + 90) % 256


def test_a_blank_picture_tells_nothing() -> None:
    for value in (0, 0xFFFFFFFF):
        shown = value.to_bytes(4, "big")
        assert shown[3] != (sum(shown[:3]) + 90) % 256


def test_a_viewer_knows_what_is_newest_and_what_to_wait_for() -> None:
    head = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:70\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:00.000Z\n"
    first = '#EXT-X-PART:DURATION=0.500,URI="p1.m4s",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.400,URI="p2.m4s"\n'
    assert newest(head + first) == Newest("p2.m4s", 60.9, 70, 2)
    complete = head + first + "#EXTINF:0.900,\ns70.m4s\n"
    assert newest(complete) == Newest("p2.m4s", 60.9, 71, 0)
    second = '#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:00.900Z\n#EXT-X-PART:DURATION=0.500,URI="p3.m4s"\n'
    assert newest(complete + second) == Newest("p3.m4s", 61.4, 71, 1)
