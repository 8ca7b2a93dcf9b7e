"""Broadcasts on real PostgreSQL with a clock that the test moves, and relays that write down what they get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pluggy
import trio
import trio.testing

from dorami_core.base.ids import StreamKey
from dorami_core.events.model import Event
from dorami_core.hooks.dispatch import Dispatcher
from dorami_core.hooks.markers import PROJECT
from dorami_core.hooks.specs import CoreHooks
from dorami_core.ingest.gate import Publication, PublishRefused, PublishRequest
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.streams.broadcasts import Broadcasts
from dorami_core.streams.model import StreamRow
from dorami_core.streams.service import StreamService
from dorami_core.streams.session import Companion
from dorami_core.testing.clock import ManualClock

VIDEO_HEADER = MediaPacket(MediaKind.VIDEO, 0, b"\x17\x00\x00\x00\x00config")
AUDIO_HEADER = MediaPacket(MediaKind.AUDIO, 0, b"\xaf\x00config")
METADATA = MediaPacket(MediaKind.DATA, 0, b"onMetaData")


def key_frame(at_ms: int, text: bytes = b"") -> MediaPacket:
    return MediaPacket(MediaKind.VIDEO, at_ms, b"\x17\x01\x00\x00\x00" + text)


def frame(at_ms: int, text: bytes = b"") -> MediaPacket:
    return MediaPacket(MediaKind.VIDEO, at_ms, b"\x27\x01\x00\x00\x00" + text)


@attrs.define
class RecordedRelay:
    packets: list[MediaPacket | str] = attrs.field(factory=list)
    ended: bool = False

    def begin_source(self) -> None:
        self.packets.append("source")

    def write(self, packet: MediaPacket) -> None:
        assert not self.ended, "written to after its end"
        self.packets.append(packet)

    def end(self) -> None:
        self.ended = True


@attrs.define
class RecordedRelays:
    made: list[RecordedRelay] = attrs.field(factory=list)
    open_keys: set[str] = attrs.field(factory=set)

    def open(self, stream_key: StreamKey) -> RecordedRelay:
        assert stream_key not in self.open_keys
        self.open_keys.add(stream_key)
        self.made.append(RecordedRelay())
        return self.made[-1]

    def close(self, stream_key: StreamKey) -> None:
        self.open_keys.remove(stream_key)


class Seat:
    """One publisher: it stays until `go`."""

    def __init__(self) -> None:
        self.publication: Publication | None = None
        self.refusal: str | None = None
        self.settled = trio.Event()
        self.cut: str | None = None
        self._leave = trio.Event()
        self.gone = trio.Event()

    async def sit(self, opening: Callable[[], Any]) -> None:
        try:
            async with opening() as publication, trio.open_nursery() as nursery:
                self.publication = publication
                self.settled.set()

                async def until_cut() -> None:
                    self.cut = await publication.wait_cut()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(until_cut)
                await self._leave.wait()
                nursery.cancel_scope.cancel()
        except PublishRefused as refusal:
            self.refusal = refusal.code
            self.settled.set()
        finally:
            self.gone.set()

    def write(self, *packets: MediaPacket) -> None:
        assert self.publication is not None
        for packet in packets:
            self.publication.write(packet)

    def finish(self) -> None:
        assert self.publication is not None
        self.publication.finish()

    async def was_cut(self) -> str | None:
        """Waits until the core wanted it gone; answers why."""
        with trio.fail_after(60):
            await self.gone.wait()
        return self.cut

    async def go(self) -> None:
        self._leave.set()
        await self.gone.wait()


class Studio:
    """Broadcasts that run, and what tests ask of them."""

    def __init__(self, database: PostgresDatabase, clock: ManualClock, written: list[Event], nursery: trio.Nursery):
        self.db = database
        self.clock = clock
        self.written = written
        self.nursery = nursery
        self.relays = RecordedRelays()
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(CoreHooks)
        self.hooks = Dispatcher(self.manager)
        self.viewers: dict[str, int] = {}
        self.companions: list[Companion] = []
        self.broadcasts = self.make()
        self._running: trio.CancelScope | None = None
        self._stopped = trio.Event()

    def make(self) -> Broadcasts:
        return Broadcasts(
            self.db,
            self.hooks,
            self.relays,
            self.clock,
            grace_s=30,
            companions=self.companions,
            viewer_count=lambda key: self.viewers.get(key, 0),
        )

    @property
    def service(self) -> StreamService:
        return StreamService(self.db, self.broadcasts, self.clock, rtmp_port=lambda: 1935)

    async def start(self) -> None:
        self.broadcasts = self.make()
        stopped = self._stopped = trio.Event()

        async def run(task_status: trio.TaskStatus[trio.CancelScope]) -> None:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self.broadcasts.run)
                    task_status.started(scope)
            stopped.set()

        self._running = await self.nursery.start(run)

    async def stop(self) -> None:
        assert self._running is not None
        self._running.cancel()
        await self._stopped.wait()

    async def publish(self, row: StreamRow, *, secret: str | None = None, client: str = "c") -> Seat:
        request = PublishRequest(row.stream_key, row.secret if secret is None else secret, "127.0.0.1", client, "test")
        return await self.seat(lambda: self.broadcasts.publish(request))

    async def fallback(self, row: StreamRow) -> Seat:
        return await self.seat(lambda: self.broadcasts.fallback(row.stream_key))

    async def seat(self, opening: Callable[[], Any]) -> Seat:
        seat = Seat()
        self.nursery.start_soon(seat.sit, opening)
        await seat.settled.wait()
        return seat

    async def row(self, key: str) -> StreamRow:
        return await self.service.get(key)

    async def until(self, key: str, status: str) -> StreamRow:
        """Waits for the status by asking the database; the test's own time limit ends it."""
        return await self.until_true(key, lambda row: row.status == status)

    async def until_true(self, key: str, holds: Callable[[StreamRow], bool]) -> StreamRow:
        with trio.fail_after(60):
            while not holds(row := await self.row(key)):
                await trio.lowlevel.checkpoint()
        return row

    async def quiet(self) -> None:
        """Until no broadcast has anything left to do."""
        with trio.fail_after(60):
            while True:
                await trio.testing.wait_all_tasks_blocked()
                if all(one.at_rest for one in self.broadcasts.statistics().broadcasts):
                    return
                await self.db.fetchval("SELECT 1")

    def events(self) -> list[str]:
        return [type(event).__name__.removeprefix("Stream") for event in self.written]
