"""Trio as a guest of uvloop in one thread, and the one crossing from Trio to asyncio libraries.

No other module knows that there is an asyncio loop: asyncpg and redis are reached by `to_asyncio` alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Any, TypeVar

import outcome
import trio
import uvloop

T = TypeVar("T")


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
    closed, and the loop is closed. SIGINT raises KeyboardInterrupt in the main task unless `main` opens
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


def _run_host(
    loop: asyncio.AbstractEventLoop,
    main: Callable[[], Awaitable[T]],
    clock: trio.abc.Clock | None,
    instruments: Sequence[trio.abc.Instrument],
) -> outcome.Outcome[T]:
    async def host() -> outcome.Outcome[T]:
        done: asyncio.Future[outcome.Outcome[T]] = loop.create_future()
        trio.lowlevel.start_guest_run(
            main,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            run_sync_soon_not_threadsafe=loop.call_soon,
            done_callback=done.set_result,
            host_uses_signal_set_wakeup_fd=True,
            clock=clock,
            instruments=instruments,
        )
        return await done

    return loop.run_until_complete(host())


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
    waiting = trio.lowlevel.current_task()
    raise_cancel: Callable[[], Any] | None = None
    task = loop.create_task(_call(fn, args), context=copy_context())

    def finished(done: asyncio.Task[T]) -> None:
        trio.lowlevel.reschedule(waiting, _outcome(done, raise_cancel))

    def abort(raise_cancel_here: Callable[[], Any]) -> trio.lowlevel.Abort:
        nonlocal raise_cancel
        raise_cancel = raise_cancel_here
        task.cancel()  # noqa: F821 - it is deleted only after the wait
        return trio.lowlevel.Abort.FAILED

    task.add_done_callback(finished)
    try:
        result: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return result
    finally:
        # A task keeps its exception, and the exception's traceback this frame.
        del task


async def _call(fn: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
    return await fn(*args)


def _outcome(done: asyncio.Task[T], raise_cancel: Callable[[], Any] | None) -> outcome.Outcome[T]:
    try:
        return outcome.Value(done.result())
    except asyncio.CancelledError as error:
        if raise_cancel is not None:
            cancelled: outcome.Outcome[T] = outcome.capture(raise_cancel)
            return cancelled
        own = AsyncioCancelled("asyncio code cancelled itself")
        own.__cause__ = error
        return outcome.Error(own)
    except BaseException as error:
        return outcome.Error(error)
