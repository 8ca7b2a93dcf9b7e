"""One client in one namespace: its queue of events, the handlers' answers, its rooms."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import Principal
from dorami_core.base.structure import from_json
from dorami_core.edge.outbox import Outbox
from dorami_core.edge.rooms import Member
from dorami_core.edge.socketio import Packet, PacketType
from dorami_core.edge.wire import Chunk, WireFormat

if TYPE_CHECKING:
    from dorami_core.edge.session import Session

log = structlog.get_logger()
MAX_PENDING_EVENTS = 64


class ClientSocket(Member):
    """The edge's `hooks.SocketConnection`.

    Events are handled one at a time, in order, by a task that lives while there are any; the last thing it does is to
    run the namespace's disconnect handlers, once.
    """

    __slots__ = ("_events", "_gone", "_handling", "_session", "id", "principal")

    def __init__(
        self, session: Session, sid: str, namespace: str, principal: Principal, wire: WireFormat, outbox: Outbox
    ) -> None:
        super().__init__(namespace, principal.viewer_id, wire, outbox)
        self._session = session
        self._events: deque[Packet] | None = None
        self._handling = False
        self._gone = False
        self.id = sid
        self.principal = principal

    # what handlers see

    @property
    def address(self) -> str:
        return self._session.address

    @property
    def rooms(self) -> frozenset[str]:
        return frozenset(self.joined)

    async def join(self, room: str) -> None:
        """Without effect once the client has left."""
        if not self._gone:
            self._session.services.rooms.join(self, room)

    def leave(self, room: str) -> None:
        if not self._gone:
            self._session.services.rooms.leave(self, room)

    def emit(self, event: str, data: Any) -> None:
        self._direct(self.wire.event(self.namespace, event, data))

    # what the connection does

    @property
    def is_full(self) -> bool:
        return self._events is not None and len(self._events) >= MAX_PENDING_EVENTS

    def receive(self, packet: Packet) -> None:
        """Queues an event; the caller stops reading while `is_full`."""
        if self._events is None:
            self._events = deque()
        self._events.append(packet)
        self._wake()

    def disconnect(self) -> None:
        """The client has left the namespace. What it sent before is still handled; it hears nothing more."""
        if not self._gone:
            self._gone = True
            self._session.services.rooms.exit(self)
            if self._events or self._session.services.sockets.disconnect_handlers(self.namespace):
                self._wake()

    def _wake(self) -> None:
        if not self._handling:
            self._handling = True
            self._session.services.workers.start_soon(self._work)

    async def _work(self) -> None:
        while self._events:
            was_full = self.is_full
            packet = self._events.popleft()
            if was_full:
                self._session.resume()
            await self._handle(packet)
        self._events = None
        self._handling = False
        if self._gone:
            self._handling = True  # nothing starts again
            await self._farewell()

    async def _farewell(self) -> None:
        for handler in self._session.services.sockets.disconnect_handlers(self.namespace):
            try:
                await handler(self)
            except Exception:
                self._session.services.counters.failed_events += 1
                log.exception("edge.disconnect_handler_failed", namespace=self.namespace)

    async def _handle(self, packet: Packet) -> None:
        name, *arguments = packet.data
        services = self._session.services
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
            answer = self._session.refusal(error)
        except Exception:
            services.counters.failed_events += 1
            log.exception("edge.handler_failed", event_name=str(name)[:64], namespace=self.namespace)
            answer = self._session.refusal(DoramiError("INTERNAL_ERROR"))
        if packet.id is not None:
            try:
                data = self.wire.ack(self.namespace, packet.id, answer)
            except (TypeError, ValueError):
                services.counters.failed_events += 1
                log.exception("edge.answer_unsendable", event_name=str(name)[:64], namespace=self.namespace)
                data = self.wire.ack(self.namespace, packet.id, self._session.refusal(DoramiError("INTERNAL_ERROR")))
            self._direct(data)
        await trio.lowlevel.checkpoint()

    def _direct(self, data: bytes) -> None:
        if not self._gone:
            self._session.services.rooms.direct(self, Chunk(data))

    def greet(self, reply: dict[str, str]) -> None:
        """Answers CONNECT, and only then enters the rooms' index."""
        self.outbox.send_one(Chunk(self.wire.packet(Packet(PacketType.CONNECT, self.namespace, reply))))
        self._session.services.rooms.enter(self)
