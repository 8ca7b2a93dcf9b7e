"""Trio as a guest of uvloop in one thread, and the one crossing from Trio to asyncio libraries.

asyncpg and redis-py are reached by `to_asyncio`; what is too frequent to wake a task for each time is read in the
loop's callbacks (`Inflow`, `store.wire`). No other module knows that there is an asyncio loop.
"""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Any, ClassVar, TypeVar

import outcome
import trio
import trio._core._run as _trio_run
import uvloop

T = TypeVar("T")
_FOREVER_S = 86_000.0
"""Trio wakes up at least once a day; that needs no timer."""


class AsyncioCancelled(RuntimeError):
    """Code of an asyncio library cancelled itself, although no Trio scope asked for it.

    An asyncio `CancelledError` must not pass into Trio, where it would be nobody's cancellation.
    """


def run(
    main: Callable[[], Awaitable[T]],
    *,
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """Runs `main` in Trio on top of a fresh uvloop and returns its result or raises its error.

    When `main` is over, asyncio tasks that are still there are cancelled and awaited, asynchronous generators are
    closed, and the loop is closed. SIGINT raises KeyboardInterrupt at a checkpoint of the main task unless `main` opens
    `trio.open_signal_receiver` first, which a server does. Must not be called inside a running asyncio loop.
    """
    loop = uvloop.new_event_loop()
    try:
        finished = _run_host(loop, main, clock, instruments)
    finally:
        try:
            _cancel_leftovers(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
    return finished.unwrap()


class _Wakeup:
    """Wakes Trio by a callback of the loop, where Trio would write to a socket of its own and read that again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None], original: Any) -> None:
        self._loop = loop
        self._wake = wake
        self.close = original.close

    def wakeup_thread_and_signal_safe(self) -> None:
        # in guest mode Trio calls this from its own thread alone
        self._loop.call_soon(self._wake)

    def drain(self) -> None:
        """There is nothing to read."""


class _HostedWait:
    """Trio waits for its sockets on the host's loop, and not in a helper thread, which costs a wake-up of a thread each
    way (idle crossing 95 us, so 21 us).

    Trio starts the wait by a private name, `trio._core._run.start_thread_soon`; where that does not look as expected
    the public way stays: Trio's own thread.
    """

    by_thread: ClassVar[dict[int, _HostedWait]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._io: Any = None
        self._descriptor: int | None = None
        self._deliver: Callable[[outcome.Outcome[Any]], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_delivering = False

    @staticmethod
    def install() -> None:
        original = getattr(_trio_run, "start_thread_soon", None)
        if original is None or getattr(original, "is_hosted", False):
            return

        def start(fn: Callable[[], Any], deliver: Callable[[outcome.Outcome[Any]], object], name: Any = None) -> None:
            hosted = _HostedWait.by_thread.get(threading.get_ident())
            if hosted is None or not hosted.start(fn, deliver):
                original(fn, deliver, name)

        start.is_hosted = True  # type: ignore[attr-defined]
        _trio_run.start_thread_soon = start  # type: ignore[attr-defined]

    def start(self, fn: Callable[[], Any], deliver: Callable[[outcome.Outcome[Any]], object]) -> bool:
        """False where this is not the wait that we know."""
        found = dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False))
        if set(found) != {"self", "timeout"}:
            return False
        io, timeout = found["self"].cell_contents.runner.io_manager, found["timeout"].cell_contents
        if self._io is None:
            epoll = getattr(io, "_epoll", None)
            if epoll is None:
                return False
            self._io, self._descriptor = io, epoll.fileno()
            self._loop.add_reader(self._descriptor, self._look)
            if hasattr(io, "_force_wakeup") and hasattr(io, "_force_wakeup_fd"):
                io._force_wakeup = _Wakeup(self._loop, self._wake, io._force_wakeup)
        self._deliver = deliver
        self._timer = self._loop.call_later(timeout, self._time_out) if timeout < _FOREVER_S else None
        return True

    def soon(self, fn: Callable[[], object]) -> None:
        """Trio's `run_sync_soon_threadsafe`: at once where we are in the loop already."""
        if self._is_delivering:
            self._is_delivering = False
            fn()
        else:
            self._loop.call_soon_threadsafe(fn)

    def close(self) -> None:
        """Right after Trio has closed its epoll, before its number can be another's."""
        if self._timer is not None:
            self._timer.cancel()
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            self._descriptor = None

    def _look(self) -> None:
        if self._deliver is not None:
            events = outcome.capture(self._io.get_events, 0)
            if isinstance(events, outcome.Error) or events.value:
                self._hand_over(events)

    def _wake(self) -> None:
        if self._deliver is not None:
            # no events at all would mean that the time is over
            self._hand_over(outcome.Value([(self._io._force_wakeup_fd, select.EPOLLIN)]))

    def _time_out(self) -> None:
        self._timer = None
        if self._deliver is not None:
            self._hand_over(outcome.capture(self._io.get_events, 0))

    def _hand_over(self, events: outcome.Outcome[Any]) -> None:
        deliver, self._deliver = self._deliver, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        assert deliver is not None
        self._is_delivering = True
        try:
            deliver(events)
        finally:
            self._is_delivering = False


def _run_host(
    loop: asyncio.AbstractEventLoop,
    main: Callable[[], Awaitable[T]],
    clock: trio.abc.Clock | None,
    instruments: Sequence[trio.abc.Instrument],
) -> outcome.Outcome[T]:
    hosted = _HostedWait(loop)
    hosted.install()
    _HostedWait.by_thread[threading.get_ident()] = hosted

    async def host() -> outcome.Outcome[T]:
        done: asyncio.Future[outcome.Outcome[T]] = loop.create_future()

        def finish(result: outcome.Outcome[T]) -> None:
            hosted.close()
            done.set_result(result)

        trio.lowlevel.start_guest_run(
            main,
            run_sync_soon_threadsafe=hosted.soon,
            run_sync_soon_not_threadsafe=loop.call_soon,
            done_callback=finish,
            host_uses_signal_set_wakeup_fd=True,
            # between two of its checkpoints a crossing is half done, and so are the steps of any other task
            restrict_keyboard_interrupt_to_checkpoints=True,
            clock=clock,
            instruments=instruments,
        )
        return await done

    try:
        return loop.run_until_complete(host())
    finally:
        del _HostedWait.by_thread[threading.get_ident()]


def _cancel_leftovers(loop: asyncio.AbstractEventLoop) -> None:
    leftovers = asyncio.all_tasks(loop)
    if not leftovers:
        return
    for task in leftovers:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*leftovers, return_exceptions=True))
    for task in leftovers:
        if not task.cancelled() and (error := task.exception()) is not None:
            loop.call_exception_handler(
                {"message": "an asyncio task failed while the runtime was closing", "exception": error, "task": task}
            )


class Inflow:
    """Calls `ready` in the loop's callback whenever there is something to read in a socket, from `resume` to `pause`;
    what comes meanwhile waits in the kernel. `close` comes before the socket's own, and `closed` is called soon after.
    """

    __slots__ = ("_closed", "_is_on", "_is_paused", "_loop", "_ready", "_sock")

    def __init__(self, sock: socket.socket, ready: Callable[[], None], closed: Callable[[], None]) -> None:
        self._sock: socket.socket | None = sock
        self._ready = ready
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._is_paused = False
        self._is_on = False

    def resume(self) -> None:
        """Without effect once it is closed."""
        self._is_paused = False
        if not self._is_on and self._sock is not None:
            self._loop.add_reader(self._sock, self._look)
            self._is_on = True

    def pause(self) -> None:
        self._is_paused = True  # a short pause costs nothing

    def close(self) -> None:
        """Idempotent."""
        if self._sock is not None:
            self._off()
            self._sock = None
            self._loop.call_soon(self._closed)
            del self._ready, self._closed  # whoever they belong to holds us

    def _look(self) -> None:
        if self._is_paused:
            self._off()
        else:
            self._ready()

    def _off(self) -> None:
        if self._is_on and self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._is_on = False


async def to_asyncio(fn: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Calls `await fn(*args)` on the asyncio side and waits for it; the one crossing.

    Context variables go in, changes to them do not come back. A cancelled Trio scope cancels the asyncio task and
    waits for its end: what it then returned or raised counts, and only a task that ended cancelled ends this call
    cancelled. Raises what `fn` raises with its traceback, `AsyncioCancelled` where asyncio code cancelled itself,
    RuntimeError outside `run`.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("to_asyncio works only below dorami_core.runtime.run") from None
    crossing = _Crossing(trio.lowlevel.current_task())
    task = loop.create_task(crossing.run(fn, args), context=copy_context())

    def abort(raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
        crossing.raise_cancel = raise_cancel
        if not crossing.has_begun:  # and it never will
            task.add_done_callback(lambda _: crossing.end(outcome.capture(raise_cancel)))
        task.cancel()
        return trio.lowlevel.Abort.FAILED

    result: T = await trio.lowlevel.wait_task_rescheduled(abort)
    return result


class _Crossing:
    """One call to the asyncio side. It tells the waiting task itself: a done-callback would come a whole round of the
    loop later, which is milliseconds under a crowd."""

    __slots__ = ("_waiting", "has_begun", "raise_cancel")

    def __init__(self, waiting: trio.lowlevel.Task) -> None:
        self._waiting = waiting
        self.has_begun = False
        self.raise_cancel: Callable[[], Any] | None = None

    async def run(self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        self.has_begun = True
        self.end(await self._outcome(fn, args))

    def end(self, result: outcome.Outcome[Any]) -> None:
        trio.lowlevel.reschedule(self._waiting, result)

    async def _outcome(self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> outcome.Outcome[Any]:
        try:
            return outcome.Value(await fn(*args))
        except asyncio.CancelledError as error:
            if self.raise_cancel is not None:
                cancelled: outcome.Outcome[Any] = outcome.capture(self.raise_cancel)
                return cancelled
            own = AsyncioCancelled("asyncio code cancelled itself")
            own.__cause__ = error
            return outcome.Error(own)
        except BaseException as error:
            return outcome.Error(error)
