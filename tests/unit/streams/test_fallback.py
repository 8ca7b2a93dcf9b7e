"""The demo's source: plays while nobody publishes, gives way without a word, and comes back."""

from __future__ import annotations

import attrs
from stream_studio import AUDIO_HEADER, METADATA, VIDEO_HEADER, Studio, frame, key_frame


async def test_a_publisher_takes_its_place_and_it_comes_back_at_a_key_frame(studio: Studio) -> None:
    row = await studio.service.create(title="demo")
    demo = await studio.fallback(row)
    demo.write(METADATA, VIDEO_HEADER, AUDIO_HEADER, key_frame(0, b"demo"))
    await studio.until(row.stream_key, "LIVE")

    real = await studio.publish(row)
    demo.write(frame(40, b"demo"))  # the newcomer has sent nothing yet
    real.write(VIDEO_HEADER, key_frame(0, b"real"))
    demo.write(frame(80, b"unseen"))
    real.write(frame(40, b"real"))
    await studio.quiet()
    assert demo.cut is None
    await real.go()
    await studio.quiet()
    demo.write(frame(120, b"unseen"))
    demo.write(key_frame(160, b"demo again"))
    await studio.quiet()

    (relay,) = studio.relays.made
    later = [attrs.evolve(packet, timestamp_ms=160) for packet in (METADATA, VIDEO_HEADER, AUDIO_HEADER)]
    assert relay.packets == [
        "source",
        METADATA,
        VIDEO_HEADER,
        attrs.evolve(AUDIO_HEADER),
        key_frame(0, b"demo"),
        frame(40, b"demo"),
        "source",
        VIDEO_HEADER,
        key_frame(0, b"real"),
        frame(40, b"real"),
        "source",
        *later,
        key_frame(160, b"demo again"),
    ]
    assert studio.events() == ["Created", "Started"]
    assert (await studio.row(row.stream_key)).status == "LIVE"


async def test_a_goodbye_of_the_publisher_gives_it_back_too(studio: Studio) -> None:
    row = await studio.service.create(title="demo")
    demo = await studio.fallback(row)
    demo.write(VIDEO_HEADER, key_frame(0))
    real = await studio.publish(row)
    real.write(VIDEO_HEADER)
    await studio.until(row.stream_key, "LIVE")
    real.finish()
    await real.go()
    demo.write(key_frame(1))
    await studio.quiet()
    assert studio.events() == ["Created", "Started"]
    assert studio.broadcasts.statistics().broadcasts[0].on_air == "fallback"


async def test_a_fallback_that_fell_silent_does_not_hide_the_loss(studio: Studio) -> None:
    row = await studio.service.create(title="demo")
    await studio.fallback(row)
    real = await studio.publish(row)
    real.write(VIDEO_HEADER)
    await studio.until(row.stream_key, "LIVE")
    await real.go()
    await studio.quiet()
    assert (await studio.row(row.stream_key)).status == "LIVE"
    studio.clock.advance(5)
    await studio.until(row.stream_key, "INTERRUPTED")


async def test_the_end_is_for_the_fallback_too(studio: Studio) -> None:
    row = await studio.service.create(title="demo")
    demo = await studio.fallback(row)
    demo.write(VIDEO_HEADER, key_frame(0))
    await studio.until(row.stream_key, "LIVE")
    await studio.service.end(row.stream_key)
    assert await demo.was_cut() == "ended"
    assert (await studio.fallback(row)).refusal == "ended"


async def test_there_is_one_fallback_at_a_time_and_its_loss_is_a_loss(studio: Studio) -> None:
    row = await studio.service.create(title="demo")
    demo = await studio.fallback(row)
    demo.write(VIDEO_HEADER, key_frame(0))
    await studio.until(row.stream_key, "LIVE")
    assert (await studio.fallback(row)).refusal == "busy"
    await demo.go()
    await studio.until(row.stream_key, "INTERRUPTED")
