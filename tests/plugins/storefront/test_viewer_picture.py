"""The points of the viewers' curve."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dorami_storefront.curve import BOTTOM, LEFT, RIGHT, TOP, draw

from dorami_core.hooks import ViewerMinute

AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def minutes(*counts: int | None) -> list[ViewerMinute]:
    return [
        ViewerMinute(AT + timedelta(minutes=number), count, count / 2)
        for number, count in enumerate(counts)
        if count is not None
    ]


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw([]) is None


def test_it_fills_the_plot_from_the_first_to_the_last_minute() -> None:
    curve = draw(minutes(0, *[50] * 19, 100))
    assert curve is not None
    (line,), (area,) = curve.highest, curve.average
    assert line.startswith(f"{LEFT},{BOTTOM} ")
    assert line.endswith(f" {RIGHT},{TOP}")
    assert area.split()[0] == f"{LEFT},{BOTTOM}"
    assert area.split()[-1] == f"{RIGHT},{BOTTOM}"
    assert (curve.peak, curve.peak_viewers) == ((RIGHT, TOP), 100)
    assert (curve.begins_at, curve.ends_at) == (AT, AT + timedelta(minutes=21))
    assert curve.top == 100


def test_a_hole_ends_a_line() -> None:
    curve = draw(minutes(1, 2, None, None, 3))
    assert curve is not None
    assert [len(line.split()) for line in curve.highest] == [2, 2]
    assert [len(area.split()) for area in curve.average] == [4, 3]


def test_few_minutes_are_not_drawn_out_and_few_people_are_not_a_crowd() -> None:
    curve = draw(minutes(1, 1))
    assert curve is not None
    assert curve.top == 5
    assert float(curve.highest[0].split()[1].split(",")[0]) < LEFT + (RIGHT - LEFT) / 9


def test_the_scale_is_easily_read() -> None:
    tops = []
    for highest in (0, 5, 7, 41, 640, 1204):
        curve = draw(minutes(highest))
        assert curve is not None
        tops.append(curve.top)
    assert tops == [5, 5, 8, 50, 800, 1500]
