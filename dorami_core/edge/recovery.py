"""Sockets that may come back: what they were, for as long as the rooms' logs remember.

Socket.IO's connection state recovery: CONNECT answers a private `pid`; who brings it back, with the offset of the last
event that he got, is put into his rooms again and told what he missed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import msgspec
import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import ViewerId
from dorami_core.edge.roomlog import KEPT_S

if TYPE_CHECKING:
    from dorami_core.edge.client_socket import ClientSocket

log = structlog.get_logger()
GONE_MAX = 20_000
_BATCH = 500
_LIVE_S = 86_400
_PAUSE_S = 0.05
_RETRY_S = 2.0
_PUT = """
-- ARGV: for each socket its pid, what is known of it ('': nothing any more), seconds to live
for at = 1, #ARGV, 3 do
    if ARGV[at + 1] == '' then redis.call('DEL', 'edge:pid:' .. ARGV[at])
    else redis.call('SET', 'edge:pid:' .. ARGV[at], ARGV[at + 1], 'EX', ARGV[at + 2]) end
end
"""


class Redis(Protocol):
    """What is used of `store.redis.RedisStore`."""

    async def execute(self, *command: str | bytes | int | float) -> Any: ...
    def register_script(self, lua: str) -> Callable[[Sequence[Any], Sequence[Any]], Awaitable[Any]]: ...


class Remembered(msgspec.Struct, array_like=True, frozen=True):
    """One client in one namespace. `reason`: why it went, where it has gone."""

    sid: str
    namespace: str
    viewer: str
    rooms: list[str]
    reason: str | None = None


@attrs.frozen
class RecoveryStatistics:
    live: int
    gone: int
    recovered: int
    refused: int
    """Came back and could not be told what they had missed."""


class Recovery:
    """In this process by memory, and in Redis for the others and for after a restart; there it is written in batches,
    and what is written there last may be lost with a killed process: then its clients begin anew."""

    def __init__(self, redis: Redis | None = None) -> None:
        self._redis = redis
        self._put = redis.register_script(_PUT) if redis is not None else None
        self._live: dict[str, ClientSocket] = {}
        self._gone: OrderedDict[str, tuple[float, Remembered]] = OrderedDict()
        self._leaving: dict[str, ClientSocket] = {}
        self._reasons: OrderedDict[str, str] = OrderedDict()
        self._dirty: dict[str, ClientSocket | Remembered | None] = {}
        self._more = trio.Event()
        self.recovered = 0
        self.refused = 0

    def statistics(self) -> RecoveryStatistics:
        return RecoveryStatistics(len(self._live), len(self._gone), self.recovered, self.refused)

    def changed(self, client: ClientSocket) -> None:
        """It is there, or its rooms are others."""
        self._live[client.pid] = client
        self._gone.pop(client.pid, None)
        self._mark(client.pid, client)

    def leave(self, client: ClientSocket, reason: str) -> None:
        """Its connection is gone; it may come back."""
        if self._live.get(client.pid) is not client:
            return  # its successor has taken over
        del self._live[client.pid]
        state = _describe(client, reason)
        self._gone[client.pid] = (trio.current_time(), state)
        self._leaving[client.pid] = client
        while len(self._gone) > GONE_MAX:
            self._gone.popitem(last=False)
        self._mark(client.pid, state)

    def over(self, client: ClientSocket) -> None:
        """All that it left behind is handled."""
        if self._leaving.get(client.pid) is client:
            del self._leaving[client.pid]

    def forget(self, client: ClientSocket) -> None:
        """It said goodbye, or must not come back."""
        if self._live.pop(client.pid, None) is not None or self._gone.pop(client.pid, None) is not None:
            self._mark(client.pid, None)

    async def find(self, pid: str, namespace: str) -> Remembered | None:
        """The state under this pid; a socket of this process that still has it is cut off."""
        live = self._live.get(pid)
        if live is not None and live.namespace == namespace:
            before = _describe(live, None)
            live.kick("replaced")
            await live.wait_over()
            return before
        if pid in self._gone:
            at, left = self._gone[pid]
            if pid in self._leaving:
                await self._leaving[pid].wait_over()
            return left if trio.current_time() - at <= KEPT_S and left.namespace == namespace else None
        if self._redis is None:
            return None
        try:
            data = await self._redis.execute("GET", f"edge:pid:{pid}")
            state = msgspec.msgpack.decode(data, type=Remembered) if data else None
        except (DoramiError, msgspec.DecodeError):
            return None
        return state if state is not None and state.namespace == namespace else None

    def note(self, sid: str, reason: str) -> None:
        """Why a session without a pid ended."""
        self._reasons[sid] = reason
        if len(self._reasons) > GONE_MAX:
            self._reasons.popitem(last=False)

    def reason(self, sid: str) -> str | None:
        return self._reasons.get(sid)

    def _mark(self, pid: str, state: ClientSocket | Remembered | None) -> None:
        if self._redis is not None:
            self._dirty[pid] = state
            self._more.set()

    async def run(self) -> None:
        """Writes what has changed, and gives up who has been gone for too long."""
        while True:
            await self._more.wait()
            self._more = trio.Event()
            # what changes meanwhile waits for the next turn: a crowd would have it written one by one
            for _ in range(0, len(self._dirty), _BATCH):
                if not await self._write():
                    self._dirty.clear()  # Redis is gone; who comes back to another process begins anew
                    await trio.sleep(_RETRY_S)
                    break
            now = trio.current_time()
            while self._gone and now - next(iter(self._gone.values()))[0] > KEPT_S:
                self._gone.popitem(last=False)
            await trio.sleep(_PAUSE_S)

    async def _write(self) -> bool:
        arguments: list[str | bytes | int] = []
        for pid in list(self._dirty)[:_BATCH]:
            state = self._dirty.pop(pid)
            if state is not None and not isinstance(state, Remembered):
                arguments += [pid, msgspec.msgpack.encode(_describe(state, None)), _LIVE_S]
            else:
                arguments += [pid, b"" if state is None else msgspec.msgpack.encode(state), int(KEPT_S)]
        assert self._put is not None
        try:
            await self._put([], arguments)
        except DoramiError:
            return False
        return True


def _describe(client: ClientSocket, reason: str | None) -> Remembered:
    return Remembered(client.id, client.namespace, client.viewer, list(client.joined), reason)


def viewer_of(state: Remembered) -> ViewerId:
    return ViewerId(state.viewer)
