"""All broadcasts of this process: the gate that lets publishers in, and the nursery that owns one task per key."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import attrs
import structlog
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import StreamKey, is_stream_key
from dorami_core.hooks.host import HookCaller, StreamStatus
from dorami_core.hooks.transactions import Database
from dorami_core.ingest.gate import Publication, PublishRefused, PublishRequest
from dorami_core.streams import store
from dorami_core.streams.broadcast import Broadcast, BroadcastStatistics
from dorami_core.streams.curve import ViewerCurve
from dorami_core.streams.model import StreamRow
from dorami_core.streams.session import Companion, Relays, Session
from dorami_core.streams.signal import RefusedCodec, Signal, refused_codec
from dorami_core.streams.source import Source
from dorami_core.streams.transitions import Transitions

log = structlog.get_logger()

RECOVER_LIMIT = 10_000
HEAR_OF_ENDS_S = 1.0
REFUSED_CODECS_KEPT = 100


@attrs.frozen
class BroadcastsStatistics:
    """`refused`: publishers that were not let in, since the start."""

    broadcasts: tuple[BroadcastStatistics, ...]
    refused: int


class Broadcasts:
    """Implements `ingest.gate.PublishGate`; works while `run` does, and refuses every publisher outside of that."""

    def __init__(
        self,
        db: Database,
        hooks: HookCaller,
        relays: Relays,
        clock: Clock,
        *,
        grace_s: float,
        companions: Sequence[Companion] = (),
        viewer_count: Callable[[str], int] = lambda _: 0,
    ) -> None:
        self._db = db
        self._hooks = hooks
        self._relays = relays
        self._clock = clock
        curve = ViewerCurve(db, clock, viewer_count, self.report_viewers)
        self._companions = (*companions, curve.run)
        self._viewer_count = viewer_count
        self._transitions = Transitions(db, hooks, clock, grace_s=grace_s)
        self._running: dict[StreamKey, Broadcast] = {}
        self._nursery: trio.Nursery | None = None
        self._refused = 0
        self._refused_codecs: dict[str, RefusedCodec] = {}

    def statistics(self) -> BroadcastsStatistics:
        return BroadcastsStatistics(tuple(one.statistics() for one in self._running.values()), self._refused)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Owns every broadcast; started once those that a former process left on air have their new grace time.

        Cancelled, it cuts the publishers and ends the relays; the rows keep their status for the next process.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._hear_of_ends)
            try:
                for row in await store.list_on_air(self._db, RECOVER_LIMIT):
                    self._of(row.stream_key)
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def _hear_of_ends(self) -> None:
        """Cuts publishers whose broadcast was ended for good by another process; it can only be seen in the row."""
        while True:
            await self._clock.sleep(HEAR_OF_ENDS_S)
            try:
                for stream_key in await store.list_closed(self._db, list(self._running)) if self._running else ():
                    broadcast = self._running.get(stream_key)
                    if broadcast is not None and broadcast.row is not None and not broadcast.row.closed:
                        await broadcast.close()
            except DoramiError as error:
                log.warning("broadcast.ends_unknown", error=str(error))

    def status(self, stream_key: str) -> StreamStatus | None:
        """The status of a broadcast that this process owns at the moment; None for any other."""
        broadcast = self._running.get(StreamKey(stream_key))
        return broadcast.row.status if broadcast is not None and broadcast.row is not None else None

    def signal(self, stream_key: str) -> Signal:
        """How the publisher's signal is doing; UNAVAILABLE in a process that takes no publishers in."""
        if self._nursery is None:
            raise DoramiError("UNAVAILABLE", service="ingest")
        broadcast = self._running.get(StreamKey(stream_key))
        found = broadcast.signal() if broadcast is not None else None
        return found or Signal("NONE", refused=self._refused_codecs.get(stream_key))

    def report_viewers(self, stream_key: str, count: int) -> None:
        """Presence tells how many are watching; the peak of a running session is kept from it."""
        broadcast = self._running.get(StreamKey(stream_key))
        if broadcast is not None and count > broadcast.peak:
            broadcast.peak = count
            broadcast.wake()

    async def end(self, stream_key: StreamKey) -> StreamRow | None:
        """Ends a broadcast for good and cuts its publisher; None for an unknown key. Twice answers the same."""
        known = await store.find(self._db, stream_key) is not None
        if known and self._nursery is not None:
            return await self._of(stream_key).close()
        return await self._transitions.close(stream_key, viewers=0)

    @asynccontextmanager
    async def publish(self, request: PublishRequest) -> AsyncIterator[Publication]:
        """Lets a publisher in, or raises PublishRefused; leaving the block ends the publication."""
        try:
            await self._authorise(request)
            async with self._admitted(
                StreamKey(request.stream_key), request.client_id, encoder=request.encoder
            ) as source:
                log.info("publish.begun", stream_key=request.stream_key, encoder=request.encoder)
                try:
                    yield source
                finally:
                    self._remember_codec(request.stream_key, source)
        except PublishRefused as refusal:
            self._refused += 1
            log.info("publish.refused", stream_key=request.stream_key, reason=refusal.code, address=request.address)
            raise

    @asynccontextmanager
    async def fallback(self, stream_key: StreamKey) -> AsyncIterator[Publication]:
        """A source that plays while nobody publishes. A publisher takes its place without a word, and when it is gone
        the fallback comes back at its next key frame: no interruption, no end. Raises PublishRefused."""
        async with self._admitted(stream_key, "fallback", is_fallback=True) as source:
            yield source

    @asynccontextmanager
    async def _admitted(
        self, stream_key: StreamKey, client_id: str, *, encoder: str = "", is_fallback: bool = False
    ) -> AsyncIterator[Source]:
        if self._nursery is None:
            raise PublishRefused("refused")
        broadcast = self._of(stream_key)
        source = Source(broadcast, self._clock, client_id, encoder=encoder, is_fallback=is_fallback)
        try:
            refusal = await broadcast.admit(source)
            if refusal is not None:
                raise PublishRefused(refusal)
            yield source
        finally:
            source.leave()

    def _remember_codec(self, stream_key: str, source: Source) -> None:
        """Until another publisher has come and gone; of the last hundred broadcasts."""
        self._refused_codecs.pop(stream_key, None)
        refused = refused_codec(source)
        if refused is not None:
            self._refused_codecs[stream_key] = refused
            if len(self._refused_codecs) > REFUSED_CODECS_KEPT:
                del self._refused_codecs[next(iter(self._refused_codecs))]

    async def _authorise(self, request: PublishRequest) -> None:
        if not is_stream_key(request.stream_key):
            raise PublishRefused("unknown_key")
        try:
            row = await store.find(self._db, request.stream_key)
            if row is None:
                raise PublishRefused("unknown_key")
            if not secrets.compare_digest(row.secret.encode(), request.secret.encode("utf-8", "surrogatepass")):
                raise PublishRefused("wrong_secret")
            if row.closed:
                raise PublishRefused("ended")
            await self._hooks.authorize("authorize_publish", stream=row.view, address=request.address)
        except PublishRefused:
            raise
        except DoramiError as error:
            raise PublishRefused("refused") from error
        except Exception as error:
            log.exception("publish.authorise_failed", stream_key=request.stream_key)
            raise PublishRefused("refused") from error

    def _of(self, stream_key: StreamKey) -> Broadcast:
        broadcast = self._running.get(stream_key)
        if broadcast is None:
            assert self._nursery is not None
            session = Session(stream_key, self._relays, self._companions, self._clock)
            broadcast = Broadcast(stream_key, self._transitions, session, self._clock, self._viewer_count)
            self._running[stream_key] = broadcast
            self._nursery.start_soon(self._own, broadcast, name=f"broadcast {stream_key}")
        return broadcast

    async def _own(self, broadcast: Broadcast) -> None:
        def retire() -> None:
            if self._running.get(broadcast.stream_key) is broadcast:
                del self._running[broadcast.stream_key]

        try:
            await broadcast.run(retire)
        except Exception:
            # A mistake in one broadcast must not end the others; the next command makes a new task from the row.
            log.exception("broadcast.crashed", stream_key=broadcast.stream_key)
