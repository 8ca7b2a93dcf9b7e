"""What exists while a broadcast is on air: its relay and its companions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.ids import StreamKey
from dorami_core.base.supervision import Backoff
from dorami_core.media.packets import MediaPacket

log = structlog.get_logger()

Companion = Callable[[StreamKey], Awaitable[None]]
"""Runs while a broadcast is LIVE or INTERRUPTED (an HLS writer) and is cancelled when it goes OFFLINE. One that fails
is started again with a growing pause; one that returns has done its work."""

FIRST_PAUSE_S = 0.5


class RelayLike(Protocol):
    """Where the packets of one broadcast go; never blocks."""

    def begin_source(self) -> None:
        """The packets that follow come from another encoder, with times of their own."""
        ...

    def write(self, packet: MediaPacket) -> None: ...
    def end(self) -> None:
        """Nothing follows; viewers get an end of stream."""
        ...


class Relays(Protocol):
    def open(self, stream_key: StreamKey) -> RelayLike: ...
    def close(self, stream_key: StreamKey) -> None: ...


class Session:
    """Relay and companions of one stream key. The relay can be there before the companions: packets do not wait for
    the database."""

    def __init__(self, stream_key: StreamKey, relays: Relays, companions: Sequence[Companion], clock: Clock) -> None:
        self._key = stream_key
        self._relays = relays
        self._companions = tuple(companions)
        self._clock = clock
        self._relay: RelayLike | None = None
        self._scope: trio.CancelScope | None = None
        self._over = trio.Event()
        self._over.set()

    @property
    def is_running(self) -> bool:
        return self._scope is not None

    @property
    def relay(self) -> RelayLike:
        """Opened at the first use."""
        if self._relay is None:
            self._relay = self._relays.open(self._key)
        return self._relay

    @property
    def is_over(self) -> bool:
        """No companion runs any more."""
        return self._over.is_set()

    async def begin(self, nursery: trio.Nursery, on_over: Callable[[], None]) -> None:
        """Opens the relay and starts the companions, once those of the session before are gone."""
        await self._over.wait()
        if self._scope is None:
            _ = self.relay
            self._scope = trio.CancelScope()
            self._over = trio.Event()
            nursery.start_soon(self._run, self._scope, self._over, on_over, name=f"companions of {self._key}")

    def end(self) -> None:
        """Ends the relay and cancels the companions; twice does no harm."""
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.end()
            self._relays.close(self._key)
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.cancel()

    async def _run(self, scope: trio.CancelScope, over: trio.Event, on_over: Callable[[], None]) -> None:
        try:
            with scope:
                async with trio.open_nursery() as nursery:
                    for companion in self._companions:
                        nursery.start_soon(self._keep, companion)
        finally:
            over.set()
            on_over()

    async def _keep(self, companion: Companion) -> None:
        backoff = Backoff(FIRST_PAUSE_S)
        while True:
            started_s = self._clock.monotonic()
            try:
                await companion(self._key)
                return
            except Exception:
                pause_s = backoff.pause_s(self._clock.monotonic() - started_s)
                log.exception("broadcast.companion_failed", stream_key=self._key, again_in_s=pause_s)
            await self._clock.sleep(pause_s)
