"""One source of packets of a broadcast: a publisher, or the fallback that plays while there is none."""

from __future__ import annotations

from typing import Protocol

import attrs
import trio

from dorami_core.base.clock import Clock
from dorami_core.ingest.codecs import codec_name
from dorami_core.ingest.meter import IngestMeter
from dorami_core.media.packets import MediaKind, MediaPacket


class SourceOwner(Protocol):
    """The broadcast, as a source sees it; both calls come from outside its task and never block."""

    def take(self, source: Source, packet: MediaPacket) -> None: ...
    def wake(self) -> None: ...


class Source:
    """Implements `ingest.gate.Publication`. Once over (finished, left or cut) it has no effect any more."""

    def __init__(
        self, owner: SourceOwner, clock: Clock, client_id: str, *, encoder: str = "", is_fallback: bool = False
    ) -> None:
        self.client_id = client_id
        self.encoder = encoder
        self.meter = IngestMeter(clock)
        self.codecs: dict[MediaKind, str] = {}
        self.refused_codec: tuple[MediaKind, str] | None = None
        self.round_trip_s: float | None = None
        self.is_fallback = is_fallback
        self.finished = False
        self.left = False
        self.last_data_s = clock.monotonic()
        self.opening: dict[tuple[MediaKind, bool], MediaPacket] = {}
        """Metadata and decoder configurations: what has to come again when this source takes the air."""
        self._owner = owner
        self._clock = clock
        self._cut_reason: str | None = None
        self._cut = trio.Event()

    @property
    def over(self) -> bool:
        return self.finished or self.left or self._cut_reason is not None

    def write(self, packet: MediaPacket) -> None:
        if not self.over:
            self.last_data_s = self._clock.monotonic()
            self.meter.add(packet)
            if packet.kind not in self.codecs and packet.kind is not MediaKind.DATA:
                self.codecs[packet.kind] = codec_name(packet)
            self._owner.take(self, packet)

    def note_round_trip(self, seconds: float) -> None:
        self.round_trip_s = seconds

    def note_codec(self, kind: MediaKind, codec: str) -> None:
        self.refused_codec = kind, codec

    def finish(self) -> None:
        """The publisher said goodbye."""
        if not self.over:
            self.finished = True
            self._owner.wake()

    def leave(self) -> None:
        """The connection is gone; without `finish` before it, the publisher is taken for lost."""
        if not self.left:
            self.left = True
            self._owner.wake()

    def cut(self, reason: str) -> None:
        if self._cut_reason is None:
            self._cut_reason = reason
            self._cut.set()

    async def wait_cut(self) -> str:
        await self._cut.wait()
        assert self._cut_reason is not None
        return self._cut_reason

    def remember(self, packet: MediaPacket) -> None:
        """Keeps what a decoder has to see first."""
        if packet.kind is MediaKind.DATA or packet.is_sequence_header:
            self.opening[packet.kind, packet.is_sequence_header] = packet

    def may_begin_with(self, packet: MediaPacket) -> bool:
        """Metadata alone does not put a source on air; a fallback that comes back begins with a key frame."""
        if packet.kind is MediaKind.DATA:
            return False
        if not self.is_fallback or (MediaKind.VIDEO, True) not in self.opening:
            return True
        return packet.is_keyframe

    def opening_before(self, packet: MediaPacket) -> list[MediaPacket]:
        """What to send ahead of the first packet, at its time."""
        return [
            attrs.evolve(kept, timestamp_ms=packet.timestamp_ms) for kept in self.opening.values() if kept is not packet
        ]
