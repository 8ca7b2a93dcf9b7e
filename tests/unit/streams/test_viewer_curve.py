"""Peak and minutes of a broadcast, sampled by the process that owns it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import trio
import trio.testing
from stream_studio import Seat, Studio, key_frame

from dorami_core.base.ids import StreamKey
from dorami_core.events.model import Event
from dorami_core.hooks.host import ViewerMinute
from dorami_core.hooks.transactions import Queries
from dorami_core.store.embedded import embedded_postgres
from dorami_core.store.migrations import CORE, migrate
from dorami_core.store.postgres import PostgresDatabase, open_database
from dorami_core.streams import viewer_minutes
from dorami_core.streams.curve import ViewerCurve
from dorami_core.streams.model import StreamRow
from dorami_core.testing.clock import START, ManualClock


def minute(number: int, highest: int, average: float) -> ViewerMinute:
    return ViewerMinute(START.replace(second=0) + timedelta(minutes=number), highest, average)


async def on_air(studio: Studio, viewers: int = 0) -> tuple[StreamRow, Seat]:
    row = await studio.service.create(title="one")
    studio.viewers[row.stream_key] = viewers
    seat = await studio.publish(row)
    seat.write(key_frame(0))
    await studio.until(row.stream_key, "LIVE")
    await asleep(studio.clock)
    return row, seat


async def asleep(clock: ManualClock, tasks: int = 3) -> None:
    """Until the sampler waits for its next second, what listens for ends too, and the broadcast."""
    with trio.fail_after(60):
        await trio.testing.wait_all_tasks_blocked()
        while clock.sleeping != tasks:
            await trio.lowlevel.checkpoint()


async def seconds(clock: ManualClock, number: int, seat: Seat | None = None, tasks: int = 3) -> None:
    """Each of them with its sample, and a word of the publisher."""
    for _ in range(number):
        clock.advance(1)
        if seat is not None:
            seat.write(key_frame(0))
        await asleep(clock, tasks)


async def test_a_second_a_sample_and_a_minute_a_row(studio: Studio) -> None:
    # The clock stands at 5 s past the minute; the first sample is taken then.
    row, seat = await on_air(studio, 2)
    await seconds(studio.clock, 4, seat)
    studio.viewers[row.stream_key] = 7
    await seconds(studio.clock, 5, seat)
    studio.viewers[row.stream_key] = 4
    await seconds(studio.clock, 55, seat)
    await studio.service.end(row.stream_key)
    await studio.quiet()
    minutes = await studio.service.viewer_minutes(row.stream_key)
    assert minutes == [minute(0, 7, round((5 * 2 + 5 * 7 + 45 * 4) / 55, 1)), minute(1, 4, 4.0)]
    assert (await studio.row(row.stream_key)).peak_viewers == 7


async def test_it_survives_a_restart_and_an_interruption(studio: Studio) -> None:
    row, _ = await on_air(studio, 10)
    await seconds(studio.clock, 3)
    await studio.stop()
    assert await studio.service.viewer_minutes(row.stream_key) == [minute(0, 10, 10.0)]
    studio.clock.advance(1)
    studio.viewers[row.stream_key] = 20
    await studio.start()
    await studio.until(row.stream_key, "INTERRUPTED")
    await asleep(studio.clock)
    await seconds(studio.clock, 3)
    await studio.service.end(row.stream_key)
    await studio.quiet()
    assert await studio.service.viewer_minutes(row.stream_key) == [minute(0, 20, 15.0)]
    assert (await studio.row(row.stream_key)).peak_viewers == 20


async def test_a_killed_process_loses_ten_seconds_at_most(studio: Studio, database: PostgresDatabase) -> None:
    row, seat = await on_air(studio, 3)
    await seconds(studio.clock, 11, seat)
    samples = await database.fetchval(
        "SELECT sum(samples) FROM streams.viewer_minutes WHERE stream_key = $1", row.stream_key
    )
    assert samples == 11


async def test_each_session_has_its_own_curve(studio: Studio) -> None:
    row, seat = await on_air(studio, 5)
    await seconds(studio.clock, 60, seat)
    key = row.stream_key
    seat.finish()
    await seat.go()
    await studio.until(key, "OFFLINE")
    await studio.quiet()
    assert [one.highest for one in await studio.service.viewer_minutes(key)] == [5, 5]
    studio.viewers[key] = 1
    seat = await studio.publish(row)
    seat.write(key_frame(0))
    await studio.until(key, "LIVE")
    await asleep(studio.clock)
    await seconds(studio.clock, 12, seat)
    assert await studio.service.viewer_minutes(key) == [minute(1, 1, 1.0)]


async def test_without_the_database_the_rows_come_later(server_directory: Path) -> None:
    folder, clock, key = server_directory / "curve", ManualClock(), StreamKey("live-one")
    heard: list[int] = []
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        async with embedded_postgres(folder) as url:
            await migrate(url, [CORE])
            db = await stack.enter_async_context(open_database(url, outbox_writer=no_events))
            await db.execute(
                "INSERT INTO streams.streams (stream_key, title, secret, created_at) VALUES ($1, 'one', 's', now())",
                key,
            )
            curve = ViewerCurve(db, clock, lambda _: 3, lambda _, count: heard.append(count))
            nursery.start_soon(curve.run, key)
            await asleep(clock, tasks=1)
        await seconds(clock, 25, tasks=1)
        await stack.enter_async_context(embedded_postgres(folder))
        assert await viewer_minutes.list_session(db, key, 0) == []
        await seconds(clock, 10, tasks=1)
        assert await viewer_minutes.list_session(db, key, 0) == [minute(0, 3, 3.0)]
        samples = await db.fetchval("SELECT samples FROM streams.viewer_minutes")
        assert 30 < samples <= len(heard) == 36
        nursery.cancel_scope.cancel()


async def no_events(_: Queries, __: Sequence[Event]) -> None:
    raise AssertionError("a curve says nothing")


async def test_an_unknown_stream_has_no_curve(studio: Studio) -> None:
    assert await studio.service.viewer_minutes("none-such") == []
