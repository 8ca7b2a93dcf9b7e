"""Between the time in a replay and the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from dorami_core.base.ids import StreamKey
from dorami_core.hooks import Span, Timeline
from dorami_core.recordings.model import Part, timeline_of

START = datetime(2026, 1, 2, 12, tzinfo=UTC)


def ms(seconds: float) -> int:
    return round((START.timestamp() + seconds) * 1000)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def part(duration_s: float, *marks: tuple[float, float]) -> Part:
    """Marks: seconds in the file, seconds by the clock."""
    return Part(
        id=UUID(int=1),
        live_id=StreamKey("show"),
        session_at=START,
        number=1,
        file="f",
        status="READY",
        began_at=START,
        ended_at=START,
        updated_at=START,
        duration_ms=round(duration_s * 1000),
        bytes=1,
        marks=[(round(file_s * 1000), ms(clock_s)) for file_s, clock_s in marks],
        kept=False,
        delete_at=None,
        delete_reason=None,
        replay_id=UUID(int=2),
        public=True,
    )


# A minute on air, 20 s away, 30 s on air; then another format after 10 s, for 40 s.
SHOW = timeline_of([part(90, (0, 0), (60, 80)), part(40, (0, 120))])


@pytest.mark.parametrize(
    ("clock_s", "replay_s"),
    [
        (-5, 0),
        (0, 0),
        (59, 59),
        (60, 60),
        (70, 60),  # in the gap: where the video goes on
        (80, 60),
        (81, 61),
        (110, 90),
        (119, 90),
        (121, 91),
        (160, 130),
        (500, 130),
    ],
)
def test_a_moment_has_its_place_in_the_replay(clock_s: float, replay_s: float) -> None:
    assert SHOW.at_ms(at(clock_s)) == replay_s * 1000


@pytest.mark.parametrize(
    ("replay_s", "clock_s"), [(0, 0), (59, 59), (60, 80), (61, 81), (90, 120), (91, 121), (130, 160), (999, 160)]
)
def test_a_place_in_the_replay_has_its_moment(replay_s: float, clock_s: float) -> None:
    assert SHOW.moment(replay_s * 1000) == at(clock_s)


def test_every_place_is_the_place_of_its_moment() -> None:
    assert SHOW.length_ms == 130_000
    for at_ms in range(0, SHOW.length_ms, 250):
        assert SHOW.at_ms(SHOW.moment(at_ms)) == at_ms


def test_marks_beyond_what_was_written_count_for_nothing() -> None:
    assert timeline_of([part(5, (0, 0), (7, 30))]).spans == [Span(0, ms(0), 5000)]
    assert timeline_of([part(0, (0, 0))]).length_ms == 0
    with pytest.raises(ValueError, match="empty"):
        Timeline([]).moment(0)
