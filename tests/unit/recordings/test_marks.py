"""The clock beside the file."""

from __future__ import annotations

from dorami_core.recordings.feed import Marks

BEGAN = 1_000_000_000_000


def test_one_mark_while_file_and_clock_run_alike() -> None:
    marks = Marks()
    for at_ms in range(0, 60_000, 20):
        marks.note(at_ms, BEGAN + at_ms + at_ms % 7)
    assert marks.all() == [(0, BEGAN)]


def test_the_first_burst_is_of_the_past() -> None:
    marks = Marks()
    for at_ms in range(0, 1000, 20):
        marks.note(at_ms, BEGAN)
    assert marks.all() == [(0, BEGAN - 980)]


def test_each_gap_is_a_mark() -> None:
    marks = Marks()
    for gap in range(3):
        for at_ms in range(gap * 4000, (gap + 1) * 4000, 20):
            marks.note(at_ms, BEGAN + at_ms + gap * 25_000)
    assert marks.all() == [(0, BEGAN), (4000, BEGAN + 29_000), (8000, BEGAN + 58_000)]


def test_a_delay_leaves_none() -> None:
    marks = Marks()
    for at_ms in range(0, 10_000, 20):
        late_ms = max(0, 3000 - (at_ms - 4000)) if at_ms >= 4000 else 0
        marks.note(at_ms, BEGAN + at_ms + late_ms)
    assert marks.all() == [(0, BEGAN)]
