"""One broadcast: a task that owns its publisher, its relay, its companions and its status.

What happens to sources is noted at once (`take`, `wake`, a source that is over) and never waits. The task compares
these facts with the row and goes one step of the state machine at a time until they agree, so a command that comes
twice or late has nothing left to do. A step that the database refuses is tried again; packets do not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import structlog
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import StreamKey
from dorami_core.base.supervision import Backoff
from dorami_core.ingest.gate import RefusalCode
from dorami_core.media.packets import MediaPacket
from dorami_core.streams import store
from dorami_core.streams.commands import Admit, Close, Command, Wake
from dorami_core.streams.model import ON_AIR, StreamRow
from dorami_core.streams.session import Session
from dorami_core.streams.signal import Signal, signal_of
from dorami_core.streams.source import Source
from dorami_core.streams.states import Cause, after
from dorami_core.streams.transitions import Transitions

log = structlog.get_logger()

INBOX_BOUND = 64
SILENT_S = 5.0
"""A source that has sent nothing for so long is not there, whether or not its connection is: a publisher loses its
place to the next one, and the broadcast is interrupted."""
FIRST_RETRY_S = 0.25
LONGEST_RETRY_S = 10.0


@attrs.frozen
class BroadcastStatistics:
    """`on_air`: "publisher", "fallback" or None; `failures`: steps that failed one after another; `at_rest`: nothing
    is being done, facts and row agree or wait for a time, no companion of a session that is over still runs."""

    stream_key: StreamKey
    status: str | None
    on_air: str | None
    inbox: int
    failures: int
    at_rest: bool


class Broadcast:
    """The owner of one stream key, as long as there is something to own."""

    def __init__(
        self,
        stream_key: StreamKey,
        transitions: Transitions,
        session: Session,
        clock: Clock,
        viewer_count: Callable[[str], int],
    ) -> None:
        self.stream_key = stream_key
        self.peak = 0
        self._transitions = transitions
        self._session = session
        self._clock = clock
        self._viewer_count = viewer_count
        self._send, self._receive = trio.open_memory_channel[Command](INBOX_BOUND)
        self._waiting: set[Admit | Close] = set()
        self._row: StreamRow | None = None
        self._publisher: Source | None = None
        self._fallback: Source | None = None
        self._on_air: Source | None = None
        self._ending: Cause | None = None
        self._grace_over_s: float | None = None
        self._retry_at_s: float | None = None
        self._failures = 0
        self._backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        self._at_rest = False

    @property
    def row(self) -> StreamRow | None:
        """As of the last step; None before the first."""
        return self._row

    def statistics(self) -> BroadcastStatistics:
        on_air = None if self._on_air is None else "fallback" if self._on_air.is_fallback else "publisher"
        return BroadcastStatistics(
            self.stream_key,
            self._row.status if self._row else None,
            on_air,
            self._receive.statistics().current_buffer_used,
            self._failures,
            self._at_rest
            and not self._receive.statistics().current_buffer_used
            and (self._session.is_running or self._session.is_over),
        )

    def signal(self) -> Signal | None:
        """Of the publisher; None where there is none, whether or not a fallback plays."""
        publisher = self._publisher
        return signal_of(publisher) if publisher is not None and not publisher.over else None

    # What others call

    def take(self, source: Source, packet: MediaPacket) -> None:
        """One packet of a source. A publisher has precedence over the fallback from its first audio or video on."""
        if self._on_air is not source:
            source.remember(packet)
            if not self._may_go_on_air(source) or not source.may_begin_with(packet):
                return
            self._on_air = source
            relay = self._session.relay
            relay.begin_source()
            for kept in source.opening_before(packet):
                relay.write(kept)
            self.wake()
        elif source.is_fallback:
            source.remember(packet)
        self._session.relay.write(packet)
        if self._row is not None and self._row.status == "INTERRUPTED":
            self.wake()  # it was silent and goes on

    def wake(self) -> None:
        """Has the task look at the facts; with a full inbox it is about to anyway."""
        try:
            self._send.send_nowait(Wake())
        except (trio.WouldBlock, trio.BrokenResourceError):
            return

    async def admit(self, source: Source) -> RefusalCode | None:
        """None: the source is in. A cancelled caller must `leave` the source."""
        ask = Admit(source)
        await self._ask(ask)
        return ask.refusal

    async def close(self) -> StreamRow | None:
        """Ends the broadcast for good. Raises what the transaction raised; then nothing has changed."""
        ask = Close()
        await self._ask(ask)
        if ask.error is not None:
            raise ask.error
        return ask.row

    async def _ask(self, ask: Admit | Close) -> None:
        self._waiting.add(ask)
        try:
            await self._send.send(ask)
            await ask.answered.wait()
        except trio.BrokenResourceError:
            self._refuse(ask)
        finally:
            self._waiting.discard(ask)

    # The task

    async def run(self, retire: Callable[[], None]) -> None:
        """Runs until there is nothing to own; `retire` is called in the moment in which that is decided, so that no
        command can come after it."""
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    await self._settle(nursery)
                    if self._is_idle():
                        retire()
                        break
                    self._at_rest = True
                    command = await self._next_command()
                    self._at_rest = False
                    await self._obey(command)
        finally:
            retire()
            self._abandon()

    def _abandon(self) -> None:
        self._receive.close()
        self._on_air = None
        for source in (self._publisher, self._fallback):
            if source is not None:
                source.cut("stopped")
        self._session.end()
        for ask in self._waiting:
            self._refuse(ask)

    def _refuse(self, ask: Admit | Close) -> None:
        if isinstance(ask, Admit):
            ask.refusal = "refused"
        else:
            ask.error = DoramiError("UNAVAILABLE")
        ask.answered.set()

    def _is_idle(self) -> bool:
        inbox = self._receive.statistics()
        return (
            self._retry_at_s is None
            and (self._row is None or self._row.status not in ON_AIR)
            and self._publisher is None
            and self._fallback is None
            and self._session.is_over
            and not inbox.current_buffer_used
            and not inbox.tasks_waiting_send
            and not self._waiting
        )

    async def _next_command(self) -> Command:
        due_s = self._due_s()
        if due_s is None:
            return await self._receive.receive()
        command: Command = Wake()

        async def ring() -> None:
            await self._clock.sleep(due_s - self._clock.monotonic())
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ring)
            command = await self._receive.receive()
            nursery.cancel_scope.cancel()
        return command

    def _due_s(self) -> float | None:
        """When something is due without a command; after a step that failed, its next try."""
        status = self._row.status if self._row else None
        sources = [source for source in (self._on_air, self._fallback) if source is not None]
        due_s = self._retry_at_s
        if due_s is None and status == "INTERRUPTED" and self._is_nobody_there():
            due_s = self._grace_over_s
        elif due_s is None and status == "LIVE" and sources:
            due_s = max(_silent_at_s(source) for source in sources)
        return due_s

    async def _obey(self, command: Command) -> None:
        if isinstance(command, Wake):
            return
        if isinstance(command, Admit):
            command.refusal = await self._admit(command.source)
        else:
            try:
                command.row = await self._close()
            except Exception as error:
                command.error = error
        command.answered.set()
        self._waiting.discard(command)

    async def _admit(self, source: Source) -> RefusalCode | None:
        try:
            row = await store.find(self._transitions.db, self.stream_key)
        except Exception:
            log.exception("broadcast.admit_failed", stream_key=self.stream_key)
            return "refused"
        if row is None or row.closed:
            return "unknown_key" if row is None else "ended"
        self._drop_what_is_over()
        if source.over:
            return None  # whoever asked is gone
        if source.is_fallback:
            if self._fallback is not None:
                return "busy"
            self._fallback = source
            return None
        if self._publisher is not None:
            if self._sends(self._publisher):
                return "busy"
            # It stays on air in name until its successor sends: the grace time has no end before that.
            self._publisher.cut("replaced")
        self._publisher = source
        return None

    async def _close(self) -> StreamRow | None:
        row = await self._transitions.close(self.stream_key, viewers=self.peak)
        if row is not None:
            self._row, self._ending = row, None
            self._cut_all("ended")
        return row

    def _cut_all(self, reason: str) -> None:
        for source in (self._publisher, self._fallback):
            if source is not None:
                source.cut(reason)
        self._publisher = self._fallback = self._on_air = None
        self._session.end()

    def _may_go_on_air(self, source: Source) -> bool:
        if source is self._publisher:
            return True
        return source is self._fallback and (self._publisher is None or self._on_air is None)

    def _drop_what_is_over(self) -> None:
        last = self._publisher or self._fallback
        if self._publisher is not None and self._publisher.over:
            self._publisher = None
        if self._fallback is not None and self._fallback.over:
            self._fallback = None
        if self._publisher is None and self._on_air is not self._fallback:
            self._on_air = None
        if last is not None and last.finished and self._publisher is None and self._fallback is None:
            self._ending = "finished"

    # Steps

    async def _settle(self, nursery: trio.Nursery) -> None:
        self._drop_what_is_over()
        now_s = self._clock.monotonic()
        if self._retry_at_s is not None and now_s < self._retry_at_s:
            return
        try:
            while await self._step(nursery):
                self._drop_what_is_over()
        except Exception:
            pause_s = self._backoff.pause_s()
            self._failures += 1
            self._retry_at_s = now_s + pause_s
            log.exception("broadcast.step_failed", stream_key=self.stream_key, again_in_s=pause_s)
        else:
            self._failures, self._retry_at_s = 0, None
            self._backoff.reset()

    async def _step(self, nursery: trio.Nursery) -> bool:
        """Goes one step towards the facts; False where they and the row agree."""
        row = self._row
        if row is None:
            return await self._load()
        if row.closed and (self._publisher or self._fallback):
            self._cut_all("ended")
        cause = self._cause(row)
        if cause is not None and after(row.status, cause) is not None:
            await self._go(row, cause)
            return True
        self._ending = None
        if row.status in ON_AIR:
            if not self._session.is_running:
                await self._session.begin(nursery, self.wake)
            if self.peak > row.peak_viewers:
                self._row = await store.raise_peak(self._transitions.db, self.stream_key, self.peak)
                return True
        elif self._on_air is None:
            self._session.end()  # a publisher came and went before its start could be written
        return False

    async def _load(self) -> bool:
        row = await store.find(self._transitions.db, self.stream_key)
        if row is not None and row.status == "INTERRUPTED" and self._grace_over_s is None:
            row = await self._transitions.prolong(row)
            self._grace_over_s = self._clock.monotonic() + self._transitions.grace_s
        if row is None and (self._publisher or self._fallback):
            self._cut_all("ended")
        if row is not None and row.status in ON_AIR:
            self.peak = max(self.peak, row.peak_viewers)
        self._row = row
        return row is not None

    def _cause(self, row: StreamRow) -> Cause | None:
        if self._ending is None and row.status == "INTERRUPTED" and self._is_nobody_there() and self._is_grace_over():
            self._ending = "grace_over"
        if self._ending is not None:
            return self._ending
        if self._sends(self._on_air):
            return "media"
        if row.status == "LIVE" and not self._sends(self._fallback):
            return "lost"
        return None

    def _sends(self, source: Source | None) -> bool:
        return source is not None and self._clock.monotonic() < _silent_at_s(source)

    def _is_nobody_there(self) -> bool:
        """Neither on air nor about to be. A publisher that has connected is cut if it goes on saying nothing."""
        return self._on_air is None and self._publisher is None

    def _is_grace_over(self) -> bool:
        return self._grace_over_s is not None and self._clock.monotonic() >= self._grace_over_s

    async def _go(self, row: StreamRow, cause: Cause) -> None:
        target = after(row.status, cause)
        viewers = self.peak
        if target == "OFFLINE" and self._on_air is None:
            # Before the transaction, not after it: a publisher whose first packet comes meanwhile opens a new relay.
            self._session.end()
        elif row.status not in ON_AIR:
            viewers = self.peak = self._viewer_count(self.stream_key)
        changed = await self._transitions.apply(row, cause, viewers=viewers)
        if changed is not None:
            if target == "INTERRUPTED":
                self._grace_over_s = self._clock.monotonic() + self._transitions.grace_s
            elif target == "LIVE":
                self._grace_over_s = None
            log.info("broadcast.status", stream_key=self.stream_key, status=changed.status, cause=cause)
        if target == "OFFLINE":
            self._ending = None
        self._row = changed


def _silent_at_s(source: Source) -> float:
    return source.last_data_s + SILENT_S
