"""One client in one namespace: its queue of events, the handlers' answers, its rooms."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeGuard

import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import Principal
from dorami_core.base.structure import from_json, to_json
from dorami_core.edge.outbox import Outbox
from dorami_core.edge.rooms import Member
from dorami_core.edge.socketio import Packet, PacketType
from dorami_core.edge.wire import Chunk, WireFormat

if TYPE_CHECKING:
    from dorami_core.edge.session import Session

log = structlog.get_logger()
MAX_PENDING_EVENTS = 64
MAX_QUESTIONS = 64
PAUSE_AFTER_REPLY_S = 0.002


class _Entry:
    """What was done for a client that is not let in yet: it follows the answer to CONNECT."""

    __slots__ = ("frames", "is_greeted", "rooms", "size")

    def __init__(self) -> None:
        self.is_greeted = False
        self.rooms: dict[str, None] = {}
        self.frames: list[bytes] = []
        self.size = 0


class _Question:
    """An event that waits for its acknowledgement."""

    __slots__ = ("answer", "is_lost", "is_over")

    def __init__(self) -> None:
        self.is_over = trio.Event()
        self.is_lost = False
        self.answer: Any = None


class ClientSocket(Member):
    """The edge's `hooks.SocketConnection`.

    Events are handled one at a time, in order, by a task that lives while there are any; the last thing it does is to
    run the namespace's disconnect handlers, once.
    """

    __slots__ = ("_asked", "_entry", "_events", "_gone", "_handling", "_questions", "_session", "id", "principal")

    def __init__(
        self, session: Session, sid: str, namespace: str, principal: Principal, wire: WireFormat, outbox: Outbox
    ) -> None:
        super().__init__(namespace, principal.viewer_id, wire, outbox)
        self._session = session
        self._events: deque[Packet] | None = None
        self._handling = False
        self._gone = False
        self._entry: _Entry | None = None
        self._questions: dict[int, _Question] | None = None
        self._asked = 0
        self.id = sid
        self.principal = principal

    # what handlers see

    @property
    def address(self) -> str:
        return self._session.address

    @property
    def rooms(self) -> frozenset[str]:
        return frozenset(self._entry.rooms if self._is_waiting(self._entry) else self.joined)

    async def join(self, room: str) -> None:
        """Without effect once the client has left."""
        if self._is_waiting(self._entry):
            self._entry.rooms[room] = None
        elif not self._gone:
            self._session.services.rooms.join(self, room)

    def leave(self, room: str) -> None:
        if self._is_waiting(self._entry):
            self._entry.rooms.pop(room, None)
        elif not self._gone:
            self._session.services.rooms.leave(self, room)

    def emit(self, event: str, *data: Any) -> None:
        if len(data) == 1:
            self._direct(self.wire.event(self.namespace, event, data[0]))
        else:
            self._direct(self._event(event, data))

    async def ask(self, event: str, *data: Any, timeout_s: float = 10) -> Any:
        if self._gone or self._is_waiting(self._entry):
            raise ConnectionError("the client is not connected")
        if self._questions is None:
            self._questions = {}
        if len(self._questions) >= MAX_QUESTIONS:
            raise DoramiError("UNAVAILABLE", problem="too many questions to one client")
        number, question = self._asked, _Question()
        frames = self._event(event, data, number)
        self._asked += 1
        self._questions[number] = question
        try:
            self._direct(frames)
            with trio.move_on_after(timeout_s):
                await question.is_over.wait()
        finally:
            del self._questions[number]
        if question.is_lost:
            raise ConnectionError("the client has left")
        if not question.is_over.is_set():
            raise TimeoutError(f"no answer to {event} within {timeout_s} s")
        return question.answer

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

    def answer(self, packet: Packet) -> None:
        """An acknowledgement; one that nobody waits for is ignored."""
        question = self._questions.get(packet.id) if self._questions and packet.id is not None else None
        if question is not None:
            question.answer = packet.data[0] if packet.data else None
            question.is_over.set()

    def disconnect(self) -> None:
        """The client has left the namespace. What it sent before is still handled; it hears nothing more."""
        if not self._gone:
            self._gone = True
            for question in (self._questions or {}).values():
                question.is_lost = True
                question.is_over.set()
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
        answer: list[Any]
        try:
            found = services.sockets.find(self.namespace, name) if isinstance(name, str) else None
            if found is None:
                services.counters.unknown_events += 1
                raise DoramiError("VALIDATION_FAILED", event=str(name)[:64], problem="unknown event")
            self.principal.require(found.access)
            if found.payload is None:
                answer = _arguments(await found.handler(self, arguments))
            else:
                if len(arguments) > 1:
                    raise DoramiError("VALIDATION_FAILED", event=name, problem="more than one argument")
                payload: Any = from_json(arguments[0] if arguments else {}, found.payload)
                data = await found.handler(self, payload)
                answer = [{"ok": True} if data is None else {"ok": True, "data": data}]
        except DoramiError as error:
            answer = [self._session.refusal(error)]
        except Exception:
            services.counters.failed_events += 1
            log.exception("edge.handler_failed", event_name=str(name)[:64], namespace=self.namespace)
            answer = [self._session.refusal(DoramiError("INTERNAL_ERROR"))]
        if packet.id is not None:
            try:
                frames = self._ack(packet.id, answer)
            except Exception as error:  # too deeply nested is a RuntimeError, a number too large an ArithmeticError
                services.counters.failed_events += 1
                problem = f"{type(error).__name__}: {error}"[:200]  # its traceback would be a thousand frames long
                log.error("edge.answer_unsendable", event_name=str(name)[:64], problem=problem)
                frames = self._ack(packet.id, [self._session.refusal(DoramiError("INTERNAL_ERROR"))])
            self._direct(frames)
        await trio.lowlevel.checkpoint()

    def _event(self, event: str, data: tuple[Any, ...], ask_id: int | None = None) -> bytes:
        arguments = [to_json(item) for item in data]
        return self.wire.packet(Packet(PacketType.EVENT, self.namespace, [event, *arguments], ask_id))

    def _ack(self, ack_id: int, answer: list[Any]) -> bytes:
        if len(answer) == 1:
            return self.wire.ack(self.namespace, ack_id, answer[0])
        return self.wire.packet(Packet(PacketType.ACK, self.namespace, [to_json(item) for item in answer], ack_id))

    def _direct(self, data: bytes) -> None:
        if self._entry is not None:
            self._entry.frames.append(data)
            self._entry.size += len(data)
            if self._entry.size > self._session.services.settings.queue_max_bytes:
                self.outbox.cut("queue_full")
        elif not self._gone:
            self._session.services.rooms.direct(self, Chunk(data))

    # how it is let in

    @staticmethod
    def _is_waiting(entry: _Entry | None) -> TypeGuard[_Entry]:
        return entry is not None and not entry.is_greeted

    def wait_for_entry(self) -> None:
        """Connect handlers are about to run: what they do waits for `greet`, or is dropped by `turn_away`."""
        self._entry = _Entry()

    def turn_away(self) -> None:
        self._entry, self._gone = None, True

    def greet(self, reply: dict[str, str]) -> None:
        """Answers CONNECT, and only then enters the rooms' index."""
        rooms, entry = self._session.services.rooms, self._entry
        self.outbox.send_one(Chunk(self.wire.packet(Packet(PacketType.CONNECT, self.namespace, reply))))
        rooms.enter(self)
        if entry is not None:
            entry.is_greeted = True
            for room in entry.rooms:
                rooms.join(self, room)

    async def say_what_waited(self) -> None:
        """What connect handlers emitted, a little after the reply: many a client begins to listen when it hears that,
        and would miss what comes in the same read."""
        if self._entry is not None:
            if self._entry.frames:
                await trio.sleep(PAUSE_AFTER_REPLY_S)
            entry, self._entry = self._entry, None
            for frame in entry.frames:
                self._direct(frame)


def _arguments(reply: Any) -> list[Any]:
    if reply is None:
        return []
    if not isinstance(reply, (list, tuple)):
        raise TypeError("a handler of plain arguments answers with a list of them")
    return list(reply)
