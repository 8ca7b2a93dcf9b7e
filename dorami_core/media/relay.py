"""The FLV relay of one broadcast: packets in, one joined send per viewer and interval out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import attrs
import structlog
import trio

from dorami_core.base.sending import Send, send_to_all
from dorami_core.base.settings import MediaSettings
from dorami_core.media.flv import MAX_TAG_BYTES, encode_tag
from dorami_core.media.joining import JoinCache, Tag, as_script, tag_time
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.media.sinks import ByteSink
from dorami_core.media.timeline import Timeline
from dorami_core.media.viewer import EndReason, Round, Subscription, Tally, Viewer

log = structlog.get_logger(__name__)

SENDS_PER_TURN = 200
"""Sends before other tasks have a turn: about 2 ms."""
EARLY = 0.1
"""Of the interval: a video frame that comes so little before a round is due makes it."""
LATEST = 1.5
"""Of the interval: so long after the last round at the latest, whatever has gathered goes."""


@attrs.frozen
class RelayStatistics:
    """Counters since the relay began; `viewers`, `waiting_bytes` and `gop_*` are of this moment.

    `bytes_out` is what sinks were given, `dropped` packets that came before a key frame or above the bound,
    `skipped` how often a receiver was left out, `cut` and `broken` receivers that were lost for being slow, or by an
    error. `keyframe_interval_ms` is the last one, 0 where there were not two.
    """

    viewers: int
    subscribers: int
    sources: int
    seams: int
    packets_in: int
    bytes_in: int
    bytes_out: int
    rounds: int
    dropped: int
    skipped: int
    cut: int
    broken: int
    waiting_bytes: int
    gop_packets: int
    gop_bytes: int
    keyframe_interval_ms: int
    last_packet_at: float | None


class Relay:
    """Owned by a RelayHub, whose nursery runs `run()`. One writer at a time; every method but `run`, `serve` is sync.

    What gathers between two rounds is bounded to twice `media.viewer_queue_max_bytes`; above it, packets are dropped
    until the next key frame.
    """

    def __init__(self, stream_key: str, settings: MediaSettings) -> None:
        self.stream_key = stream_key
        self._interval_s = settings.flv_interval_s
        self._max_bytes = settings.viewer_queue_max_bytes
        self._cut_after_s = settings.viewer_cut_s
        self._timeline = Timeline()
        self._cache = JoinCache(self._max_bytes)
        self._viewers: dict[Viewer, None] = {}
        self._subscriptions: dict[Viewer, tuple[Subscription, bool]] = {}
        self._pending: list[Tag] = []
        self._pending_bytes = 0
        self._news = trio.Event()
        self._due = trio.Event()
        self._round_at = -math.inf
        self._next_at = -math.inf
        self._ended = False
        self._source_begins = False
        self._needs_keyframe = True
        self._keyframe_at: int | None = None
        self._tally = Tally()
        self._sources = self._packets_in = self._bytes_in = self._rounds = 0
        self._dropped = self._broken = self._keyframe_interval_ms = 0
        self._last_packet_at: float | None = None

    @property
    def ended(self) -> bool:
        return self._ended

    # The publisher's side

    def begin_source(self) -> None:
        """A publisher begins, the first or another: its time goes on where the last one's ended."""
        self._timeline.begin_source()
        self._sources += 1
        self._source_begins = True
        self._needs_keyframe = True
        self._keyframe_at = None

    def write(self, packet: MediaPacket) -> None:
        """Takes one packet for the next round; never blocks. Ignored after `end`."""
        if self._ended:
            return
        self._packets_in += 1
        self._bytes_in += len(packet.payload)
        self._last_packet_at = now = trio.current_time()
        if not self._admits(packet):
            self._dropped += 1
            return
        payload = as_script(packet.payload) if packet.kind is MediaKind.DATA else packet.payload
        stamped = MediaPacket(packet.kind, self._timeline.stamp(packet) & 0xFFFFFFFF, payload)
        if stamped.is_keyframe:
            self._needs_keyframe = False
            if self._keyframe_at is not None:
                self._keyframe_interval_ms = (stamped.timestamp_ms - self._keyframe_at) & 0xFFFFFFFF
            self._keyframe_at = stamped.timestamp_ms
        data = encode_tag(stamped.kind, tag_time(stamped, stamped.timestamp_ms), payload)
        self._pending.append(Tag(stamped, data, self._source_begins))
        self._pending_bytes += len(data)
        self._source_begins = False
        self._news.set()
        is_due = now >= self._next_at - EARLY * self._interval_s
        if is_due and (packet.kind is MediaKind.VIDEO or not self._cache.has_video):
            self._due.set()

    def _admits(self, packet: MediaPacket) -> bool:
        body = packet.payload
        if not body or len(body) > MAX_TAG_BYTES:
            return False
        if self._pending_bytes > 2 * self._max_bytes:
            self._needs_keyframe = True
            return False
        if packet.kind is not MediaKind.VIDEO or packet.is_sequence_header:
            return True
        if packet.ends_sequence:
            return False  # another publisher may go on in this same stream
        return packet.is_keyframe or not self._needs_keyframe

    def end(self) -> None:
        """The broadcast is over: viewers get what has gathered, then their end."""
        self._ended = True
        self._news.set()
        self._due.set()

    # The viewers' side

    async def serve(self, sink: ByteSink) -> None:
        """Feeds this viewer until the broadcast ends (all was given to the sink), it is cut, or its peer is gone."""
        with self._attached(Viewer(sink, self._max_bytes, self._cut_after_s, self._tally)) as viewer:
            async with trio.open_nursery() as nursery:

                async def watch() -> None:
                    await sink.wait_closed()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(watch)
                await viewer.ended.wait()
                nursery.cancel_scope.cancel()

    @contextmanager
    def subscribe(self, max_bytes: int, *, one_source: bool = False) -> Iterator[Subscription]:
        """An iterator of FLV bytes, beginning with the header, under the same rules as a viewer's.

        `one_source`: it also ends when another publisher begins, whose codecs may differ.
        """
        subscription = Subscription()
        viewer = Viewer(subscription, max_bytes, self._cut_after_s, self._tally)
        subscription.bind(viewer)
        self._subscriptions[viewer] = (subscription, one_source)
        try:
            with self._attached(viewer):
                yield subscription
        finally:
            del self._subscriptions[viewer]

    @contextmanager
    def _attached(self, viewer: Viewer) -> Iterator[Viewer]:
        if self._ended:
            self._finish(viewer, "end")
        else:
            viewer.start(self._cache)
        self._viewers[viewer] = None
        try:
            yield viewer
        finally:
            viewer.ready = None
            self._viewers.pop(viewer, None)

    def _finish(self, viewer: Viewer, reason: EndReason) -> None:
        viewer.end(reason)
        if viewer in self._subscriptions:
            self._subscriptions[viewer][0].wake()

    # The rounds

    async def run(self) -> None:
        """Sends rounds until `end`; sleeps while nothing comes. The first packet after a pause goes at once."""
        try:
            while not self._ended or self._pending:
                await self._news.wait()
                with trio.move_on_at(self._round_at + LATEST * self._interval_s):
                    await self._due.wait()
                self._round_at = now = trio.current_time()
                # One round in each interval: that it had to wait for its frame does not put off the next one.
                is_late = now - self._next_at >= self._interval_s
                self._next_at = (now if is_late else self._next_at) + self._interval_s
                if not self._ended:
                    self._news, self._due = trio.Event(), trio.Event()
                await self._send_round()
        finally:
            self._ended = True
            for viewer in list(self._viewers):
                self._finish(viewer, "end")

    async def _send_round(self) -> None:
        tags, self._pending, self._pending_bytes = self._pending, [], 0
        start = 0
        for index, tag in enumerate(tags):
            if tag.source_begins:
                await self._send(tags[start:index])
                for viewer, (_, one_source) in list(self._subscriptions.items()):
                    if one_source and viewer.started:
                        self._viewers.pop(viewer, None)
                        self._finish(viewer, "source")
                start = index
        await self._send(tags[start:])

    async def _send(self, tags: list[Tag]) -> None:
        if not tags:
            return
        part = Round(b"".join([tag.data for tag in tags]), any(tag.packet.is_keyframe for tag in tags))
        for tag in tags:
            self._cache.add(tag)
        self._rounds += 1
        now = trio.current_time()
        # Who attaches from here on has this round in its snapshot already.
        viewers = list(self._viewers)
        for first in range(0, len(viewers), SENDS_PER_TURN):
            if first:
                await trio.lowlevel.checkpoint()
            self._send_to(viewers[first : first + SENDS_PER_TURN], part, now)

    def _send_to(self, viewers: Sequence[Viewer], part: Round, now: float) -> None:
        ready: list[Viewer] = []
        ways: list[Send] = []
        for viewer in viewers:
            if viewer.ready is not None:
                ready.append(viewer)
                ways.append(viewer.ready)
            else:
                self._try(viewer, partial(self._offer, viewer, part, now))
        data, size = part.data, len(part.data)
        taken = send_to_all(ways, data)
        self._tally.bytes_out += size * len(taken)
        if taken.count(size) != len(taken):
            for viewer, its in zip(ready, taken, strict=True):
                if its != size:
                    self._try(viewer, partial(viewer.fall_behind, data, its))

    def _try(self, viewer: Viewer, give: Callable[[], None]) -> None:
        try:
            give()
        except Exception as error:
            self._break(viewer, error)

    def _offer(self, viewer: Viewer, part: Round, now: float) -> None:
        if viewer in self._viewers and not viewer.offer(part, self._cache, now):
            del self._viewers[viewer]
            log.info("viewer cut", stream_key=self.stream_key, reason="slow")

    def _break(self, viewer: Viewer, error: Exception) -> None:
        """One sink's fault is not the others': it alone goes."""
        self._broken += 1
        del self._viewers[viewer]
        self._finish(viewer, "broken")
        log.warning("viewer broken", stream_key=self.stream_key, error=repr(error))

    def statistics(self) -> RelayStatistics:
        return RelayStatistics(
            viewers=sum(1 for viewer in self._viewers if viewer not in self._subscriptions),
            subscribers=len(self._subscriptions),
            sources=self._sources,
            seams=self._timeline.seams,
            packets_in=self._packets_in,
            bytes_in=self._bytes_in,
            bytes_out=self._tally.bytes_out,
            rounds=self._rounds,
            dropped=self._dropped,
            skipped=self._tally.skipped,
            cut=self._tally.cut,
            broken=self._broken,
            waiting_bytes=self._pending_bytes,
            gop_packets=self._cache.gop_packets,
            gop_bytes=self._cache.gop_bytes,
            keyframe_interval_ms=self._keyframe_interval_ms,
            last_packet_at=self._last_packet_at,
        )
