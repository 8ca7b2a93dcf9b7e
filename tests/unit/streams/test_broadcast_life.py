"""A broadcast from its first packet to its end, on a clock that stands still."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import trio
from stream_studio import METADATA, VIDEO_HEADER, Studio, frame, key_frame

from dorami_core.base.ids import StreamKey
from dorami_core.events.streams import StreamEnded, StreamInterrupted
from dorami_core.hooks.host import StreamView
from dorami_core.hooks.markers import hookimpl
from dorami_core.hooks.transactions import Tx
from dorami_core.testing.clock import START


async def test_connecting_or_metadata_alone_is_not_live_yet(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    seat.write(METADATA)
    await studio.quiet()
    assert (await studio.row(row.stream_key)).status == "PENDING"
    assert studio.relays.made == []
    seat.write(VIDEO_HEADER)
    live = await studio.until(row.stream_key, "LIVE")
    assert (live.started_at, live.session_no) == (START, 1)
    assert studio.relays.made[0].packets == ["source", METADATA, VIDEO_HEADER]


async def test_a_lost_publisher_returns_into_the_same_broadcast(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    seat.write(VIDEO_HEADER)
    await studio.until(row.stream_key, "LIVE")
    await seat.go()
    interrupted = await studio.until(row.stream_key, "INTERRUPTED")
    assert interrupted.grace_ends_at == START + timedelta(seconds=30)
    studio.clock.advance(29.9)
    await studio.quiet()
    assert (await studio.row(row.stream_key)).status == "INTERRUPTED"
    again = await studio.publish(row)
    again.write(VIDEO_HEADER)
    resumed = await studio.until(row.stream_key, "LIVE")
    assert (resumed.session_no, resumed.started_at, resumed.grace_ends_at) == (1, START, None)
    studio.clock.advance(60)
    again.write(frame(60_000))
    await studio.quiet()
    assert studio.events() == ["Created", "Started", "Interrupted", "Resumed"]
    assert len(studio.relays.made) == 1, "viewers stay connected"
    assert not studio.relays.made[0].ended


async def test_a_publisher_that_falls_silent_is_an_interruption_and_goes_on_without_a_seam(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    seat.write(VIDEO_HEADER, key_frame(0))
    await studio.until(row.stream_key, "LIVE")
    studio.clock.advance(4.9)
    await studio.quiet()
    assert (await studio.row(row.stream_key)).status == "LIVE"
    studio.clock.advance(0.1)
    interrupted = await studio.until(row.stream_key, "INTERRUPTED")
    assert interrupted.grace_ends_at == START + timedelta(seconds=35)
    await studio.quiet()
    studio.clock.advance(2)
    seat.write(frame(7000))
    await studio.until(row.stream_key, "LIVE")
    (relay,) = studio.relays.made
    assert relay.packets == ["source", VIDEO_HEADER, key_frame(0), frame(7000)]
    assert studio.events() == ["Created", "Started", "Interrupted", "Resumed"]
    studio.clock.advance(5)
    await studio.until(row.stream_key, "INTERRUPTED")


async def test_silence_is_found_whatever_the_task_is_about_when_its_time_has_come(studio: Studio) -> None:
    for checkpoints in range(20):
        row = await studio.service.create(title="one")
        seat = await studio.publish(row)
        await studio.quiet()
        seat.write(VIDEO_HEADER)
        with trio.fail_after(60):
            while studio.broadcasts.statistics().broadcasts[0].status != "LIVE":
                await trio.lowlevel.checkpoint()
        for _ in range(checkpoints):
            await trio.lowlevel.checkpoint()
        studio.clock.advance(5)
        await studio.until(row.stream_key, "INTERRUPTED")
        await studio.service.end(row.stream_key)


async def test_one_whose_publisher_is_connected_is_not_given_up(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    silent = await studio.publish(row)
    silent.write(VIDEO_HEADER)
    await studio.until(row.stream_key, "LIVE")
    studio.clock.advance(5)
    await studio.until(row.stream_key, "INTERRUPTED")
    await silent.go()
    late = await studio.publish(row)
    await studio.quiet()
    studio.clock.advance(31)
    await studio.quiet()
    assert (await studio.row(row.stream_key)).status == "INTERRUPTED"
    late.write(VIDEO_HEADER)
    assert (await studio.until(row.stream_key, "LIVE")).session_no == 1
    studio.clock.advance(5)
    await studio.until(row.stream_key, "INTERRUPTED")
    await studio.quiet()
    studio.clock.advance(31)
    await studio.quiet()
    assert (await studio.row(row.stream_key)).status == "INTERRUPTED"
    await late.go()
    await studio.until(row.stream_key, "OFFLINE")
    assert studio.events()[-1] == "Ended"
    await studio.quiet()
    assert studio.broadcasts.statistics().broadcasts == ()


async def test_after_the_grace_time_it_is_offline_and_publishing_opens_a_new_session(studio: Studio) -> None:
    studio.viewers["*"] = 0
    row = await studio.service.create(title="one")
    studio.viewers[row.stream_key] = 3
    seat = await studio.publish(row)
    seat.write(VIDEO_HEADER)
    await studio.until(row.stream_key, "LIVE")
    studio.broadcasts.report_viewers(row.stream_key, 9)
    studio.broadcasts.report_viewers(row.stream_key, 7)
    await studio.quiet()
    assert (await studio.row(row.stream_key)).peak_viewers == 9
    await seat.go()
    await studio.until(row.stream_key, "INTERRUPTED")
    await studio.quiet()
    studio.clock.advance(30)
    offline = await studio.until(row.stream_key, "OFFLINE")
    assert offline.ended_at == START + timedelta(seconds=30)
    ended = studio.written[-1]
    assert isinstance(ended, StreamEnded)
    assert (ended.reason, ended.peak_viewers) == ("publisher_lost", 9)
    assert studio.relays.made[0].ended
    await studio.quiet()
    assert studio.broadcasts.statistics().broadcasts == (), "nothing is left to own"

    studio.viewers[row.stream_key] = 2
    second = await studio.publish(row)
    second.write(VIDEO_HEADER)
    live = await studio.until(row.stream_key, "LIVE")
    assert (live.session_no, live.peak_viewers, live.ended_at) == (2, 2, None)
    assert live.started_at == START + timedelta(seconds=30)
    assert len(studio.relays.made) == 2


async def test_goodbye_ends_it_at_once(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    seat.write(VIDEO_HEADER)
    await studio.until(row.stream_key, "LIVE")
    seat.finish()
    seat.finish()
    seat.write(frame(1, b"after goodbye"))
    offline = await studio.until(row.stream_key, "OFFLINE")
    assert not offline.closed
    await seat.go()
    await studio.quiet()
    assert studio.events() == ["Created", "Started", "Ended"]
    assert studio.written[-1].reason == "seller"  # type: ignore[attr-defined]


async def test_the_end_cuts_the_publisher_for_good_and_twice_is_once(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    seat.write(VIDEO_HEADER)
    await studio.until(row.stream_key, "LIVE")
    first = await studio.service.end(row.stream_key)
    second = await studio.service.end(row.stream_key)
    assert await seat.was_cut() == "ended"
    assert first == second
    assert (first.status, first.closed) == ("OFFLINE", True)
    await studio.quiet()
    assert studio.events() == ["Created", "Started", "Ended"]
    assert studio.broadcasts.statistics().broadcasts == ()


async def test_a_planned_broadcast_can_be_called_off(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    assert (await studio.service.end(row.stream_key)).status == "OFFLINE"
    assert list(await studio.service.upcoming()) == []


async def test_ending_what_is_offline_closes_it_without_another_event(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    seat.write(VIDEO_HEADER)
    await studio.until(row.stream_key, "LIVE")
    seat.finish()
    ended_at = (await studio.until(row.stream_key, "OFFLINE")).ended_at
    await studio.quiet()
    studio.clock.advance(100)
    closed = await studio.service.end(row.stream_key)
    assert (closed.closed, closed.ended_at) == (True, ended_at)
    assert studio.events().count("Ended") == 1


async def test_a_failing_step_is_tried_again_and_packets_do_not_wait(studio: Studio) -> None:
    class Fragile:
        failures = 2
        seen: list[str] = []  # noqa: RUF012

        @hookimpl
        async def stream_ended_in_tx(self, tx: Tx, stream: StreamView) -> None:
            self.seen.append(stream.status)
            await tx.fetchval("SELECT 1")
            if self.failures:
                self.failures -= 1
                raise RuntimeError("not now")

    studio.manager.register(Fragile())
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    seat.write(VIDEO_HEADER)
    await studio.until(row.stream_key, "LIVE")
    seat.finish()
    await studio.quiet()
    assert (await studio.row(row.stream_key)).status == "LIVE", "rolled back"
    assert studio.relays.made[0].ended, "but viewers are told"
    assert studio.broadcasts.statistics().broadcasts[0].failures == 1
    studio.clock.advance(0.25)
    await studio.quiet()
    assert studio.broadcasts.statistics().broadcasts[0].failures == 2
    studio.clock.advance(0.5)
    await studio.until(row.stream_key, "OFFLINE")
    assert Fragile.seen == ["OFFLINE"] * 3
    assert studio.events() == ["Created", "Started", "Ended"]


async def test_what_is_due_waits_for_the_next_try(studio: Studio) -> None:
    class Refuses:
        refused = 0

        @hookimpl
        async def stream_ended_in_tx(self, tx: Tx, stream: StreamView) -> None:
            self.refused += 1
            raise RuntimeError("not now")

    refuses = Refuses()
    studio.manager.register(refuses)
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    seat.write(VIDEO_HEADER)
    await studio.until(row.stream_key, "LIVE")
    await seat.go()
    await studio.until(row.stream_key, "INTERRUPTED")
    await studio.quiet()
    studio.clock.advance(30)
    await studio.quiet()
    assert refuses.refused == 1
    studio.manager.unregister(refuses)
    studio.clock.advance(0.25)
    await studio.until(row.stream_key, "OFFLINE")


async def test_what_a_dead_process_left_on_air_gets_a_new_grace_time(studio: Studio) -> None:
    live = await studio.service.create(title="live")
    interrupted = await studio.service.create(title="interrupted")
    for row in (live, interrupted):
        seat = await studio.publish(row)
        seat.write(VIDEO_HEADER)
        await studio.until(row.stream_key, "LIVE")
    await seat.go()
    await studio.until(interrupted.stream_key, "INTERRUPTED")
    await studio.stop()
    assert (await studio.row(live.stream_key)).status == "LIVE"
    assert studio.relays.open_keys == set()
    studio.clock.advance(1000)

    await studio.start()
    for row in (live, interrupted):
        found = await studio.until_true(
            row.stream_key, lambda row: row.grace_ends_at == studio.clock.now() + timedelta(seconds=30)
        )
        assert found.status == "INTERRUPTED"
    back = await studio.publish(live)
    back.write(VIDEO_HEADER)
    await studio.until(live.stream_key, "LIVE")
    await studio.quiet()
    studio.clock.advance(30)
    await studio.until(interrupted.stream_key, "OFFLINE")
    assert (await studio.row(live.stream_key)).session_no == 1


async def test_companions_run_while_on_air_are_isolated_and_start_again(studio: Studio) -> None:
    log: list[str] = []

    async def writer(stream_key: StreamKey) -> None:
        log.append("begin")
        try:
            await trio.sleep_forever()
        finally:
            log.append("end")

    async def broken(stream_key: StreamKey) -> None:
        log.append("broken")
        raise OSError("disk")

    await studio.stop()
    studio.companions += [writer, broken]
    await studio.start()
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    seat.write(VIDEO_HEADER)
    await studio.until(row.stream_key, "LIVE")
    await studio.quiet()
    assert sorted(log) == ["begin", "broken"]
    studio.clock.advance(0.5)
    await studio.quiet()
    studio.clock.advance(0.9)
    await studio.quiet()
    assert sorted(log) == ["begin", "broken", "broken"]
    await seat.go()
    await studio.until(row.stream_key, "INTERRUPTED")
    await studio.quiet()
    assert "end" not in log
    studio.clock.advance(30)
    await studio.until(row.stream_key, "OFFLINE")
    await studio.quiet()
    assert log.count("end") == 1


async def test_leaving_twice_or_late_changes_nothing(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    old = await studio.publish(row)
    old.write(VIDEO_HEADER)
    await studio.until(row.stream_key, "LIVE")
    studio.clock.advance(6)
    await studio.until(row.stream_key, "INTERRUPTED")
    new = await studio.publish(row)
    new.write(VIDEO_HEADER)
    old.finish()  # after it was replaced
    await old.go()
    source: Any = old.publication
    source.leave()
    source.finish()
    await studio.quiet()
    assert (await studio.row(row.stream_key)).status == "LIVE"
    assert studio.events() == ["Created", "Started", "Interrupted", "Resumed"]


@pytest.mark.parametrize("goodbye", [True, False])
async def test_a_publisher_that_never_sent_leaves_no_trace(studio: Studio, goodbye: bool) -> None:
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    if goodbye:
        seat.finish()
    await seat.go()
    await studio.quiet()
    assert (await studio.row(row.stream_key)).status == "PENDING"
    assert studio.events() == ["Created"]
    assert studio.broadcasts.statistics().broadcasts == ()


async def test_the_interruption_names_the_end_of_the_grace_time(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    seat.write(VIDEO_HEADER, key_frame(0))
    await studio.until(row.stream_key, "LIVE")
    await seat.go()
    await studio.until(row.stream_key, "INTERRUPTED")
    event = studio.written[-1]
    assert isinstance(event, StreamInterrupted)
    assert event.grace_ends_at == START + timedelta(seconds=30)


async def test_a_goodbye_in_the_same_moment_as_the_first_packet_leaves_no_relay(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    seat.write(VIDEO_HEADER)
    seat.finish()
    await seat.go()
    await studio.quiet()
    assert (await studio.row(row.stream_key)).status == "PENDING"
    assert studio.relays.open_keys == set()
    assert studio.broadcasts.statistics().broadcasts == ()
