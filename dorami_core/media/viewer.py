"""One receiver of a relay: when it starts, when it is left out, when it is cut."""

from __future__ import annotations

import math
from collections import deque
from typing import Literal

import attrs
import trio

from dorami_core.base.sending import Send, Taken
from dorami_core.media.joining import JoinCache
from dorami_core.media.sinks import ByteSink

GATHER_S = 0.1
"""How long a worker's bytes gather."""
EndReason = Literal["", "end", "source", "slow", "broken"]


@attrs.frozen(slots=True)
class Round:
    """What gathered in one interval, joined once for all."""

    data: bytes
    has_keyframe: bool


@attrs.define
class Tally:
    """What the receivers of one relay count together."""

    bytes_out: int = 0
    skipped: int = 0
    cut: int = 0


class Viewer:
    """`max_bytes` bounds what waits in the sink; the first burst (header and GOP) comes on top of it until it is out.

    A full viewer is skipped: it gets nothing until its queue is empty, then goes on at a key frame. One that did not
    empty it within `cut_after_s` is cut.
    """

    def __init__(self, sink: ByteSink, max_bytes: int, cut_after_s: float, tally: Tally) -> None:
        self.sink = sink
        self.ended = trio.Event()
        self.reason: EndReason = ""
        self.started = False
        self._max_bytes = max_bytes
        self._cut_after_s = cut_after_s
        self._tally = tally
        self._burst_bytes = 0
        self.ready: Send | None = None
        """The sink's own, while this viewer has all so far and nothing of it waits; for `Relay` to call."""
        self._skipping_since: float | None = None
        self._drained = False

    def end(self, reason: EndReason) -> None:
        """No more is coming; the first reason stays."""
        self.ready = None
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()

    def start(self, cache: JoinCache) -> None:
        """Sends the header and the GOP if there is one to begin with."""
        if not self.started and cache.ready:
            self.started = True
            data = cache.snapshot()
            self._burst_bytes = len(data)
            self._give(data)

    def offer(self, part: Round, cache: JoinCache, now: float) -> bool:
        """Gives the sink this round, or not; False where it was cut. `cache` holds the round already."""
        if not self.started:
            self.start(cache)
        elif self._skipping_since is None:
            self._offer_to_late(part, now)
        else:
            return self._catch_up(part, cache, now)
        return True

    def _give(self, data: bytes) -> None:
        queued = self.sink.send_nowait(data)
        self.ready = None if queued else self.sink.ready
        self._tally.bytes_out += len(data)

    def fall_behind(self, data: bytes, taken: Taken) -> None:
        """`ready` did not take all of these bytes."""
        self.ready = None
        self.sink.keep(data, taken)

    def _offer_to_late(self, part: Round, now: float) -> None:
        queued = self.sink.queued_bytes
        if queued <= self._max_bytes:
            self._burst_bytes = 0
        if queued <= self._max_bytes + self._burst_bytes:
            self._give(part.data)
            return
        self._skipping_since = now
        self._drained = False
        self._tally.skipped += 1

    def _catch_up(self, part: Round, cache: JoinCache, now: float) -> bool:
        assert self._skipping_since is not None
        self._drained = self._drained or self.sink.queued_bytes == 0
        if not self._drained:
            if now - self._skipping_since < self._cut_after_s:
                return True
            self._tally.cut += 1
            self.sink.abort("slow")
            self.end("slow")
            return False
        # The key frame that the cache begins with is in this round, so the viewer's time does not go back.
        if cache.ready and (part.has_keyframe or not cache.has_video):
            self._skipping_since = None
            self._give(cache.resume() if cache.has_video else part.data)
        return True


class Subscription:
    """An async iterator of FLV bytes for a worker; a sink to the relay. Ends when the viewer it stands for ends.

    Hands out all that is there, at most once in GATHER_S: waking a worker for every round costs more than the round.
    What is queued when the end comes is still handed out; after `abort` it is not.
    """

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._queued = 0
        self._news = trio.Event()
        self._closed = trio.Event()
        self._viewer: Viewer | None = None
        self._next_at = -math.inf

    def bind(self, viewer: Viewer) -> None:
        self._viewer = viewer

    @property
    def end_reason(self) -> EndReason:
        """Why it ended: "end" of the broadcast, another "source", cut as "slow"; "" while it runs."""
        return self._viewer.reason if self._viewer else ""

    @property
    def queued_bytes(self) -> int:
        return self._queued

    @property
    def ready(self) -> None:
        return None

    def keep(self, data: bytes, taken: Taken) -> None:
        raise RuntimeError("there is no kernel between a relay and a worker")

    def send_nowait(self, data: bytes) -> int:
        self._parts.append(data)
        self._queued += len(data)
        self.wake()
        return self._queued

    def wake(self) -> None:
        """Lets the reader look again."""
        self._news.set()

    def abort(self, reason: str) -> None:
        self._parts.clear()
        self._queued = 0
        self._closed.set()
        self.wake()

    async def wait_closed(self) -> None:
        await self._closed.wait()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> bytes:
        await trio.sleep_until(self._next_at)
        while not self._parts:
            if self._closed.is_set() or (self._viewer is not None and self._viewer.ended.is_set()):
                raise StopAsyncIteration
            self._news = trio.Event()
            await self._news.wait()
        joined = b"".join(self._parts)
        self._parts.clear()
        self._queued = 0
        self._next_at = trio.current_time() + GATHER_S
        return joined
