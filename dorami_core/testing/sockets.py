"""Rooms and connections that write down what was said, and a registry through which a test sends events."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from itertools import count
from typing import Any

import attrs
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import GuestId, UserId, ViewerId, new_uuid
from dorami_core.base.principal import Access, Principal, Role, UserIdentity
from dorami_core.base.structure import from_json
from dorami_core.edge.message import Draft, Message
from dorami_core.edge.roomlog import Heard
from dorami_core.hooks.sockets import (
    ConnectHandler,
    Delivery,
    DisconnectHandler,
    EventHandler,
    ReturnHandler,
    RoomPosition,
)


def user_principal(name: str = "익명", role: Role = "USER") -> Principal:
    """A signed-in user that no other test has."""
    return Principal(user=UserIdentity(UserId(new_uuid()), role, name))


def guest_principal(name: str = "guest") -> Principal:
    return Principal(guest_id=GuestId(name))


@attrs.frozen
class Said:
    """One event; `room` is None for everybody's, a viewer's id for a person's."""

    namespace: str
    room: str | None
    event: str
    data: Any
    delivery: Delivery = Delivery.REQUIRED


class RecordedRooms:
    """`hooks.Rooms` that keeps what is said, and hands a room's events to the connections that joined it."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.cut: list[tuple[ViewerId, str]] = []
        self.numbered: list[tuple[str, str, RoomPosition]] = []
        self._events: list[tuple[str, Any]] = []
        self._members: dict[tuple[str, str], list[RecordedConnection]] = defaultdict(list)

    def emit(self, namespace: str, room: str, event: str, data: Any, *, delivery: Delivery = Delivery.REQUIRED) -> None:
        self.said.append(Said(namespace, room, event, data, delivery))
        for member in self._members[namespace, room]:
            member.heard.append((event, data))

    # what a link to other processes tells, where the test has one (`edge.link.RedisLink.run`)

    def hear(self, heard: Heard) -> None:
        message = heard.message()
        self.said.append(Said(heard.namespace, heard.room, message.event, message.data, message.delivery))
        self.numbered.append((heard.namespace, heard.room, RoomPosition(heard.epoch, heard.seq)))
        self._events.append((message.event, message.data))
        for member in self._members[heard.namespace, heard.room]:
            after = member.joined_after.get(heard.room)
            if after is None or (after.epoch, heard.seq) != (heard.epoch, min(after.seq, heard.seq)):
                member.heard.append((message.event, message.data))

    def hear_alone(self, said: Draft) -> None:
        message = Message(said.namespace, said.room, said.payload, None, 0, 0.0)
        self.emit(said.namespace, said.room, message.event, message.data, delivery=message.delivery)

    def begin_alone(self) -> None:
        return

    async def reopen(self) -> None:
        return

    def after(self, namespace: str, room: str, position: RoomPosition) -> list[tuple[str, Any]]:
        """What the link has told of this room after a place."""
        return [
            event
            for (its, name, at), event in zip(self.numbered, self._events, strict=True)
            if (its, name, at.epoch) == (namespace, room, position.epoch) and at.seq > position.seq
        ]

    def emit_to_viewer(self, namespace: str, viewer: ViewerId, event: str, data: Any) -> None:
        self.said.append(Said(namespace, viewer, event, data))

    def emit_to_all(self, namespace: str, event: str, data: Any) -> None:
        self.said.append(Said(namespace, None, event, data))

    def cut_viewer(self, viewer: ViewerId, reason: str) -> None:
        self.cut.append((viewer, reason))

    def of(self, event: str) -> list[Any]:
        """The data of every event of this name, in order."""
        return [said.data for said in self.said if said.event == event]

    def enter(self, member: RecordedConnection, room: str) -> None:
        self._members[member.namespace, room].append(member)

    def exit(self, member: RecordedConnection, room: str) -> None:
        self._members[member.namespace, room].remove(member)


class RecordedConnection:
    """`hooks.SocketConnection`; `heard` is what its client got, in order, `answers` what it will acknowledge to `ask`.

    An event with several arguments is heard with the list of them.
    """

    _numbers = count(1)

    def __init__(self, rooms: RecordedRooms, namespace: str, principal: Principal) -> None:
        self.id = f"connection-{next(self._numbers)}"
        self.namespace = namespace
        self.principal = principal
        self.address = "127.0.0.1"
        self.heard: list[tuple[str, Any]] = []
        self.answers: deque[Any] = deque()
        self._rooms = rooms
        self.joined_after: dict[str, RoomPosition] = {}
        self._joined: set[str] = set()

    @property
    def rooms(self) -> frozenset[str]:
        return frozenset(self._joined)

    async def join(self, room: str, *, after: RoomPosition | None = None) -> RoomPosition:
        if room not in self._joined:
            self._joined.add(room)
            if after is not None:
                self.joined_after[room] = after
                self.heard += self._rooms.after(self.namespace, room, after)
            self._rooms.enter(self, room)
        return RoomPosition("recorded", len(self._rooms.said))

    def leave(self, room: str) -> None:
        if room in self._joined:
            self._joined.remove(room)
            self._rooms.exit(self, room)

    def emit(self, event: str, *data: Any) -> None:
        self.heard.append((event, data[0] if len(data) == 1 else list(data)))

    async def ask(self, event: str, *data: Any, timeout_s: float = 10) -> Any:
        """The next of `answers`; TimeoutError at once when there is none."""
        self.emit(event, *data)
        await trio.lowlevel.checkpoint()
        if not self.answers:
            raise TimeoutError(event)
        return self.answers.popleft()


class RecordedSockets:
    """`hooks.SocketEvents`: `connect`, `send` and `disconnect` do what the edge does at the beginning, with an event,
    and at the end."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, str], tuple[EventHandler, type | None, Access]] = {}
        self._connect: dict[str, list[ConnectHandler]] = defaultdict(list)
        self._disconnect: dict[str, list[DisconnectHandler]] = defaultdict(list)
        self._return: dict[str, list[ReturnHandler]] = defaultdict(list)

    def on(
        self,
        namespace: str,
        event: str,
        handler: EventHandler,
        *,
        payload: type | None,
        access: Access = Access.USER,
        gathers: bool = False,
    ) -> None:
        if (namespace, event) in self._handlers:
            raise ValueError(f"{event} of {namespace} is registered twice")
        self._handlers[namespace, event] = (handler, payload, access)

    def on_connect(self, namespace: str, handler: ConnectHandler, *, own_auth: bool = False) -> None:
        self._connect[namespace].append(handler)

    def on_disconnect(self, namespace: str, handler: DisconnectHandler) -> None:
        self._disconnect[namespace].append(handler)

    def on_return(self, namespace: str, handler: ReturnHandler) -> None:
        self._return[namespace].append(handler)

    async def come_back(self, connection: RecordedConnection, room: str) -> None:
        """As the edge: who was away is about to be in the room again; raises the DoramiError of a refusal."""
        for handler in self._return[connection.namespace]:
            await handler(connection, room)
        await connection.join(room)

    async def connect(self, connection: RecordedConnection, auth: Mapping[str, Any] | None = None) -> None:
        """Raises the DoramiError of a refusal."""
        for handler in self._connect[connection.namespace]:
            await handler(connection, auth or {})

    async def send(self, connection: RecordedConnection, event: str, data: Any = None) -> Any:
        """The data of the acknowledgement; raises the DoramiError of a refusal. For a handler of plain arguments `data`
        is the list of them."""
        found = self._handlers.get((connection.namespace, event))
        if found is None:
            raise DoramiError("VALIDATION_FAILED", event=event)
        handler, payload, access = found
        connection.principal.require(access)
        if payload is None:
            return await handler(connection, [] if data is None else data)
        return await handler(connection, from_json({} if data is None else data, payload))

    async def disconnect(self, connection: RecordedConnection) -> None:
        """As the edge: the rooms can still be read, and hear nothing more of it."""
        for handler in self._disconnect[connection.namespace]:
            await handler(connection)
        for room in connection.rooms:
            connection.leave(room)
