"""Random walks: whatever the order of commands, doubled or late, a broadcast ends where a simple model says."""

from __future__ import annotations

import random

import pytest
from stream_studio import VIDEO_HEADER, Seat, Studio

STEPS = 40


@pytest.mark.parametrize("seed", range(8))
async def test_random_walks_agree_with_the_model(studio: Studio, seed: int) -> None:
    dice = random.Random(seed)
    row = await studio.service.create(title="walk")
    key = row.stream_key
    status, sessions, publisher, sending = "PENDING", 0, None, False
    former: list[Seat] = []

    for _ in range(STEPS):
        move = dice.choice(["arrive", "arrive", "media", "media", "leave", "finish", "late", "wait", "wait_long"])
        if move == "arrive":
            seat = await studio.publish(row)
            assert seat.refusal == (None if publisher is None else "busy")
            if publisher is None:
                publisher, sending = seat, False
        elif move == "media" and publisher is not None:
            for _ in range(dice.randint(1, 3)):
                publisher.write(VIDEO_HEADER)
            sessions += status in ("PENDING", "OFFLINE")
            status, sending = "LIVE", True
        elif move in ("leave", "finish") and publisher is not None:
            if move == "finish":
                publisher.finish()
                status = "OFFLINE" if status in ("LIVE", "INTERRUPTED") else status
            elif status == "LIVE" and sending:
                status = "INTERRUPTED"
            await publisher.go()
            former.append(publisher)
            publisher = None
        elif move == "late" and former:
            old = dice.choice(former)
            old.write(VIDEO_HEADER)
            old.finish()
            await old.go()
        elif move == "wait":
            studio.clock.advance(1)
            if publisher is not None and sending:
                publisher.write(VIDEO_HEADER)
        elif move == "wait_long":
            if publisher is not None:  # one that is silent would be cut by the next, which is another test
                publisher.write(VIDEO_HEADER)
                sessions += status in ("PENDING", "OFFLINE")
                status, sending = "LIVE", True
            await studio.quiet()
            studio.clock.advance(31)
            if publisher is not None:
                publisher.write(VIDEO_HEADER)
            if status == "INTERRUPTED":
                status = "OFFLINE"
        await studio.quiet()
        found = await studio.row(key)
        assert (found.status, found.session_no) == (status, sessions), move
        assert (key in studio.relays.open_keys) == (status in ("LIVE", "INTERRUPTED")), move

    names = studio.events()
    assert names.count("Started") == sessions
    assert names.count("Started") - names.count("Ended") == (status in ("LIVE", "INTERRUPTED"))


async def test_commands_faster_than_the_database_keep_their_order(studio: Studio) -> None:
    row = await studio.service.create(title="fast")
    for pause in range(20):
        seat = await studio.publish(row)
        assert seat.refusal is None
        seat.write(VIDEO_HEADER)
        for _ in range(pause % 5):
            await studio.db.fetchval("SELECT 1")
        seat.finish()
        await seat.go()
    await studio.quiet()
    names = studio.events()[1:]
    assert names == ["Started", "Ended"] * (len(names) // 2)
    assert names, "some were slow enough to be seen"
    assert (await studio.row(row.stream_key)).status == "OFFLINE"
    assert studio.relays.open_keys == set()
    assert studio.broadcasts.statistics().broadcasts == ()
