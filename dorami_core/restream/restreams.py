"""Which targets run: compares what is wanted with what is, for each broadcast on air, once a second."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import attrs
import structlog
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.ids import StreamKey, new_uuid
from dorami_core.base.sealing import SealBroken, Sealer
from dorami_core.base.settings import MediaSettings, RestreamSettings
from dorami_core.hooks.host import StreamDirectory
from dorami_core.hooks.transactions import Database
from dorami_core.media.hub import RelayHub
from dorami_core.restream import store
from dorami_core.restream.model import Cause, RunStatus, Target, publish_url
from dorami_core.restream.sending import Sending, Slates
from dorami_core.restream.state import RunState

log = structlog.get_logger(__name__)

LOOK_S = 1.0
LAST_WORDS_S = 2.0
LOG_KEPT = timedelta(days=90)
MAX_TARGETS = 100
_STOPPED: tuple[RunStatus, Cause] = ("STOPPED", "ASKED")


def key_place(target_id: UUID) -> str:
    """Where a target's key is sealed for."""
    return f"restream.targets:{target_id}:stream_key"


def is_wanted(target: Target, live_id: str, session_at: datetime, now: datetime) -> bool:
    """What a person asked for in this session, else the target's own mode."""
    if target.asked is not None and (target.asked_live_id, target.asked_session_at) == (live_id, session_at):
        return target.asked == "START"
    return target.start_mode == "AUTO" and (now - session_at).total_seconds() >= target.delay_s


@attrs.define(eq=False)
class _Running:
    """A target that is being sent. `since` tells whether it was edited, or asked for again, since then."""

    state: RunState
    since: tuple[int, int]
    scope: trio.CancelScope
    last: tuple[RunStatus, Cause] | None = None


@attrs.frozen
class RestreamStatistics:
    """`running` now; the others count since the start."""

    running: int
    runs: int
    restarts: int


class Restreams:
    """`run` is a companion of each broadcast, in the process that has its relay."""

    def __init__(
        self,
        db: Database,
        hub: RelayHub,
        streams: Callable[[], StreamDirectory],
        sealer: Sealer,
        clock: Clock,
        settings: RestreamSettings,
        media: MediaSettings,
    ) -> None:
        self._db = db
        self._hub = hub
        self._streams = streams
        self._sealer = sealer
        self._clock = clock
        self._settings = settings
        self._queue_max_bytes = media.viewer_queue_max_bytes
        self._slates = Slates()
        self._running: dict[UUID, _Running] = {}
        self._poked = trio.Event()
        self._runs = 0
        self._restarts = 0

    def poke(self) -> None:
        """Something is wanted otherwise; without it that is seen within a second, from whatever process."""
        self._poked.set()
        self._poked = trio.Event()

    def statistics(self) -> RestreamStatistics:
        open_restarts = sum(one.state.restart_count for one in self._running.values())
        return RestreamStatistics(len(self._running), self._runs, self._restarts + open_restarts)

    async def run(self, stream_key: StreamKey) -> None:
        """Sends the broadcast to its targets until it is cancelled; they get their goodbye then."""
        stream = await self._streams().find(stream_key)
        if stream is None or stream.started_at is None:
            return
        await store.close_abandoned(self._db, stream_key)
        await store.purge(self._db, LOG_KEPT)
        mine: dict[UUID, _Running] = {}
        async with trio.open_nursery() as nursery:
            while True:
                poked = self._poked
                try:
                    targets = await store.list_targets(self._db, MAX_TARGETS)
                except Exception:
                    log.exception("restream.targets_unread", stream_key=stream_key)
                else:
                    self._compare(targets, mine, stream_key, stream.started_at, nursery)
                with trio.move_on_after(LOOK_S):
                    await poked.wait()

    def _compare(
        self,
        targets: list[Target],
        mine: dict[UUID, _Running],
        stream_key: StreamKey,
        session_at: datetime,
        nursery: trio.Nursery,
    ) -> None:
        now = self._clock.now()
        wanted = {one.id: one for one in targets if is_wanted(one, stream_key, session_at, now)}
        for target_id, running in list(mine.items()):
            target = wanted.get(target_id)
            if target is None:
                running.last = _STOPPED
                running.scope.cancel()
                del mine[target_id]
            elif running.since != (target.revision, target.asked_count):
                running.last = ("STOPPED", "CHANGED")
                running.scope.cancel()
                del mine[target_id]
        for target in wanted.values():
            # One that has given up stays so until it is edited or asked for again; one is for one broadcast at a time.
            if target.id not in mine and target.id not in self._running:
                running = self._make(target)
                mine[target.id] = self._running[target.id] = running
                nursery.start_soon(self._send, target, stream_key, running)

    def _make(self, target: Target) -> _Running:
        try:
            key = self._sealer.open(target.stream_key, key_place(target.id)).decode()
        except SealBroken:
            key = ""
        state = RunState(new_uuid(), target.id, self._clock, key)
        return _Running(state, (target.revision, target.asked_count), trio.CancelScope())

    async def _send(self, target: Target, stream_key: StreamKey, running: _Running) -> None:
        state = running.state
        try:
            with running.scope:
                if not await store.begin_run(self._db, state.id, target.id, stream_key):
                    running.since = (-1, -1)  # another process sends it; looked at again
                    return
                self._runs += 1
                try:
                    await self._guarded(target, stream_key, state)
                finally:
                    if state.status not in ("IDLE", "FAILED") or state.next_attempt_at is not None:
                        state.to(*(running.last or ("IDLE", "ENDED")))
                    self._restarts += state.restart_count
                    with trio.move_on_after(LAST_WORDS_S, shield=True):
                        await self._save(state, ended=True)
        except Exception:
            # A mistake, or the database: this target waits for the next look, the others do not notice.
            log.exception("restream.crashed", target=str(target.id))
            running.since = (-1, -1)
        finally:
            del self._running[target.id]

    async def _guarded(self, target: Target, stream_key: StreamKey, state: RunState) -> None:
        relay = self._hub.find(stream_key)
        if relay is None:
            return
        if not state.key:
            state.to("FAILED", "WORKER", words="the key cannot be read with the present PROFILE_ENCRYPTION_KEY")
            return
        sending = Sending(
            relay,
            publish_url(target.rtmp_url, state.key),
            target.mute_audio,
            self._slates,
            self._settings,
            state,
            queue_max_bytes=self._queue_max_bytes,
        )
        state.to("CONNECTING")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_saving, state)
            await sending.run()
            nursery.cancel_scope.cancel()

    async def _keep_saving(self, state: RunState) -> None:
        while True:
            await self._save(state, ended=False)
            await trio.sleep(LOOK_S)

    async def _save(self, state: RunState, *, ended: bool) -> None:
        values = state.columns()
        state.changed = False
        try:
            await store.save_run(self._db, state.id, values, ended=ended)
        except Exception as error:
            state.changed = True
            log.warning("restream.unsaved", target=str(state.target_id), error=repr(error))
