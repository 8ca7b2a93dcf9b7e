"""One client in one namespace: its queue of events, the handlers' answers, its rooms."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import Principal
from dorami_core.base.structure import from_json
from dorami_core.edge.room import Member
from dorami_core.edge.socketio import Packet, PacketType
from dorami_core.edge.wire import Chunk
from dorami_core.hooks.sockets import RoomPosition

if TYPE_CHECKING:
    from dorami_core.edge.peer import Peer

log = structlog.get_logger()
MAX_PENDING_EVENTS = 64
_NOWHERE = RoomPosition("", 0)
_LEFT_FOR_GOOD = frozenset({"client_disconnect", "banned"})
"""Ends after which nobody is let back into his rooms."""


class ClientSocket(Member):
    """The edge's `hooks.SocketConnection`.

    Events are handled one at a time, in order, by a task that lives while there are any; the last thing it does is to
    run the namespace's disconnect handlers, once. `pid` is what its client may come back with, "" where it cannot.
    """

    __slots__ = ("_events", "_gone", "_handling", "_over", "_peer", "id", "pid", "principal")

    def __init__(self, peer: Peer, namespace: str, principal: Principal, *, sid: str, pid: str = "") -> None:
        super().__init__(namespace, principal.viewer_id, peer.wire, peer.outbox)
        self._peer = peer
        self._events: deque[tuple[Any, Sequence[Any], int | None]] | None = None
        self._handling = False
        self._gone = False
        self._over: trio.Event | bool = False
        self.id = sid
        self.pid = pid
        self.principal = principal

    # what handlers see

    @property
    def address(self) -> str:
        return self._peer.address

    @property
    def rooms(self) -> frozenset[str]:
        return frozenset(self.joined)

    async def join(self, room: str, *, after: RoomPosition | None = None) -> RoomPosition:
        """Without effect once the client has left."""
        if self._gone:
            return _NOWHERE
        services = self._peer.services
        position = await services.rooms.join(self, room, after)
        if self._gone:  # left while the room was being opened
            services.rooms.exit(self)
        elif self.pid:
            services.recovery.changed(self)
        return position

    def leave(self, room: str) -> None:
        if not self._gone:
            self._peer.services.rooms.leave(self, room)
            if self.pid:
                self._peer.services.recovery.changed(self)

    def emit(self, event: str, data: Any) -> None:
        self._direct(self.wire.event(self.namespace, event, data))

    # what the connection does

    @property
    def is_full(self) -> bool:
        return self._events is not None and len(self._events) >= MAX_PENDING_EVENTS

    def receive(self, name: Any, arguments: Sequence[Any], ack_id: int | None) -> None:
        """Queues an event; the caller stops reading while `is_full`."""
        if self._events is None:
            self._events = deque()
        self._events.append((name, arguments, ack_id))
        self._wake()

    def disconnect(self, reason: str) -> None:
        """The client has left the namespace. What it sent before is still handled; it hears nothing more."""
        if self._gone:
            return
        self._gone = True
        services = self._peer.services
        if self.pid:
            if reason in _LEFT_FOR_GOOD:
                services.recovery.forget(self)
            else:
                services.recovery.leave(self, reason)
        services.rooms.exit(self)
        if self._events or services.sockets.disconnect_handlers(self.namespace):
            self._wake()
        else:
            self._end()

    def _end(self) -> None:
        over, self._over = self._over, True
        if isinstance(over, trio.Event):
            over.set()
        self._peer.services.recovery.over(self)

    async def wait_over(self) -> None:
        """Until all that a client left behind is handled: whoever takes its place must not be undone by it."""
        if self._over is True:
            return
        if self._over is False:
            self._over = trio.Event()
        await self._over.wait()

    def kick(self, reason: str) -> None:
        self._peer.kick(reason)

    async def greet(self, reply: dict[str, str]) -> None:
        """Answers CONNECT, and then enters the rooms' index."""
        self._answer_connect(reply)
        await self.enter()

    async def enter(self) -> None:
        """From now on it hears what everybody in the namespace hears, and what is said to its person."""
        await self._peer.services.rooms.enter(self)
        if self._gone:
            self._peer.services.rooms.exit(self)
        elif self.pid:
            self._peer.services.recovery.changed(self)

    async def come_back(self, names: Sequence[str], offset: str, reply: dict[str, str]) -> bool:
        """Into its old rooms, told what it missed; False where that cannot be, and then it is in none."""
        services = self._peer.services
        try:
            if await services.rooms.missed(self, names, offset) is None:
                raise DoramiError("CONFLICT")
            await self.readmit(names)
            missed = await services.rooms.rejoin(self, names, offset)
            if missed is None:
                raise DoramiError("CONFLICT")
        except DoramiError:
            services.recovery.refused += 1
            self.disconnect("not_recovered")
            return False
        if self._gone:
            services.rooms.exit(self)
            return True
        services.recovery.recovered += 1
        services.recovery.changed(self)
        self._answer_connect(reply)
        if missed:
            services.rooms.tell(self, missed)
        return True

    async def readmit(self, names: Sequence[str]) -> None:
        """Asks who registered for it whether this client may be in these rooms again; DoramiError."""
        for handler in self._peer.services.sockets.return_handlers(self.namespace):
            for name in names:
                await handler(self, name)

    def _answer_connect(self, reply: dict[str, str]) -> None:
        data = {"sid": self.id, "pid": self.pid, **reply}
        self.outbox.send_one(Chunk(self.wire.packet(Packet(PacketType.CONNECT, self.namespace, data))))

    def _wake(self) -> None:
        if not self._handling:
            self._handling = True
            self._peer.services.workers.start_soon(self._work)

    async def _work(self) -> None:
        while self._events:
            was_full = self.is_full
            name, arguments, ack_id = self._events.popleft()
            if was_full:
                self._peer.resume()
            await self._handle(name, arguments, ack_id)
        self._events = None
        self._handling = False
        if self._gone:
            self._handling = True  # nothing starts again
            await self._farewell()
            self._end()

    async def _farewell(self) -> None:
        for handler in self._peer.services.sockets.disconnect_handlers(self.namespace):
            try:
                await handler(self)
            except Exception:
                self._peer.services.counters.failed_events += 1
                log.exception("edge.disconnect_handler_failed", namespace=self.namespace)

    async def _handle(self, name: Any, arguments: Sequence[Any], ack_id: int | None) -> None:
        services = self._peer.services
        services.counters.events += 1
        answer: dict[str, Any]
        try:
            found = services.sockets.find(self.namespace, name) if isinstance(name, str) else None
            if found is None:
                services.counters.unknown_events += 1
                raise DoramiError("VALIDATION_FAILED", event=str(name)[:64], problem="unknown event")
            self.principal.require(found.access)
            if len(arguments) > 1:
                raise DoramiError("VALIDATION_FAILED", event=name, problem="more than one argument")
            payload: Any = from_json(arguments[0] if arguments else {}, found.payload)
            data = await found.handler(self, payload)
            answer = {"ok": True} if data is None else {"ok": True, "data": data}
        except DoramiError as error:
            answer = self._peer.refusal(error)
        except Exception:
            services.counters.failed_events += 1
            log.exception("edge.handler_failed", event_name=str(name)[:64], namespace=self.namespace)
            answer = self._peer.refusal(DoramiError("INTERNAL_ERROR"))
        if ack_id is not None:
            try:
                data = self.wire.ack(self.namespace, ack_id, answer)
            except (TypeError, ValueError):
                services.counters.failed_events += 1
                log.exception("edge.answer_unsendable", event_name=str(name)[:64], namespace=self.namespace)
                data = self.wire.ack(self.namespace, ack_id, self._peer.refusal(DoramiError("INTERNAL_ERROR")))
            self._direct(data)
        await trio.lowlevel.checkpoint()

    def _direct(self, data: bytes) -> None:
        if not self._gone:
            self._peer.services.rooms.direct(self, Chunk(data))
