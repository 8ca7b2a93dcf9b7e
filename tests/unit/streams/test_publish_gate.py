"""Who may publish (contract.md, Live rules)."""

from __future__ import annotations

import attrs
import trio
from stream_studio import AUDIO_HEADER, VIDEO_HEADER, Seat, Studio, frame, key_frame

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import StreamKey
from dorami_core.hooks.host import StreamView
from dorami_core.hooks.markers import hookimpl


async def test_unknown_keys_wrong_secrets_and_closed_streams_are_refused_without_effect(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    closed = await studio.service.create(title="two")
    await studio.service.end(closed.stream_key)
    written = len(studio.written)

    assert (await studio.publish(row, secret="guess")).refusal == "wrong_secret"
    assert (await studio.publish(row, secret="")).refusal == "wrong_secret"
    assert (await studio.publish(row, secret="비밀\udc80")).refusal == "wrong_secret"
    assert (await studio.publish(closed)).refusal == "ended"
    assert (await studio.publish(closed, secret="guess")).refusal == "wrong_secret"
    for key in ("nobody-has-this", "../etc", ""):
        assert (await studio.publish(attrs.evolve(row, stream_key=StreamKey(key)))).refusal == "unknown_key"

    await studio.quiet()
    assert len(studio.written) == written
    assert studio.broadcasts.statistics().refused == 8
    assert studio.broadcasts.statistics().broadcasts == ()


async def test_a_plugin_may_refuse(studio: Studio) -> None:
    class Bouncer:
        @hookimpl
        async def authorize_publish(self, stream: StreamView, address: str) -> None:
            if stream.title == "late":
                raise DoramiError("FORBIDDEN")

    studio.manager.register(Bouncer())
    assert (await studio.publish(await studio.service.create(title="late"))).refusal == "refused"
    assert (await studio.publish(await studio.service.create(title="early"))).refusal is None


async def test_a_rotated_secret_counts_for_the_next_publisher_only(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    first = await studio.publish(row)
    first.write(VIDEO_HEADER)
    rotated = await studio.service.rotate_secret(row.stream_key)
    assert rotated.secret != row.secret
    await studio.until(row.stream_key, "LIVE")
    first.write(key_frame(1))
    assert first.cut is None
    await first.go()
    assert (await studio.publish(row)).refusal == "wrong_secret"
    assert (await studio.publish(rotated)).refusal is None


async def test_a_second_publisher_is_busy_while_the_first_sends(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    first = await studio.publish(row)
    first.write(VIDEO_HEADER, key_frame(0))
    await studio.until(row.stream_key, "LIVE")
    studio.clock.advance(4.9)
    assert (await studio.publish(row)).refusal == "busy"
    first.write(frame(4900))
    studio.clock.advance(4.9)
    assert (await studio.publish(row)).refusal == "busy"
    assert first.cut is None


async def test_a_publisher_silent_for_five_seconds_gives_its_place_to_the_next(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    first = await studio.publish(row)
    first.write(VIDEO_HEADER, key_frame(0, b"first"))
    await studio.until(row.stream_key, "LIVE")
    studio.clock.advance(5)
    await studio.until(row.stream_key, "INTERRUPTED")
    second = await studio.publish(row)
    assert second.refusal is None
    assert await first.was_cut() == "replaced"
    await studio.quiet()
    first.write(frame(6000, b"ghost"))
    second.write(VIDEO_HEADER, key_frame(0, b"second"))
    await studio.quiet()
    assert studio.events() == ["Created", "Started", "Interrupted", "Resumed"]
    assert (await studio.row(row.stream_key)).status == "LIVE"
    (relay,) = studio.relays.made
    assert relay.packets == [
        "source",
        VIDEO_HEADER,
        key_frame(0, b"first"),
        "source",
        VIDEO_HEADER,
        key_frame(0, b"second"),
    ]


async def test_of_many_publishers_at_once_one_is_let_in(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    seats: list[Seat] = []

    async def race() -> None:
        seats.append(await studio.publish(row))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(race)
    assert sorted(str(seat.refusal) for seat in seats) == ["None"] + ["busy"] * 99


async def test_an_end_during_many_arrivals_leaves_nobody_in(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    seats: list[Seat] = []

    async def race() -> None:
        seat = await studio.publish(row)
        if seat.refusal is None:
            seat.write(VIDEO_HEADER, AUDIO_HEADER)
        seats.append(seat)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(race)
        nursery.start_soon(studio.service.end, row.stream_key)
        for _ in range(20):
            nursery.start_soon(race)
    for seat in seats:
        assert seat.refusal in ("busy", "ended", None)
        if seat.refusal is None:
            assert await seat.was_cut() == "ended"
    await studio.quiet()
    ended = await studio.row(row.stream_key)
    assert (ended.status, ended.closed) == ("OFFLINE", True)
    assert studio.relays.open_keys == set()
    assert (await studio.publish(row)).refusal == "ended"


async def test_nobody_is_let_in_once_the_process_stops(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    await studio.stop()
    assert (await studio.publish(row)).refusal == "refused"
