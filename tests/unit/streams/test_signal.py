"""The signal of a broadcast's publisher, and what the last one sent that is not taken."""

from __future__ import annotations

import pytest
from stream_studio import AUDIO_HEADER, VIDEO_HEADER, Studio, frame, key_frame
from test_stream_service import ADMIN, Routes

from dorami_core.base.errors import DoramiError
from dorami_core.media.packets import MediaKind
from dorami_core.testing.sockets import user_principal

PATH = "/api/streams/{streamKey}/signal"


async def test_a_publisher_is_measured_while_it_is_there(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    routes = Routes(studio.service)
    assert (await routes.call("GET", PATH, ADMIN, streamKey=row.stream_key))["verdict"] == "NONE"
    seat = await studio.publish(row)
    assert seat.publication is not None
    seat.write(VIDEO_HEADER, AUDIO_HEADER)
    for number in range(60):
        studio.clock.advance(1 / 30)
        seat.write(key_frame(number * 33) if number % 30 == 0 else frame(number * 33))
    seat.publication.note_round_trip(0.0421)
    found = await routes.call("GET", PATH, ADMIN, streamKey=row.stream_key)
    assert (found["verdict"], found["videoCodec"], found["audioCodec"]) == ("GOOD", "H.264", "AAC")
    assert (found["keyframeIntervalMs"], found["droppedFrames"], found["roundTripMs"]) == (990, 0, 42)
    assert found["framesPerSecond"] == pytest.approx(30, abs=1)
    studio.clock.advance(3)
    assert (await studio.service.signal(row.stream_key)).verdict == "SILENT"
    await seat.go()
    assert (await studio.service.signal(row.stream_key)).verdict == "NONE"


async def test_a_codec_that_is_not_taken_is_told_until_another_publisher(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    seat = await studio.publish(row)
    assert seat.publication is not None
    seat.publication.note_codec(MediaKind.VIDEO, "VP9")
    await seat.go()
    routes = Routes(studio.service)
    found = await routes.call("GET", PATH, ADMIN, streamKey=row.stream_key)
    assert found["refused"] == {"kind": "video", "codec": "VP9"}
    other = await studio.publish(row)
    assert (await studio.service.signal(row.stream_key)).refused is None
    await other.go()
    assert (await studio.service.signal(row.stream_key)).refused is None


async def test_the_signal_is_for_staff(studio: Studio) -> None:
    row = await studio.service.create(title="one")
    routes = Routes(studio.service)
    with pytest.raises(DoramiError, match="FORBIDDEN"):
        await routes.call("GET", PATH, user_principal("mina"), streamKey=row.stream_key)
    with pytest.raises(DoramiError, match="STREAM_NOT_FOUND"):
        await routes.call("GET", PATH, ADMIN, streamKey="nobody-has-this")
