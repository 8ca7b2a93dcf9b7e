"""One connection of one target: a worker that is fed, listened to, and ended when it is stuck or takes too much."""

from __future__ import annotations

import math
import os
import signal
from collections import deque
from pathlib import Path

import attrs
import certifi
import msgpack
import trio

from dorami_core.base.settings import RestreamSettings
from dorami_core.media.flv import FlvReader
from dorami_core.media.slate import Slate
from dorami_core.media.viewer import Subscription
from dorami_core.media.workers.worker import Progress, WorkerFailed, run_worker
from dorami_core.restream.feed import TargetFeed
from dorami_core.restream.model import Cause
from dorami_core.restream.state import RunState

MODULE = "dorami_core.media.workers.restream"
WATCH_S = 0.5
CPU_OVER_S = 10.0
MAX_DELAY_MS = 600_000
LATE_S = 0.5
"""Who looks so much later than he wanted to was held up himself, with all of this process."""
READ_SHARE = 1 / 8
"""Of what the other side's kernel has acknowledged, its program has read at least so much, or it reads no more. The
edge of a window creeps a little while nobody reads: by 2 % of what comes in, on Linux."""
_MB = 1_000_000
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class AttemptFailed(Exception):
    """The connection is over though the broadcast is not. `words` are the worker's last lines, keys and all."""

    def __init__(self, cause: Cause, words: str) -> None:
        super().__init__(cause)
        self.cause: Cause = cause
        self.words = words


@attrs.frozen
class Opening:
    """The first bytes that a broadcast gives: header, configurations, the last GOP."""

    flv: bytes

    @property
    def has_audio(self) -> bool:
        return bool(self.flv[4] & 4)

    @property
    def has_video(self) -> bool:
        return bool(self.flv[4] & 1)


class WorkerInput:
    """The worker's stdin: the job, then the feed, which is filled up while the broadcast is silent. A class and not a
    generator, since nobody closes the generator of a feed that is given up."""

    def __init__(
        self, job: bytes, opening: Opening, subscription: Subscription, feed: TargetFeed, state: RunState
    ) -> None:
        self._first: list[bytes] = [opening.flv, job]
        self._subscription = subscription
        self._reader = FlvReader()
        self._feed = feed
        self._state = state
        self._taken = False
        self.given_at_s = trio.current_time()

    def __aiter__(self) -> WorkerInput:
        return self

    def owed_since(self, at_s: float) -> bool:
        """Whether the worker was given anything after this, or has not taken all that it was given."""
        return not self._taken or self.given_at_s > at_s

    async def __anext__(self) -> bytes:
        self._taken = True
        data = await self._next()
        self._taken, self.given_at_s = False, trio.current_time()
        return data

    async def _next(self) -> bytes:
        if len(self._first) == 2:
            return self._first.pop()
        if self._first and (made := self._take(self._first.pop())):
            return made
        while True:
            # What has come is taken first, however late: where this target was slow, the broadcast was not silent.
            until = math.inf if self._subscription.queued_bytes else max(self._feed.fill_at_s, trio.current_time())
            with trio.move_on_at(until):
                if made := self._take(await anext(self._subscription)):
                    return made
                continue
            now = trio.current_time()
            if now > until + LATE_S:
                self._feed.listen_again(now)
            if made := self._feed.fill(now):
                self._state.on_slate = self._feed.on_slate
                return made

    def _take(self, flv: bytes) -> bytes:
        made = self._feed.take(self._reader.feed(flv), trio.current_time())
        self._state.on_slate = self._feed.on_slate
        return made


class Attempt:
    """Made for one connection. `run` returns when the broadcast has ended, AttemptFailed for whatever else ends it."""

    def __init__(self, url: str, mute: bool, slate: Slate, settings: RestreamSettings, state: RunState) -> None:
        self._url = url
        self._mute = mute
        self._slate = slate
        self._settings = settings
        self._state = state
        self._pid: int | None = None
        self._phase = "starting"
        self._taken = 0
        self._window = (0, 0)
        self._measured_at_s: float | None = None
        self._progress_at_s = trio.current_time()
        self._killed: Cause = ""
        self._feed: TargetFeed | None = None
        self._bytes: WorkerInput | None = None
        self._cpu: deque[tuple[float, float]] = deque()

    async def run(self, opening: Opening, subscription: Subscription) -> None:
        self._feed = TargetFeed(self._slate, mute=self._mute, has_video=opening.has_video, has_audio=opening.has_audio)
        self._progress_at_s = trio.current_time()
        self._bytes = WorkerInput(self._job(), opening, subscription, self._feed, self._state)
        failure: WorkerFailed | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            try:
                await run_worker(
                    MODULE,
                    feed=self._bytes,
                    on_start=self._started,
                    on_progress=self._progressed,
                )
            except WorkerFailed as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is None and subscription.end_reason == "end":
            return
        words = failure.stderr if failure is not None else ""
        raise AttemptFailed(self._cause(failure), words)

    def _job(self) -> bytes:
        settings = self._settings
        told = {
            "url": self._url,
            "memory_bytes": settings.worker_memory_mb * _MB,
            "ca_file": settings.ca_file or certifi.where(),
        }
        job: bytes = msgpack.packb(told)
        return len(job).to_bytes(4, "big") + job

    def _cause(self, failure: WorkerFailed | None) -> Cause:
        if self._killed:
            return self._killed
        if failure is None:
            return "LOST"  # it has ended by itself, or the feed has left it behind
        if "took nothing" in failure.reason:
            return "STALLED"
        if "MemoryError" in failure.stderr or "Cannot allocate" in failure.stderr:
            return "OVER_LIMIT"
        if self._phase == "starting":
            return "WORKER"
        if self._phase == "active":
            return "LOST" if failure.reason == "exit status 1" else "WORKER"
        if failure.reason == "exit status 3":
            return "REFUSED"
        if failure.reason == "exit status 4":
            return "UNTRUSTED"
        return "UNREACHABLE" if failure.reason == "exit status 1" else "WORKER"

    # What it says

    def _started(self, pid: int) -> None:
        self._pid = pid

    def _progressed(self, progress: Progress) -> None:
        now = trio.current_time()
        if "state" in progress:
            self._phase = str(progress["state"])
            self._progress_at_s = now
            if self._phase == "active":
                self._measured_at_s = now
                self._state.to("ACTIVE")
            return
        taken = max(0, int(progress["sent_bytes"]) - int(progress["unread_bytes"]))
        if taken > self._taken:
            over_s = now - (self._measured_at_s if self._measured_at_s is not None else now)
            self._state.measured(taken - self._taken, over_s)
        else:
            self._state.measured(0, now - (self._measured_at_s or now))
        if self._is_read(progress, taken):
            self._progress_at_s = now
        self._taken = max(taken, self._taken)
        self._measured_at_s = now
        assert self._feed is not None
        behind_ms = self._feed.last_ms - int(progress["time_ms"])
        rate = self._state.bitrate_bps
        unread_ms = int(progress["unread_bytes"]) * 8000 / rate if rate else 0.0
        self._state.delay_ms = round(min(max(behind_ms, 0) + unread_ms, MAX_DELAY_MS)) if rate else 0

    def _is_read(self, progress: Progress, taken: int) -> bool:
        """Whether the other side's program has read since this was last so. Its kernel goes on taking, a megabyte or
        more, after the program has stopped; but the edge of its window stands still then."""
        acked, edge = int(progress["acked_bytes"]), int(progress["edge_bytes"])
        if not edge:
            return taken > self._taken
        acked_more, edge_more = acked - self._window[0], edge - self._window[1]
        if acked_more <= 0 or edge_more < acked_more * READ_SHARE:
            return False
        self._window = (acked, edge)
        return True

    # What it may

    async def _watch(self) -> None:
        while True:
            await trio.sleep(WATCH_S)
            now = trio.current_time()
            if now - self._progress_at_s >= self._settings.stale_s and self._is_owed():
                self._kill("STALLED")
            elif self._pid is not None and self._takes_too_much(self._pid, now):
                self._kill("OVER_LIMIT")

    def _is_owed(self) -> bool:
        """Nothing can be taken of a broadcast that is silent."""
        return self._phase != "active" or self._bytes is None or self._bytes.owed_since(self._progress_at_s)

    def _kill(self, cause: Cause) -> None:
        # Not by closing its stdin: a stuck one would use up its whole grace, and it has nothing to finish.
        if self._pid is not None and not self._killed:
            self._killed = cause
            os.kill(self._pid, signal.SIGKILL)

    def _takes_too_much(self, pid: int, now: float) -> bool:
        """Above `restream.worker_memory_mb`, or for CPU_OVER_S above `restream.worker_cpu`."""
        try:
            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            return False  # no such file system, or the process is gone
        self._cpu.append((now, (int(fields[11]) + int(fields[12])) / _TICKS))
        while now - self._cpu[0][0] > CPU_OVER_S + WATCH_S:
            self._cpu.popleft()
        (since, before), (_, after) = self._cpu[0], self._cpu[-1]
        busy = now - since >= CPU_OVER_S and (after - before) / (now - since) > self._settings.worker_cpu
        return busy or resident > self._settings.worker_memory_mb * _MB
