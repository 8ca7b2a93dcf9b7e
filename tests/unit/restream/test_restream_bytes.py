"""What a worker is given, and when the slate takes over: whoever was held up does not blame the broadcast."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from restream_parts import SLATE, make_state

from dorami_core.media.flv import FlvReader, encode_header, encode_tag
from dorami_core.media.packets import MediaKind
from dorami_core.media.viewer import Subscription
from dorami_core.restream.attempt import LATE_S, Opening, WorkerInput
from dorami_core.restream.feed import SLATE_AFTER_S, TargetFeed
from dorami_core.restream.state import RunState

OPENING = encode_header(audio=False, video=True) + b"".join(
    encode_tag(MediaKind.VIDEO, 0, payload) for payload in (b"\x17\x00\x00\x00\x00config", b"\x17\x01\x00\x00\x00key")
)


def frame(at_ms: int) -> bytes:
    return encode_tag(MediaKind.VIDEO, at_ms, b"\x27\x01\x00\x00\x00frame %d" % at_ms)


class Fed:
    """A worker's input whose broadcast is told by hand; the first two parts are out."""

    def __init__(self) -> None:
        self.broadcast = Subscription()
        self.state: RunState = make_state()
        feed = TargetFeed(SLATE, mute=False, has_video=True, has_audio=False)
        self.input = WorkerInput(b"job", Opening(OPENING), self.broadcast, feed, self.state)
        self._reader = FlvReader()

    async def open(self) -> None:
        assert await anext(self.input) == b"job"
        self._reader.feed(await anext(self.input))

    async def frames(self) -> list[bytes]:
        """Of the next part."""
        packets = self._reader.feed(await anext(self.input))
        return [p.payload[5:] for p in packets if p.kind is MediaKind.VIDEO and not p.is_sequence_header]


@pytest.fixture
async def fed(mock_clock: trio.testing.MockClock) -> Fed:
    fed = Fed()
    await fed.open()
    return fed


async def test_what_has_come_is_given_before_a_slate_however_slow_the_worker_was(
    fed: Fed, mock_clock: trio.testing.MockClock
) -> None:
    fed.broadcast.send_nowait(frame(33))
    mock_clock.jump(SLATE_AFTER_S + LATE_S + 1)
    fed.broadcast.send_nowait(frame(66))
    assert await fed.frames() == [b"frame 33", b"frame 66"]
    assert not fed.state.on_slate


async def test_a_process_that_was_held_up_listens_before_it_shows_the_slate(
    fed: Fed, mock_clock: trio.testing.MockClock
) -> None:
    got: list[list[bytes]] = []

    async def read() -> None:
        while True:
            got.append(await fed.frames())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(SLATE_AFTER_S + LATE_S + 0.1)
        await trio.testing.wait_all_tasks_blocked()
        assert (got, fed.state.on_slate) == ([], False)
        fed.broadcast.send_nowait(frame(33))
        await trio.testing.wait_all_tasks_blocked()
        assert (got, fed.state.on_slate) == ([[b"frame 33"]], False)

        mock_clock.jump(SLATE_AFTER_S + LATE_S / 2)
        await trio.testing.wait_all_tasks_blocked()
        assert fed.state.on_slate, "in time, and nothing was heard"
        nursery.cancel_scope.cancel()


async def test_a_slow_worker_of_a_silent_broadcast_gets_the_slate_at_once(
    fed: Fed, mock_clock: trio.testing.MockClock
) -> None:
    mock_clock.jump(10 * SLATE_AFTER_S)
    assert await anext(fed.input)
    assert fed.state.on_slate
