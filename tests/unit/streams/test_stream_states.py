from __future__ import annotations

from typing import get_args

import pytest

from dorami_core.hooks.host import StreamStatus
from dorami_core.streams.states import TRANSITIONS, Cause, after, sources

EXPECTED = {
    "PENDING": {"media": "LIVE", "closed": "OFFLINE"},
    "LIVE": {"lost": "INTERRUPTED", "finished": "OFFLINE", "closed": "OFFLINE"},
    "INTERRUPTED": {"media": "LIVE", "grace_over": "OFFLINE", "finished": "OFFLINE", "closed": "OFFLINE"},
    "OFFLINE": {"media": "LIVE"},
}


@pytest.mark.parametrize("status", get_args(StreamStatus))
@pytest.mark.parametrize("cause", get_args(Cause))
def test_every_pair_of_status_and_cause(status: StreamStatus, cause: Cause) -> None:
    assert after(status, cause) == EXPECTED[status].get(cause)


def test_the_table_has_nothing_else() -> None:
    assert len(TRANSITIONS) == sum(len(causes) for causes in EXPECTED.values())


def test_sources_are_the_statuses_that_a_cause_leads_out_of() -> None:
    assert sources("finished") == ["LIVE", "INTERRUPTED"]
    assert sources("closed") == ["PENDING", "LIVE", "INTERRUPTED"]
