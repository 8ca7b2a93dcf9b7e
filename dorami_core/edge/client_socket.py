"""One client in one namespace: its queue of events, the handlers' answers, its rooms."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import Principal
from dorami_core.base.structure import PlainDict, from_json, to_json
from dorami_core.edge.entry import PAUSE_AFTER_REPLY_S, Entry, is_waiting
from dorami_core.edge.questions import Questions
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

    __slots__ = (
        "_entry",
        "_events",
        "_gone",
        "_handling",
        "_over",
        "_peer",
        "_questions",
        "id",
        "pid",
        "principal",
    )

    def __init__(self, peer: Peer, namespace: str, principal: Principal, *, sid: str, pid: str = "") -> None:
        super().__init__(namespace, principal.viewer_id, peer.wire, peer.outbox)
        self._peer = peer
        self._events: deque[tuple[Any, Sequence[Any], int | None]] | None = None
        self._handling = False
        self._gone = False
        self._over: trio.Event | bool = False
        self._entry: Entry | None = None
        self._questions: Questions | None = None
        self.id = sid
        self.pid = pid
        self.principal = principal

    # what handlers see

    @property
    def address(self) -> str:
        return self._peer.address

    @property
    def rooms(self) -> frozenset[str]:
        return frozenset(self._entry.rooms if is_waiting(self._entry) else self.joined)

    async def join(self, room: str, *, after: RoomPosition | None = None) -> RoomPosition:
        """Without effect once the client has left."""
        if is_waiting(self._entry):
            self._entry.rooms[room] = None
            return _NOWHERE
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
        if is_waiting(self._entry):
            self._entry.rooms.pop(room, None)
        elif not self._gone:
            self._peer.services.rooms.leave(self, room)
            if self.pid:
                self._peer.services.recovery.changed(self)

    def emit(self, event: str, *data: Any) -> None:
        if len(data) == 1:
            self._direct(self.wire.event(self.namespace, event, data[0]))
        else:
            self._direct(self._event(event, data))

    async def ask(self, event: str, *data: Any, timeout_s: float = 10) -> Any:
        if self._gone or is_waiting(self._entry) or not self.wire.has_packets:
            raise ConnectionError("the client is not connected, or its protocol knows no questions")
        if self._questions is None:
            self._questions = Questions()
        with self._questions.ask() as (number, question):
            self._direct(self._event(event, data, number))
            return await question.wait(event, timeout_s)

    # what the connection does

    @property
    def is_full(self) -> bool:
        return self._events is not None and len(self._events) >= MAX_PENDING_EVENTS

    def receive(self, name: Any, arguments: Sequence[Any], ack_id: int | None) -> None:
        """Queues an event; the caller stops reading while `is_full`."""
        if self._events is None:
            self._events = deque()
        self._events.append((name, arguments, ack_id))
        if not self._handling:
            found = self._peer.services.sockets.find(self.namespace, name) if isinstance(name, str) else None
            self._wake(gathers=found is not None and found.gathers)

    def answer(self, packet: Packet) -> None:
        """An acknowledgement; one that nobody waits for is ignored."""
        if self._questions is not None and packet.id is not None:
            self._questions.answer(packet.id, packet.data)

    def disconnect(self, reason: str) -> None:
        """The client has left the namespace. What it sent before is still handled; it hears nothing more."""
        if self._gone:
            return
        self._gone = True
        self._entry = None
        if self._questions is not None:
            self._questions.lose()
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

    # how it is let in

    def wait_for_entry(self) -> None:
        """Connect handlers are about to run: what they do waits for the answer to CONNECT, or is dropped when they turn
        the client away."""
        self._entry = Entry()

    def turn_away(self) -> None:
        """It is not let in, and nobody has heard of it."""
        self._entry, self._gone = None, True

    async def greet(self, reply: dict[str, str]) -> None:
        """Answers CONNECT, and then enters the rooms' index."""
        self._answer_connect(reply)
        await self.enter()
        await self._finish_entry()

    def greet_at_once(self, reply: dict[str, str]) -> None:
        """The same where the namespace is open and no connect handler has asked for anything."""
        self._answer_connect(reply)
        self._peer.services.rooms.enter_at_once(self)
        if self.pid:
            self._peer.services.recovery.changed(self)

    async def enter(self) -> None:
        """From now on it hears what everybody in the namespace hears, and what is said to its person."""
        await self._peer.services.rooms.enter(self)
        if self._gone:
            self._peer.services.rooms.exit(self)
        elif self.pid:
            self._peer.services.recovery.changed(self)

    async def may_come_back(self, names: Sequence[str], offset: str) -> bool:
        """Whether it can be told all that it missed in these rooms, and those who count it let it in again."""
        services = self._peer.services
        if await services.rooms.missed(self, names, offset) is not None:
            try:
                await self.readmit(names)
                return True
            except DoramiError:
                self.disconnect("not_recovered")
        services.recovery.refused += 1
        return False

    async def come_back(self, names: Sequence[str], offset: str, reply: dict[str, str]) -> None:
        """Into its old rooms, told what it missed. Where that has become impossible a moment ago it is sent away, to
        come once more."""
        services = self._peer.services
        missed = await services.rooms.rejoin(self, names, offset)
        if missed is None:
            self._peer.kick("gap")
        elif self._gone:
            services.rooms.exit(self)
        else:
            services.recovery.recovered += 1
            services.recovery.changed(self)
            self._answer_connect(reply)
            if missed:
                services.rooms.tell(self, missed)
            await self._finish_entry()

    async def readmit(self, names: Sequence[str]) -> None:
        """Asks who registered for it whether this client may be in these rooms again; DoramiError."""
        for handler in self._peer.services.sockets.return_handlers(self.namespace):
            for name in names:
                await handler(self, name)

    async def _finish_entry(self) -> None:
        """What connect handlers asked for: rooms at once, events a little after the reply, since many a client begins
        to listen when it hears that and would miss what comes in the same read."""
        entry, self._entry = self._entry, None
        if entry is None:
            return
        for room in entry.rooms:
            await self.join(room)
        if entry.frames:
            await trio.sleep(PAUSE_AFTER_REPLY_S)
            for frame in entry.frames:
                self._direct(frame)

    def _answer_connect(self, reply: dict[str, str]) -> None:
        data = {"sid": self.id, **({"pid": self.pid} if self.pid else {}), **reply}
        self.outbox.send_one(Chunk(self.wire.packet(Packet(PacketType.CONNECT, self.namespace, data))))

    def _wake(self, *, gathers: bool = False) -> None:
        services = self._peer.services
        if not self._handling:
            self._handling = True
            if not (gathers and services.rooms.hold(self, self._work)):
                services.workers.start_soon(self._work)

    async def _work(self) -> None:
        while self._events:
            was_full = self.is_full
            name, arguments, ack_id = self._events.popleft()
            if was_full:
                self._peer.resume()
            await self._handle(name, arguments, ack_id)
            if self._events:
                await trio.lowlevel.checkpoint()  # a flood of quick events must not keep others from their turn
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
        answer: list[Any]
        try:
            found = services.sockets.find(self.namespace, name) if isinstance(name, str) else None
            if found is None:
                services.counters.unknown_events += 1
                raise DoramiError("VALIDATION_FAILED", event=str(name)[:64], problem="unknown event")
            self.principal.require(found.access)
            if found.payload is None:
                answer = _arguments(await found.handler(self, list(arguments)))
            else:
                if len(arguments) > 1:
                    raise DoramiError("VALIDATION_FAILED", event=name, problem="more than one argument")
                payload: Any = from_json(arguments[0] if arguments else {}, found.payload)
                data = await found.handler(self, payload)
                answer = [_success(data)]
        except DoramiError as error:
            answer = [self._peer.refusal(error)]
        except Exception:
            services.counters.failed_events += 1
            log.exception("edge.handler_failed", event_name=str(name)[:64], namespace=self.namespace)
            answer = [self._peer.refusal(DoramiError("INTERNAL_ERROR"))]
        if ack_id is not None:
            try:
                frames = self._ack(ack_id, answer)
            except Exception as error:  # too deeply nested is a RuntimeError, a number too large an ArithmeticError
                services.counters.failed_events += 1
                problem = f"{type(error).__name__}: {error}"[:200]  # its traceback would be a thousand frames long
                log.error("edge.answer_unsendable", event_name=str(name)[:64], problem=problem)
                frames = self._ack(ack_id, [self._peer.refusal(DoramiError("INTERNAL_ERROR"))])
            self._direct(frames)

    def _event(self, event: str, data: tuple[Any, ...], ask_id: int | None = None) -> bytes:
        arguments = [to_json(item) for item in data]
        if not self.wire.has_packets:
            return self.wire.event(self.namespace, event, arguments)
        return self.wire.packet(Packet(PacketType.EVENT, self.namespace, [event, *arguments], ask_id))

    def _ack(self, ack_id: int, answer: list[Any]) -> bytes:
        if len(answer) == 1 or not self.wire.has_packets:
            return self.wire.ack(self.namespace, ack_id, answer[0] if len(answer) == 1 else answer)
        return self.wire.packet(Packet(PacketType.ACK, self.namespace, [to_json(item) for item in answer], ack_id))

    def _direct(self, data: bytes) -> None:
        if self._entry is not None:
            if not self._entry.add(data, self._peer.services.settings.queue_max_bytes):
                self.outbox.cut("queue_full")
        elif not self._gone:
            self._peer.services.rooms.direct(self, Chunk(data))


def _success(data: Any) -> dict[str, Any]:
    if data is None:
        return {"ok": True}
    answer = {"ok": True, "data": data}
    return PlainDict(answer) if type(data) is PlainDict else answer


def _arguments(reply: Any) -> list[Any]:
    if reply is None:
        return []
    if not isinstance(reply, (list, tuple)):
        raise TypeError("a handler of plain arguments answers with a list of them")
    return list(reply)
