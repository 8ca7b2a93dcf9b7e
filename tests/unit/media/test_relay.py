"""The relay: who gets which bytes when, and that nobody pays for another's slowness. Real packets, sinks in memory."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import pytest
import trio
import trio.testing
from media_parts import BrokenSink, KeepsNothing, ListSink, encoded_packets, from_key_frame, shifted

from dorami_core.base.errors import DoramiError
from dorami_core.base.settings import MediaSettings
from dorami_core.media.hub import RelayHub, open_relay_hub
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.media.relay import LATEST, Relay

pytestmark = pytest.mark.plain_trio

SETTINGS = MediaSettings()
SMALL = MediaSettings(viewer_queue_max_bytes=60_000)
KEY = "test-key"


async def round_done() -> None:
    """Lets the relay send what has gathered. The clock jumps, so this takes no time."""
    await trio.sleep(SETTINGS.flv_interval_s * (LATEST + 0.01))
    await trio.testing.wait_all_tasks_blocked()


def write(relay: Relay, packets: Iterable[MediaPacket]) -> None:
    for packet in packets:
        relay.write(packet)


def live(hub: RelayHub) -> Relay:
    relay = hub.open(KEY)
    relay.begin_source()
    return relay


async def attach(nursery: trio.Nursery, hub: RelayHub, *sinks: ListSink) -> None:
    """In this order."""
    for sink in sinks:
        nursery.start_soon(hub.serve_flv, KEY, sink)
        await trio.testing.wait_all_tasks_blocked()


async def test_an_unknown_broadcast_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with open_relay_hub(SETTINGS) as hub:
        with pytest.raises(DoramiError, match="STREAM_NOT_FOUND"):
            await hub.serve_flv("nothing", ListSink())
        with pytest.raises(DoramiError, match="STREAM_NOT_FOUND"), hub.subscribe("nothing"):
            pass


async def test_a_viewer_who_waits_gets_the_very_packets(autojump_clock: trio.testing.MockClock) -> None:
    packets = encoded_packets()
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, sink = live(hub), ListSink()
        await attach(nursery, hub, sink)
        assert sink.sent == []
        write(relay, packets[:40])
        await round_done()
        write(relay, packets[40:])
        hub.close(KEY)
    assert sink.packets == list(packets)
    assert sink.aborted is None


async def test_a_late_viewer_gets_header_configurations_and_the_last_gop_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    packets = encoded_packets()
    second = from_key_frame(packets, 2)
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, sink = live(hub), ListSink()
        write(relay, packets[: second + 10])
        await round_done()
        now = trio.current_time()
        await attach(nursery, hub, sink)
        assert trio.current_time() == now
        assert len(sink.sent) == 1
        assert sink.sent[0].startswith(b"FLV\x01\x05")
        opening = [p for p in sink.packets if p.is_sequence_header or p.kind is MediaKind.DATA]
        assert [p.payload for p in opening] == [p.payload for p in packets[:3]]
        assert [p.timestamp_ms for p in opening] == [0, 2000, 2000]
        assert sink.packets[3:] == list(packets[second : second + 10])
        hub.close(KEY)


async def test_nothing_is_lost_or_doubled_between_the_first_burst_and_the_next_round(
    autojump_clock: trio.testing.MockClock,
) -> None:
    packets = encoded_packets()
    second = from_key_frame(packets, 1)
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, sink = live(hub), ListSink()
        write(relay, packets[: second + 5])
        await round_done()
        write(relay, packets[second + 5 : second + 9])
        await attach(nursery, hub, sink)
        write(relay, packets[second + 9 : second + 20])
        await round_done()
        assert sink.packets[3:] == list(packets[second : second + 20])
        hub.close(KEY)


async def test_all_viewers_are_given_one_and_the_same_object(autojump_clock: trio.testing.MockClock) -> None:
    packets = encoded_packets()
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, sinks = live(hub), [ListSink() for _ in range(5)]
        write(relay, packets[:50])
        await round_done()
        for sink in sinks:
            await attach(nursery, hub, sink)
        write(relay, packets[50:60])
        await round_done()
        for part in range(2):
            assert len({id(sink.sent[part]) for sink in sinks}) == 1
        assert relay.statistics().viewers == 5
        hub.close(KEY)


async def test_a_round_goes_out_after_the_interval_and_the_first_after_a_pause_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    packets = encoded_packets()
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, sink = live(hub), ListSink()
        await attach(nursery, hub, sink)
        await trio.sleep(5)
        assert relay.statistics().rounds == 0
        now = trio.current_time()
        write(relay, packets[:10])
        await trio.testing.wait_all_tasks_blocked()
        assert (len(sink.sent), trio.current_time()) == (1, now)
        write(relay, packets[10:20])
        await trio.sleep(SETTINGS.flv_interval_s * (LATEST - 0.1))
        assert len(sink.sent) == 1
        await trio.sleep(SETTINGS.flv_interval_s * 0.2)
        assert len(sink.sent) == 2
        hub.close(KEY)


async def test_from_the_interval_on_a_video_frame_sends_what_has_gathered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    packets = encoded_packets()
    video = [p for p in packets[3:] if p.kind is MediaKind.VIDEO]
    sound = [p for p in packets[3:] if p.kind is MediaKind.AUDIO]
    interval_s = SETTINGS.flv_interval_s
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, sink = live(hub), ListSink()
        await attach(nursery, hub, sink)
        write(relay, [*packets[:3], video[0]])
        await trio.testing.wait_all_tasks_blocked()
        for wait_s, packet, sends in (
            (0.8 * interval_s, video[1], 1),  # too early
            (0.2 * interval_s, sound[0], 1),  # no picture
            (0.1 * interval_s, video[2], 2),
            (0.5 * interval_s, sound[1], 2),
            (0.9 * interval_s, sound[2], 2),
        ):
            await trio.sleep(wait_s)
            write(relay, [packet])
            await trio.testing.wait_all_tasks_blocked()
            assert len(sink.sent) == sends
        await trio.sleep(0.2 * interval_s)
        assert len(sink.sent) == 3, "no later than that, picture or not"
        hub.close(KEY)


async def test_at_thirty_frames_a_second_two_of_three_wait_for_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    packets = encoded_packets()
    frame = next(p for p in packets[3:] if p.kind is MediaKind.VIDEO and not p.is_keyframe)
    async with open_relay_hub(attrs.evolve(SETTINGS, flv_interval_s=0.05)) as hub, trio.open_nursery() as nursery:
        relay, sink = live(hub), ListSink()
        await attach(nursery, hub, sink)
        write(relay, packets[:4])
        await trio.testing.wait_all_tasks_blocked()
        began, at_once = relay.statistics().rounds, 0
        for number in range(300):
            # each a little before or after its time
            await trio.sleep(1 / 30 + (0.002 if number % 2 else -0.002))
            sent = len(sink.sent)
            write(relay, [frame])
            await trio.testing.wait_all_tasks_blocked()
            at_once += len(sink.sent) > sent
        assert relay.statistics().rounds - began == pytest.approx(200, abs=2)
        assert at_once == pytest.approx(200, abs=2)
        hub.close(KEY)


async def test_a_full_viewer_is_skipped_to_a_key_frame_and_others_see_all(
    autojump_clock: trio.testing.MockClock,
) -> None:
    packets = encoded_packets(8, "320x180")
    keys = [from_key_frame(packets, number) for number in range(8)]
    async with open_relay_hub(SMALL) as hub, trio.open_nursery() as nursery:
        relay, slow, fast = live(hub), ListSink(stuck=True), ListSink()
        await attach(nursery, hub, slow)
        await attach(nursery, hub, fast)
        position = 0
        while relay.statistics().skipped == 0:
            write(relay, packets[position : position + 4])
            position += 4
            await round_done()
        had = len(slow.packets)
        assert slow.queued_bytes <= 2 * SMALL.viewer_queue_max_bytes
        slow.queued_bytes, slow.stuck = 0, False
        resume = next(key for key in keys if key >= position)
        write(relay, packets[position:resume])
        await round_done()
        assert len(slow.packets) == had
        write(relay, packets[resume : resume + 6])
        await round_done()
        for start in range(resume + 6, len(packets), 20):
            write(relay, packets[start : start + 20])
            await round_done()
        hub.close(KEY)
    after = [p for p in slow.packets[had:] if not p.is_sequence_header and p.kind is not MediaKind.DATA]
    assert after == list(packets[resume:])
    assert fast.packets[3:] == list(packets[3:])
    assert slow.aborted is None
    assert_time_never_goes_back(slow.packets)


async def test_a_viewer_stuck_for_long_is_cut_with_a_reason(autojump_clock: trio.testing.MockClock) -> None:
    packets = encoded_packets(8, "320x180")
    async with open_relay_hub(SMALL) as hub, trio.open_nursery() as nursery:
        relay, stuck, fine = live(hub), ListSink(stuck=True), ListSink()
        await attach(nursery, hub, stuck, fine)
        for start in range(0, len(packets), 20):
            write(relay, packets[start : start + 20])
            await round_done()
        assert relay.statistics().skipped == 1
        assert stuck.aborted is None
        await trio.sleep(SMALL.viewer_cut_s * 0.7)
        write(relay, shifted(packets[3:20], 8000))
        await round_done()
        assert stuck.aborted is None
        await trio.sleep(SMALL.viewer_cut_s * 0.3)
        write(relay, shifted(packets[20:40], 8000))
        await round_done()
        assert stuck.aborted == "slow"
        assert fine.aborted is None
        statistics = relay.statistics()
        assert (statistics.cut, statistics.viewers) == (1, 1)
        hub.close(KEY)


async def test_what_the_kernel_did_not_take_comes_after_it(autojump_clock: trio.testing.MockClock) -> None:
    packets = encoded_packets()
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, sink = live(hub), ListSink()
        await attach(nursery, hub, sink)
        for start, takes in ((0, None), (20, 100), (40, None), (60, 0)):
            sink.kernel_takes, sink.queued_bytes = takes, 0
            write(relay, packets[start : start + 20])
            await round_done()
            assert (sink.queued_bytes > 0) == (takes is not None)
            assert relay.statistics().bytes_out == sum(map(len, sink.sent))
        hub.close(KEY)
    assert sink.packets == list(packets[:80])


async def test_a_peer_that_is_gone_goes_alone(autojump_clock: trio.testing.MockClock) -> None:
    packets = encoded_packets()
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, gone, fine = live(hub), ListSink(), ListSink()
        await attach(nursery, hub, gone, fine)
        write(relay, packets[:40])
        await round_done()
        gone.kernel_takes = ConnectionResetError()
        write(relay, packets[40:])
        await round_done()
        assert gone.aborted == "peer_reset"
        assert (relay.statistics().broken, relay.statistics().viewers) == (0, 1)
        hub.close(KEY)
    assert len(fine.packets) == len(packets)


async def test_a_sink_that_cannot_keep_the_rest_goes_alone(autojump_clock: trio.testing.MockClock) -> None:
    packets = encoded_packets()
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, full, fine = live(hub), KeepsNothing(), ListSink()
        await attach(nursery, hub, full, fine)
        for start in (0, 40):
            write(relay, packets[start : start + 40])
            await round_done()
            full.kernel_takes = 100
        assert (relay.statistics().broken, relay.statistics().viewers) == (1, 1)
        hub.close(KEY)
    assert fine.packets == list(packets[:80])


async def test_a_sink_that_raises_goes_alone(autojump_clock: trio.testing.MockClock) -> None:
    packets = encoded_packets()
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, broken, fine = live(hub), BrokenSink(), ListSink()
        await attach(nursery, hub, broken, fine)
        write(relay, packets[:40])
        await round_done()
        write(relay, packets[40:])
        await round_done()
        assert (relay.statistics().broken, relay.statistics().viewers) == (1, 1)
        hub.close(KEY)
    assert len(fine.packets) == len(packets)


async def test_who_leaves_is_let_go_and_the_relay_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, sink = live(hub), ListSink()
        await attach(nursery, hub, sink)
        sink.gone.set()
        await trio.testing.wait_all_tasks_blocked()
        assert relay.statistics().viewers == 0
        assert hub.find(KEY) is relay


def assert_time_never_goes_back(packets: Iterable[MediaPacket]) -> None:
    last = {MediaKind.AUDIO: -1, MediaKind.VIDEO: -1}
    for packet in packets:
        if packet.kind in last:
            assert packet.timestamp_ms >= last[packet.kind]
            last[packet.kind] = packet.timestamp_ms


async def test_viewers_stay_through_a_change_of_source_in_continuous_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    first, other = encoded_packets(), shifted(encoded_packets(4, "320x180"), 777_000)
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, sink = live(hub), ListSink()
        await attach(nursery, hub, sink)
        write(relay, first)
        await round_done()
        await trio.sleep(20)
        relay.begin_source()
        write(relay, other)
        await round_done()
        late = ListSink()
        await attach(nursery, hub, late)
        hub.close(KEY)
    packets = sink.packets
    assert_time_never_goes_back(packets)
    video = [p for p in packets if p.kind is MediaKind.VIDEO]
    assert max(b.timestamp_ms - a.timestamp_ms for a, b in zip(video, video[1:], strict=False)) < 100
    headers = [p.payload for p in video if p.is_sequence_header]
    assert headers == [next(p.payload for p in source if p.is_sequence_header) for source in (first, other)]
    assert next(p.payload for p in late.packets if p.is_sequence_header) == headers[1]


async def test_video_before_the_first_key_frame_of_a_source_is_left_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    packets = encoded_packets()
    key = from_key_frame(packets, 1)
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, sink = live(hub), ListSink()
        await attach(nursery, hub, sink)
        write(relay, [*packets[:3], *packets[key - 5 : key + 3]])
        hub.close(KEY)
    assert next(p for p in sink.packets if p.kind is MediaKind.VIDEO and not p.is_sequence_header).is_keyframe


async def test_a_source_without_video_is_heard(autojump_clock: trio.testing.MockClock) -> None:
    sound = [p for p in encoded_packets() if p.kind is MediaKind.AUDIO]
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, sink = live(hub), ListSink()
        await attach(nursery, hub, sink)
        for packet in sound:
            relay.write(packet)
            await round_done()
        hub.close(KEY)
    assert sink.sent[0].startswith(b"FLV\x01\x04")
    assert len(sink.packets) > len(sound) / 2


async def test_a_gop_above_the_bound_is_not_kept(autojump_clock: trio.testing.MockClock) -> None:
    packets = encoded_packets(8, "320x180")
    tiny = MediaSettings(viewer_queue_max_bytes=20_000)
    async with open_relay_hub(tiny) as hub:
        relay = live(hub)
        for packet in packets:
            relay.write(packet)
            await round_done()
            assert relay.statistics().gop_bytes <= 20_000
        assert relay.statistics().keyframe_interval_ms == 1000


async def test_what_gathers_is_bounded_and_goes_on_at_a_key_frame(autojump_clock: trio.testing.MockClock) -> None:
    packets = encoded_packets(8, "320x180")
    tiny = MediaSettings(viewer_queue_max_bytes=20_000)
    async with open_relay_hub(tiny) as hub, trio.open_nursery() as nursery:
        relay, sink = live(hub), ListSink()
        await attach(nursery, hub, sink)
        write(relay, packets)
        assert relay.statistics().waiting_bytes < 2 * 20_000 + max(len(p.payload) for p in packets) + 15
        assert relay.statistics().dropped > 0
        await round_done()
        before = len(sink.packets)
        write(relay, shifted(packets[from_key_frame(packets, 1) - 3 : from_key_frame(packets, 1) + 5], 8000))
        hub.close(KEY)
    resumed = [p for p in sink.packets[before:] if p.kind is MediaKind.VIDEO and not p.is_sequence_header]
    assert resumed[0].is_keyframe


async def test_a_publishers_set_data_frame_is_taken_off(autojump_clock: trio.testing.MockClock) -> None:
    packets = encoded_packets()
    script = packets[0]
    wrapped = MediaPacket(MediaKind.DATA, 0, b"\x02\x00\x0d@setDataFrame" + script.payload)
    async with open_relay_hub(SETTINGS) as hub, trio.open_nursery() as nursery:
        relay, sink = live(hub), ListSink()
        await attach(nursery, hub, sink)
        write(relay, [wrapped, *packets[1:20]])
        hub.close(KEY)
    assert sink.packets[0] == script


async def test_open_is_idempotent_and_close_makes_room_for_another(autojump_clock: trio.testing.MockClock) -> None:
    async with open_relay_hub(SETTINGS) as hub:
        relay = hub.open(KEY)
        assert hub.open(KEY) is relay is hub.find(KEY)
        hub.close(KEY)
        assert hub.find(KEY) is None
        other = hub.open(KEY)
        assert other is not relay
        other.end()
        await trio.testing.wait_all_tasks_blocked()
        await round_done()
        assert hub.statistics() == {}


async def test_a_subscription_ends_with_the_broadcast_after_what_is_queued(
    autojump_clock: trio.testing.MockClock,
) -> None:
    packets = encoded_packets()
    async with open_relay_hub(SETTINGS) as hub:
        relay = live(hub)
        with hub.subscribe(KEY) as subscription:
            write(relay, packets[:40])
            await round_done()
            write(relay, packets[40:])
            hub.close(KEY)
            await round_done()
            sink = ListSink()
            async for part in subscription:
                sink.send_nowait(part)
            assert subscription.end_reason == "end"
        assert relay.statistics().subscribers == 0
    assert len(sink.packets) == len(packets)


async def test_a_subscription_to_one_source_ends_before_the_next(autojump_clock: trio.testing.MockClock) -> None:
    packets = encoded_packets()
    async with open_relay_hub(SETTINGS) as hub:
        relay = live(hub)
        with hub.subscribe(KEY, one_source=True) as subscription:
            write(relay, packets[:30])
            relay.begin_source()
            write(relay, packets)
            await round_done()
            sink = ListSink()
            async for part in subscription:
                sink.send_nowait(part)
            assert subscription.end_reason == "source"
            assert len(sink.packets) == 30


async def test_a_reader_that_is_too_slow_loses_its_subscription(autojump_clock: trio.testing.MockClock) -> None:
    packets = encoded_packets()
    async with open_relay_hub(SETTINGS) as hub:
        relay = live(hub)
        with hub.subscribe(KEY, max_bytes=1000) as subscription:
            for _ in range(4):
                write(relay, packets)
                relay.begin_source()
                await round_done()
            assert subscription.queued_bytes < 3 * sum(len(p.payload) for p in packets)
            await trio.sleep(SETTINGS.viewer_cut_s)
            write(relay, packets)
            await round_done()
            assert [part async for part in subscription] == []
            assert subscription.end_reason == "slow"
        assert relay.statistics().cut == 1
