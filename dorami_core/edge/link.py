"""Rooms over many processes: Redis gives every event its place, keeps the last ones, and tells each process that has
the room."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.resources import files
from typing import Any, Protocol

import attrs
import msgpack
import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.edge.message import Draft, draft
from dorami_core.edge.roomlog import CONTROL, EVERYONE, Heard, Window
from dorami_core.hooks.sockets import Delivery

log = structlog.get_logger()
_WAITING_MAX = 10_000
_KNOWN_MAX = 20_000
_BATCH = 200
_RETRY_S, _RETRY_MAX_S = 0.05, 2.0

Argument = str | bytes | int | float
Script = Callable[[Sequence[Argument], Sequence[Argument]], Awaitable[Any]]


class Subscriber(Protocol):
    """What is used of `store.subscriber.Subscriber`."""

    async def subscribe(self, channel: str) -> None: ...
    async def unsubscribe(self, channel: str) -> None: ...
    async def catch_up(self) -> None: ...
    async def wait_lost(self) -> None: ...


class Redis(Protocol):
    """What is used of `store.redis.RedisStore`."""

    def register_script(self, lua: str) -> Script: ...
    def subscriber(self, on_message: Callable[[str, bytes], None]) -> AbstractAsyncContextManager[Subscriber]: ...


class Hearing(Protocol):
    """What is told (`RoomIndex`)."""

    def hear(self, heard: Heard) -> None: ...
    def hear_alone(self, said: Draft) -> None: ...
    def begin_alone(self) -> None: ...
    async def reopen(self) -> None: ...


@attrs.frozen
class LinkStatistics:
    is_up: bool
    said: int
    heard: int
    waiting: int
    alone: int
    """Events that only this process was told, since Redis could not be reached."""
    losses: int
    """How often the connection was lost."""


class RedisLink:
    """Implements `roomlog.Link`.

    What this process says waits in one bounded queue for the next call of a script that numbers and publishes up to
    200 events at once; it is heard like what others say. Where Redis is gone it is said here alone, and what Redis had
    taken without answering is not said twice.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._order = files("dorami_core.edge").joinpath("lua", "order.lua").read_text("utf-8")
        self._say = self.register_script(_lua("say.lua"))
        self._window = self.register_script(_lua("window.lua"))
        self._hearing: Hearing | None = None
        self._subscriber: Subscriber | None = None
        self._process = secrets.token_hex(4)
        self._serial = 0
        self._waiting: deque[tuple[str, Draft]] = deque()
        self._more = trio.Event()
        self._known: dict[bytes, None] = {}
        """What was told alone although Redis may have taken it."""
        self._early: set[bytes] = set()
        """What was heard, of what Redis has not answered for yet."""
        self._said = self._heard = self._alone = self._losses = 0

    def statistics(self) -> LinkStatistics:
        return LinkStatistics(self.is_up, self._said, self._heard, len(self._waiting), self._alone, self._losses)

    @property
    def is_up(self) -> bool:
        return self._subscriber is not None

    def register_script(self, lua: str) -> Script:
        """A script that may `say(namespace, room, origin, is_volatile, payload, candidate_epoch)`, which answers
        number, seq and epoch, and afterwards has to `trim(namespace)`; and that may ask `seq_of(namespace, room)` and
        `epoch_of(namespace, candidate_epoch)`."""
        return self._redis.register_script(self._order + lua)

    def new_origin(self) -> str:
        """Names an event of this process."""
        self._serial += 1
        return f"{self._process}:{self._serial}"

    def payload(self, event: str, data: Any, delivery: Delivery, *, is_numbered: bool = False) -> bytes:
        """What `say` takes. `is_numbered`: `data` is an object that is to carry its own `seq` and `epoch`."""
        return draft("", "", event, data, delivery, is_numbered=is_numbered).payload

    async def ping(self) -> None:
        """UNAVAILABLE while rooms are this process's own."""
        if not self.is_up:
            raise DoramiError("UNAVAILABLE", service="redis")

    # roomlog.Link

    def say(self, said: Draft) -> bool:
        if not self.is_up or len(self._waiting) >= _WAITING_MAX:
            self._alone += 1
            return False
        self._waiting.append((self.new_origin(), said))
        self._more.set()
        return True

    async def open(self, namespace: str, room: str) -> Window:
        await self._connected().subscribe(_channel(namespace, room))
        answer = await self._window([], [secrets.token_hex(4), namespace, room])
        epoch, number, seq, since, *rest = answer
        epoch = epoch.decode()
        events = [
            self._build(namespace, (its, number, seq, epoch, origin, at, payload))
            for its, number, seq, origin, at, payload in zip(*[iter(rest)] * 6, strict=True)
        ]
        return Window(epoch, number, seq, since, events)

    async def close(self, namespace: str, room: str) -> None:
        await self._connected().unsubscribe(_channel(namespace, room))

    async def catch_up(self) -> None:
        await self._connected().catch_up()

    def _connected(self) -> Subscriber:
        if self._subscriber is None:
            raise DoramiError("UNAVAILABLE", service="redis")
        return self._subscriber

    # the life of the connection

    async def run(self, hearing: Hearing, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connects, and connects again; started once the first attempt has ended, well or not."""
        self._hearing = hearing
        pause, is_first = _RETRY_S, True
        while True:
            is_up = False
            try:
                async with self._redis.subscriber(self._listen) as subscriber, trio.open_nursery() as nursery:
                    self._subscriber = subscriber
                    nursery.start_soon(subscriber.wait_lost)
                    await subscriber.subscribe(_channel(CONTROL, EVERYONE))
                    await hearing.reopen()
                    is_up, pause = True, _RETRY_S
                    if is_first:
                        task_status.started()
                        is_first = False
                    else:
                        log.info("rooms.link_up")
                    await self._publish()
            except* DoramiError:
                if is_up:
                    log.warning("rooms.link_lost")
            except* Exception:
                log.exception("rooms.link_failed")
            finally:
                self._subscriber = None
            self._lose()
            if is_first:
                log.warning("rooms.link_down")
                task_status.started()
                is_first = False
            await trio.sleep(pause)
            pause = min(2 * pause, _RETRY_MAX_S)

    def _lose(self) -> None:
        assert self._hearing is not None
        self._losses += 1
        self._hearing.begin_alone()
        while self._waiting:
            name, said = self._waiting.popleft()
            origin = name.encode()
            if origin not in self._early:
                self._known[origin] = None
                self._alone += 1
                self._hearing.hear_alone(said)
        self._early.clear()
        for old in list(self._known)[:-_KNOWN_MAX]:
            del self._known[old]

    def _listen(self, channel: str, data: bytes) -> None:
        assert self._hearing is not None
        self._heard += 1
        fields = msgpack.unpackb(data, raw=True)
        heard = self._build(channel.split(":")[1], fields)
        if heard.is_own and self._waiting:
            self._early.add(fields[4])
        self._hearing.hear(heard)

    async def _publish(self) -> None:
        """What waits, in order; a call that fails leaves its events waiting, to be told alone."""
        while True:
            if not self._waiting:
                self._more = trio.Event()
                await self._more.wait()
            batch = [self._waiting[i] for i in range(min(_BATCH, len(self._waiting)))]
            arguments: list[Argument] = [secrets.token_hex(4)]
            for origin, said in batch:
                arguments += [said.namespace, said.room, origin, int(said.is_volatile), said.payload]
            await self._say([], arguments)
            self._said += len(batch)
            self._early.clear()
            for _ in batch:
                self._waiting.popleft()

    def _build(self, namespace: str, fields: Sequence[Any]) -> Heard:
        room, number, seq, epoch, origin, at, payload = fields
        epoch = epoch if isinstance(epoch, str) else epoch.decode()
        is_own = origin.startswith(self._process.encode() + b":")
        return Heard(
            namespace, room.decode(), number, seq, epoch, at / 1000, payload, is_own, is_own and origin in self._known
        )


def _channel(namespace: str, room: str) -> str:
    """As in order.lua."""
    return f"rooms:{namespace}" if room == EVERYONE else f"rooms:{namespace}:{room}"


def _lua(name: str) -> str:
    return files("dorami_core.edge").joinpath("lua", name).read_text("utf-8")
