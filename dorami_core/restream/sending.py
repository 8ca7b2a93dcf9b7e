"""One target in one broadcast: connection after connection, with growing pauses, until one of the two ends."""

from __future__ import annotations

import hashlib
import random

import structlog
import trio

from dorami_core.base.settings import RestreamSettings
from dorami_core.base.supervision import Backoff
from dorami_core.media.flv import FlvReader
from dorami_core.media.relay import Relay
from dorami_core.media.slate import Slate, make_slate
from dorami_core.media.workers.worker import WorkerFailed
from dorami_core.restream.attempt import Attempt, AttemptFailed, Opening
from dorami_core.restream.state import RunState

log = structlog.get_logger(__name__)

JITTER = 1 / 3
"""Pauses differ by so much up or down, so that targets that fell together do not come back together."""
MAX_SLATES = 8


class Slates:
    """Slates that were made, by the configurations of their broadcast: all targets of it share one."""

    def __init__(self) -> None:
        self._made: dict[bytes, Slate] = {}
        self._making = trio.Lock()

    async def of(self, opening: Opening) -> Slate:
        """WorkerFailed where it cannot be made."""
        headers = [packet.payload for packet in FlvReader().feed(opening.flv) if packet.is_sequence_header]
        name = hashlib.sha256(b"\0".join(headers) + opening.flv[4:5]).digest()
        async with self._making:
            slate = self._made.get(name)
            if slate is None:
                slate = await make_slate(opening.flv)
                while len(self._made) >= MAX_SLATES:
                    del self._made[next(iter(self._made))]
                self._made[name] = slate
        return slate


class Sending:
    """`run` returns when the broadcast has ended ("IDLE") or the budget of failures is used up ("FAILED")."""

    def __init__(
        self,
        relay: Relay,
        url: str,
        mute: bool,
        slates: Slates,
        settings: RestreamSettings,
        state: RunState,
        *,
        queue_max_bytes: int,
    ) -> None:
        self._relay = relay
        self._url = url
        self._mute = mute
        self._slates = slates
        self._settings = settings
        self._state = state
        self._queue_max_bytes = queue_max_bytes

    async def run(self) -> None:
        settings, state = self._settings, self._state
        backoff = Backoff(settings.first_pause_s, settings.longest_pause_s, settings.steady_s)
        failures = 0
        while True:
            began = trio.current_time()
            try:
                await self._attempt()
            except AttemptFailed as failed:
                ran_s = trio.current_time() - began
                failures = 1 if ran_s > settings.steady_s else failures + 1
                gives_up = failures > settings.max_failures
                # The same amount of luck up and down, so that the mean stays the setting's.
                pause_s = backoff.pause_s(ran_s) * random.uniform(1 - JITTER, 1 + JITTER)
                state.to("FAILED", failed.cause, again_in_s=None if gives_up else pause_s, words=failed.words)
                log.warning("restream.failed", target=str(state.target_id), cause=failed.cause, again_in_s=pause_s)
                if gives_up:
                    return
            else:
                state.to("IDLE", "ENDED")
                return
            await trio.sleep(pause_s)
            state.restart_count += 1
            # With the cause still shown: why it is not there yet is what the seller wants to know.
            state.to("CONNECTING", state.cause)

    async def _attempt(self) -> None:
        with self._relay.subscribe(self._queue_max_bytes) as subscription:
            first = await anext(subscription, None)
            if first is None:
                return
            opening = Opening(first)
            try:
                slate = await self._slates.of(opening)
            except WorkerFailed as error:
                raise AttemptFailed("WORKER", error.stderr or error.reason) from error
            await Attempt(self._url, self._mute, slate, self._settings, self._state).run(opening, subscription)
