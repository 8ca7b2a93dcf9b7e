"""One connection to Redis. Calls do not wait for each other's answers, and no asyncio task stands behind a call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis
import outcome
import redis.exceptions
import trio
from redis.asyncio import Connection

WAITING_MAX = 10_000
"""Calls that may wait for their answers; more are refused."""
ANSWER_S = 5.0

Argument = str | bytes | int | float
OnMessage = Callable[[bytes, bytes], None]

_ERRORS: dict[str, type[redis.exceptions.RedisError]] = {
    "LOADING": redis.exceptions.BusyLoadingError,
    "NOAUTH": redis.exceptions.AuthenticationError,
    "NOSCRIPT": redis.exceptions.NoScriptError,
    "READONLY": redis.exceptions.ReadOnlyError,
}


class _Call:
    """Whoever waits for one answer; nobody once it was cancelled, and then the answer is dropped."""

    __slots__ = ("since", "task")

    def __init__(self, task: trio.lowlevel.Task, since: float) -> None:
        self.task: trio.lowlevel.Task | None = task
        self.since = since


class RedisWire(asyncio.Protocol):
    """RESP2 over a transport that redis-py has opened (address, TLS, password, database are its part).

    Answers come in the order of the calls (Redis, "Pipelining"). A connection on which one answer has been waited for
    `ANSWER_S` is closed, and all its calls fail. With `on_message` it may subscribe; messages are handed out in the
    loop, in the order of publishing, before answers that came after them.
    """

    def __init__(self, writer: asyncio.StreamWriter, on_message: OnMessage | None = None) -> None:
        self._writer = writer  # which would close its transport with itself
        self._transport = cast("asyncio.Transport", writer.transport)
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._reader = hiredis.Reader(replyError=_refusal)
        self._calls: deque[_Call] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._lost: BaseException | None = None
        self._is_over = trio.Event()
        self._transport.set_protocol(self)

    @property
    def is_lost(self) -> bool:
        return self._lost is not None

    @property
    def waiting(self) -> int:
        return len(self._calls)

    async def call(self, *command: Argument) -> Any:
        """The answer of one command, strings as bytes. ConnectionError or TimeoutError where there is none, and then
        it may have been run; `redis.exceptions.ResponseError` where Redis refuses it. Not for commands that block."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._lost is not None:
            raise self._error()
        if len(self._calls) >= WAITING_MAX:
            raise ConnectionError("too many calls are waiting")
        call = _Call(trio.lowlevel.current_task(), self._loop.time())
        self._transport.write(hiredis.pack_command(cast("Any", command)))
        self._calls.append(call)
        if self._watch is None:
            self._watch = self._loop.call_later(ANSWER_S, self._look)

        def abort(_: Callable[[], Any]) -> trio.lowlevel.Abort:
            call.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(abort)

    async def wait_lost(self) -> None:
        """Until the connection is lost; raises why."""
        await self._is_over.wait()
        assert self._lost is not None
        raise self._lost

    def _error(self) -> ConnectionError:
        """Each task gets one of its own, which will carry its traceback."""
        error = ConnectionError(str(self._lost))
        error.__cause__ = self._lost
        return error

    def close(self, reason: BaseException | None = None) -> None:
        """At once; waiting calls fail with `reason`."""
        if self._lost is not None:
            return
        self._lost = reason or ConnectionError("the connection is closed")
        self._is_over.set()
        if self._watch is not None:
            self._watch.cancel()
        self._transport.abort()
        calls, self._calls = self._calls, deque()
        for call in calls:
            if call.task is not None:
                trio.lowlevel.reschedule(call.task, outcome.Error(self._error()))

    def _look(self) -> None:
        """How long has the first call waited?"""
        self._watch = None
        if not self._calls:
            return
        due = self._calls[0].since + ANSWER_S
        if due <= self._loop.time():
            self.close(TimeoutError(f"no answer within {ANSWER_S:g} s"))
        else:
            self._watch = self._loop.call_at(due, self._look)

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        reader, on_message = self._reader, self._on_message
        try:
            reader.feed(data)
            while (answer := reader.gets()) is not False:
                if on_message is not None and isinstance(answer, list) and answer[0] == b"message":
                    on_message(answer[1], answer[2])
                    continue
                task = self._calls.popleft().task
                if task is not None:
                    is_error = isinstance(answer, redis.exceptions.RedisError)
                    trio.lowlevel.reschedule(task, outcome.Error(answer) if is_error else outcome.Value(answer))
        except Exception as error:
            self.close(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(ConnectionError("the connection is lost"))


def _refusal(text: str) -> redis.exceptions.RedisError:
    return _ERRORS.get(text.partition(" ")[0], redis.exceptions.ResponseError)(text)


async def open_wire(connection: Connection, on_message: OnMessage | None = None) -> RedisWire:
    """On the asyncio side; `redis.exceptions.ConnectionError`, TimeoutError, OSError."""
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    opened: Any = connection
    writer, opened._writer, opened._reader = opened._writer, None, None
    return RedisWire(writer, on_message)
