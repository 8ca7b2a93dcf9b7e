from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from stream_studio import Studio

from dorami_core.events.model import Event
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.testing.clock import ManualClock


@pytest.fixture
async def studio(
    database: PostgresDatabase, manual_clock: ManualClock, written_events: list[Event]
) -> AsyncIterator[Studio]:
    async with trio.open_nursery() as nursery:
        made = Studio(database, manual_clock, written_events, nursery)
        await made.start()
        yield made
        nursery.cancel_scope.cancel()
