"""All relays of this process, by stream key, and the nursery that owns them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.settings import MediaSettings
from dorami_core.media.relay import Relay, RelayStatistics
from dorami_core.media.sinks import ByteSink
from dorami_core.media.viewer import Subscription


class RelayHub:
    """Made by `open_relay_hub`."""

    def __init__(self, settings: MediaSettings, nursery: trio.Nursery) -> None:
        self._settings = settings
        self._nursery = nursery
        self._relays: dict[str, Relay] = {}

    def open(self, stream_key: str) -> Relay:
        """The relay of this broadcast, begun now if there is none."""
        relay = self.find(stream_key)
        if relay is None:
            relay = self._relays[stream_key] = Relay(stream_key, self._settings)
            self._nursery.start_soon(self._run, relay, name=f"relay {stream_key}")
        return relay

    def find(self, stream_key: str) -> Relay | None:
        """The relay, unless there is none or it has ended."""
        relay = self._relays.get(stream_key)
        return None if relay is None or relay.ended else relay

    def close(self, stream_key: str) -> None:
        """Ends the broadcast's relay: viewers get the rest and their end. Without effect where there is none."""
        relay = self._relays.pop(stream_key, None)
        if relay is not None:
            relay.end()

    async def serve_flv(self, stream_key: str, sink: ByteSink) -> None:
        """Feeds a viewer, through interruptions too; returns when all was given to the sink at the broadcast's end,
        when it was cut for being slow (`sink.abort` was called), or when its peer is gone.

        DoramiError STREAM_NOT_FOUND if there is no relay. Cancelling it just takes the viewer off.
        """
        await self._existing(stream_key).serve(sink)

    @contextmanager
    def subscribe(
        self, stream_key: str, *, max_bytes: int | None = None, one_source: bool = False
    ) -> Iterator[Subscription]:
        """`Relay.subscribe` by key, bounded to `media.viewer_queue_max_bytes` unless told otherwise.

        DoramiError STREAM_NOT_FOUND if there is no relay.
        """
        relay = self._existing(stream_key)
        with relay.subscribe(max_bytes or self._settings.viewer_queue_max_bytes, one_source=one_source) as subscription:
            yield subscription

    def statistics(self) -> dict[str, RelayStatistics]:
        return {key: relay.statistics() for key, relay in self._relays.items()}

    def _existing(self, stream_key: str) -> Relay:
        relay = self.find(stream_key)
        if relay is None:
            raise DoramiError("STREAM_NOT_FOUND", streamKey=stream_key)
        return relay

    async def _run(self, relay: Relay) -> None:
        try:
            await relay.run()
        finally:
            if self._relays.get(relay.stream_key) is relay:
                del self._relays[relay.stream_key]


@asynccontextmanager
async def open_relay_hub(settings: MediaSettings) -> AsyncIterator[RelayHub]:
    """A hub for as long as the block runs; leaving it ends every relay, viewers get what has gathered."""
    async with trio.open_nursery() as nursery:
        hub = RelayHub(settings, nursery)
        yield hub
        for stream_key in list(hub.statistics()):
            hub.close(stream_key)
