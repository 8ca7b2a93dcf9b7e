"""Sockets and timers of a load client: one thread, raw epoll, a plain call per event.

A task per viewer costs more than all that a viewer does; ten thousand of them would measure the client.
"""

from __future__ import annotations

import gc
import heapq
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Handler = Callable[[int], None]
"""Gets the epoll mask."""
READ = select.EPOLLIN
WRITE = select.EPOLLOUT
HANG_UP = select.EPOLLHUP | select.EPOLLERR
"""The kernel reports these whether asked or not."""
NOTHING = select.EPOLLRDHUP
"""Does not read, but hears of the end."""
_BATCH = 64
_IDLE_S = 0.05


class Loop:
    """What is watched with `first` is served before each batch of the others: a sample that waited for a thousand
    other reads would tell of the client, not of the server."""

    def __init__(self) -> None:
        self._all = select.epoll()
        self._first = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._is_first: set[int] = set()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._all.register(self._first.fileno(), READ)

    def close(self) -> None:
        self._first.close()
        self._all.close()

    def watch(self, fd: int, handler: Handler, events: int, *, first: bool = False) -> None:
        (self._first if first else self._all).register(fd, events)
        if first:
            self._is_first.add(fd)
        self._handlers[fd] = handler

    def change(self, fd: int, handler: Handler, events: int) -> None:
        self._handlers[fd] = handler
        (self._first if fd in self._is_first else self._all).modify(fd, events)

    def promote(self, fd: int, handler: Handler) -> None:
        """Reads of it come first from now on."""
        self._all.unregister(fd)
        self.watch(fd, handler, READ, first=True)

    def unwatch(self, fd: int) -> None:
        """Before the descriptor is closed."""
        (self._first if fd in self._is_first else self._all).unregister(fd)
        self._is_first.discard(fd)
        del self._handlers[fd]

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Once, at this time of `time.monotonic`, or as soon as possible after it."""
        self._serial += 1
        heapq.heappush(self._timers, (when, self._serial, call))

    def every(self, interval_s: float, call: Callable[[], None], until: Callable[[], bool]) -> None:
        def again() -> None:
            if not until():
                call()
                self.at(time.monotonic() + interval_s, again)

        self.at(time.monotonic(), again)

    def run(self, until: Callable[[], bool], limit_s: float) -> bool:
        """Serves until `until()`, asked after each batch, is true; False where it was not within `limit_s`."""
        deadline = time.monotonic() + limit_s
        while not until():
            now = time.monotonic()
            if now >= deadline:
                return False
            timers = self._timers
            while timers and timers[0][0] <= now:
                heapq.heappop(timers)[2]()
            wait_s = min(_IDLE_S, deadline - now)
            if timers:
                wait_s = min(wait_s, max(0.0, timers[0][0] - time.monotonic()))
            self._serve(wait_s)
        return True

    def run_for(self, seconds: float) -> None:
        self.run(lambda: False, seconds)

    def _serve(self, wait_s: float) -> None:
        handlers = self._handlers
        events = self._all.poll(wait_s, _BATCH)
        for fd, mask in self._first.poll(0):
            handler = handlers.get(fd)
            if handler is not None:
                handler(mask)
        for fd, mask in events:
            handler = handlers.get(fd)  # an earlier one of the batch may have closed it
            if handler is not None:
                handler(mask)


class LoadClock:
    """How busy the load client itself was."""

    def __init__(self) -> None:
        self._cpu_s, self._began = time.process_time(), time.monotonic()

    def cores_busy(self) -> float:
        return (time.process_time() - self._cpu_s) / max(self.passed_s(), 1e-9)

    def passed_s(self) -> float:
        return time.monotonic() - self._began


@contextmanager
def without_collector() -> Iterator[None]:
    """No pause of the cycle collector falls into what is measured."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
