"""Who is in which room of this process, and what reaches them: said here, or heard from another process."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import ViewerId
from dorami_core.edge.gate import Work
from dorami_core.edge.message import Draft, Message, draft
from dorami_core.edge.namespace import Namespace, RoomStatistics, count
from dorami_core.edge.room import Member, Room, Tally
from dorami_core.edge.roomlog import CONTROL, EVERYONE, Heard, Link, Log, Window
from dorami_core.edge.wire import Chunk, Place
from dorami_core.hooks.sockets import Delivery, RoomPosition

SWEEP_S = 5.0


class RoomIndex:
    """The edge's `hooks.Rooms`, and where its sockets enter and leave.

    Order: a socket hears all rooms of a namespace in the one order that the namespace's numbers give, and what is said
    to it alone (acknowledgements, `SocketConnection.emit`) after everything that had reached this process before.
    Without a link, or while it is down, the order is this process's own.
    Before `bind` and after `unbind` nothing is sent to sockets.
    """

    def __init__(self, gather_max_s: float, link: Link | None = None, told_max_bytes: int = 900_000) -> None:
        """`told_max_bytes`: more than this nobody is told of what he missed; it has to fit into a socket's queue."""
        self.link = link
        self._told_max_bytes = told_max_bytes
        self._gather_max_s = gather_max_s
        self._spaces: dict[str, Namespace] = {}
        self._nursery: trio.Nursery | None = None
        self._serial = 0
        self._gaps = 0
        self._tally = Tally()
        self._own_epoch = secrets.token_hex(4)
        self._alone_since = time.time()

    def bind(self, nursery: trio.Nursery) -> None:
        """Flushers run in this nursery from now on."""
        self._nursery = nursery

    def unbind(self) -> None:
        """The edge is going down: messages to rooms are no longer sent."""
        self._nursery = None

    # what the rest of the program says

    def emit(self, namespace: str, room: str, event: str, data: Any, *, delivery: Delivery = Delivery.REQUIRED) -> None:
        """To every socket of the room; encoded once. TypeError where `data` is not JSON-able."""
        self._say(draft(namespace, room, event, data, delivery))

    def emit_to_all(self, namespace: str, event: str, data: Any) -> None:
        self._say(draft(namespace, EVERYONE, event, data, Delivery.REQUIRED))

    def emit_to_viewer(self, namespace: str, viewer: ViewerId, event: str, data: Any) -> None:
        self._say(draft(namespace, f"@{viewer}", event, data, Delivery.REQUIRED))

    def cut_viewer(self, viewer: ViewerId, reason: str) -> None:
        self._say(draft(CONTROL, EVERYONE, "cut", {"viewer": viewer, "reason": reason}, Delivery.LATEST))

    def _say(self, said: Draft) -> None:
        if self.link is None or not self.link.say(said):
            self.hear_alone(said)

    def statistics(self) -> RoomStatistics:
        return count(self._spaces.values(), self._tally, self._gaps)

    # what sockets do

    async def enter(self, member: Member) -> None:
        """The socket is connected: it hears `emit_to_all` and `emit_to_viewer`."""
        await self._opened(self._space(member.namespace), EVERYONE)
        self.enter_at_once(member)

    def is_open(self, namespace: str) -> bool:
        """Somebody has entered it, so that entering needs no question to the link."""
        space = self._spaces.get(namespace)
        return space is not None and EVERYONE in space.rooms and space.rooms[EVERYONE].opening is None

    def enter_at_once(self, member: Member) -> None:
        """As `enter`, into a namespace that is open."""
        space = self._spaces[member.namespace]
        space.rooms[EVERYONE].enter(member)
        member.entered = space.number
        space.viewers.setdefault(member.viewer, {})[member] = None

    def exit(self, member: Member) -> None:
        """The socket is gone from all rooms; the names stay readable in `member.joined`."""
        space = self._space(member.namespace)
        for room in (*member.joined.values(), space.rooms.get(EVERYONE)):
            if room is not None:
                room.exit(member)
        viewers = space.viewers.get(member.viewer, {})
        viewers.pop(member, None)
        if not viewers:
            space.viewers.pop(member.viewer, None)

    async def _catch_up(self) -> None:
        if self.link is not None and self.link.is_up:
            with suppress(DoramiError):
                await self.link.catch_up()

    async def join(self, member: Member, name: str, after: RoomPosition | None = None) -> RoomPosition:
        """Hears what is said from now on, or with `after` everything that came after that place; CONFLICT where that is
        no longer known. The answer is the room's place at this moment."""
        room = await self.prepare(member, name, after)
        if name not in member.joined:
            missed = [] if after is None else room.log.after_seq(after.epoch, after.seq)
            if missed is None:
                raise DoramiError("CONFLICT", problem="position is no longer known")
            member.go_in(room)
            if missed:
                self.tell(member, missed)
        return RoomPosition(room.log.epoch, room.log.seq)

    async def prepare(self, member: Member, name: str, after: RoomPosition | None) -> Room:
        """The room, open, and not behind this place."""
        found = EVERYONE if name.startswith("@") else name
        room = await self._opened(self._space(member.namespace), found)
        if after is not None and after.epoch == room.log.epoch and after.seq > max(room.log.seq, room.log.last):
            await self._catch_up()
        return room

    def resume(self, member: Member, name: str, after: RoomPosition) -> tuple[RoomPosition, list[Message] | None]:
        """Joins a room that is prepared; its position, and what came after `after`, to be told (None: not known)."""
        space = self._spaces[member.namespace]
        if name == EVERYONE or name.startswith("@"):
            # he is in these already, since his socket entered; only what came before that is missing
            log = space.rooms[EVERYONE].log
            missed = log.after_number(after.epoch, after.seq)
            if missed is not None:
                missed = [message for message in missed if message.room == name and message.number <= member.entered]
            return RoomPosition(log.epoch, max(after.seq, member.entered)), missed
        room = space.rooms.get(name)
        if room is None or name in member.joined:
            return after, None  # asked for twice, or given up since it was prepared
        missed = room.log.after_seq(after.epoch, after.seq)
        if missed is not None and sum(message.size for message in missed) > self._told_max_bytes:
            missed = None
        member.go_in(room)
        return RoomPosition(room.log.epoch, room.log.seq), missed

    def leave(self, member: Member, name: str) -> None:
        """Hears what was said until now."""
        if name in member.joined:
            self._send_pending(member)
            member.go_out(member.joined[name])

    async def rejoin(self, member: Member, names: Sequence[str], offset: str) -> list[Message] | None:
        """A socket that comes back, not in any room yet: enters the namespace and these rooms and answers what it
        missed since `offset`, to be told at once; None where that is not known, and then it is in no room."""
        found = await self.missed(member, names, offset)
        space = self._space(member.namespace)
        if found is not None and all(name in space.rooms for name in names):
            space.rooms[EVERYONE].enter(member)
            for name in names:
                member.go_in(space.rooms[name])
            space.viewers.setdefault(member.viewer, {})[member] = None
            return found
        return None

    async def missed(self, member: Member, names: Sequence[str], offset: str) -> list[Message] | None:
        """What these rooms, everybody's and his own have said since `offset`; None where that is not known."""
        epoch, _, text = offset.rpartition(".")
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1
        space = self._space(member.namespace)
        rooms = [await self._opened(space, name) for name in (EVERYONE, *names)]
        if number > space.number and epoch == rooms[0].log.epoch:
            await self._catch_up()
        found: list[Message] = []
        for room in rooms:
            missed = room.log.after_number(epoch, number)
            if missed is None:
                return None
            found += missed
        own = (EVERYONE, f"@{member.viewer}")
        found = [message for message in found if message.room in own or message.room in names]
        if sum(message.size for message in found) > self._told_max_bytes:
            return None
        found.sort(key=lambda message: message.number)
        return found

    def tell(self, member: Member, messages: Sequence[Message]) -> None:
        """Says to this socket alone, in one send, what its rooms said before it was in them."""
        chunks = [message.chunk(member.wire) for message in messages]
        self._tally.deliveries += len(chunks)
        self._tally.sends += 1
        member.outbox.send(b"".join([chunk.data for chunk in chunks]), chunks, is_asked=True)

    def hold(self, member: Member, work: Work) -> bool:
        """Whether one of its rooms is busy: then `work` is run right before that room's next round, beside others'."""
        for room in member.joined.values():
            if room.is_busy and self._nursery is not None:
                room.gate.hold(room.pause_s(self._gather_max_s), work, self._nursery)
                return True
        return False

    def direct(self, member: Member, chunk: Chunk) -> None:
        """To this socket alone, after what its rooms have pending for it, in the same send."""
        self._tally.deliveries += 1
        self._send_pending(member, (chunk,))

    def _send_pending(self, member: Member, after: tuple[Chunk, ...] = ()) -> None:
        found: list[Message] = []
        for room in (self._spaces[member.namespace].rooms[EVERYONE], *member.joined.values()):
            if room.pending and member in room.members.get(member.wire, ()):
                found += room.pending_for(member)
        if found:
            found.sort(key=lambda message: message.serial)
            chunks = [message.chunk(member.wire) for message in found]
            self._tally.deliveries += len(chunks)
            chunks += after
        else:
            chunks = list(after)
        if chunks:
            self._tally.sends += 1
            member.outbox.send(b"".join([chunk.data for chunk in chunks]), chunks, is_asked=bool(after))

    # what is heard

    def hear(self, heard: Heard) -> None:
        """From the link, in the order of the numbers."""
        if heard.namespace == CONTROL:
            self._obey(heard.payload)
            return
        space = self._spaces.get(heard.namespace)
        room = space.room_of(heard.room) if space is not None else None
        if space is None or room is None:
            return
        if room.opening is not None:
            room.early.append(heard)
            return
        if heard.number and heard.epoch != room.log.epoch:
            # Redis was emptied and counts from 1 again, or this room's log could not be read: it is known from here on
            room.log.restart(heard.epoch, heard.number - 1, heard.seq - 1)
            space.number = 0
        if heard.number == 0 or heard.number > room.log.last:
            self._hear(space, room, heard)

    def hear_alone(self, said: Draft) -> None:
        """What only this process is told: its numbers are of an epoch of its own."""
        if said.namespace == CONTROL:
            self._obey(said.payload)
            return
        space = self._space(said.namespace)
        room = space.room_of(said.room)
        if room is None:
            return
        number, place = 0, None
        if not said.is_volatile:
            space.number = number = space.number + 1
            seq = room.log.seq + 1 if room.name != EVERYONE else number
            place = Place(said.room, room.log.epoch, seq, f"{room.log.epoch}.{number}")
        message = Message(said.namespace, said.room, said.payload, place, number, time.time())
        if place is not None:
            space.keep(room.log, message, message.at)
        self._tell(space, room, message)

    def _hear(self, space: Namespace, room: Room, heard: Heard) -> None:
        message = heard.message()
        if message.place is not None:
            space.number = max(space.number, heard.number)
            space.keep(room.log, message, heard.at)
            room.is_shared = room.is_shared or not heard.is_own
        if not heard.is_known:
            self._tell(space, room, message)

    def _tell(self, space: Namespace, room: Room, message: Message) -> None:
        self._serial += 1
        message.serial = self._serial
        if self._nursery is None:
            return
        if not message.room.startswith("@"):
            if room.members:
                self._tally.messages += 1
                room.add(message, self._spawn)
        elif members := space.viewers.get(ViewerId(message.room[1:])):
            self._tally.messages += 1
            before = message.encodes
            for member in list(members):
                self.direct(member, message.chunk(member.wire))
            self._tally.encodes += message.encodes - before

    def _spawn(self, room: Room, namespace: str) -> None:
        assert self._nursery is not None
        everyone = self._spaces[namespace].rooms[EVERYONE]
        self._nursery.start_soon(room.run, self._gather_max_s, self._tally, everyone, self._send_pending)

    def _obey(self, payload: bytes) -> None:
        order = Message(CONTROL, EVERYONE, payload, None, 0, 0.0).data
        for space in self._spaces.values():
            for member in list(space.viewers.get(ViewerId(order["viewer"]), ())):
                member.kick(order["reason"])

    # rooms open and close, the link goes and comes

    def begin_alone(self) -> None:
        """The link is down: from now on an epoch of this process's own."""
        self._own_epoch, self._alone_since = secrets.token_hex(4), time.time()
        for space in self._spaces.values():
            number = space.number
            space.forget()
            space.number = number
            for room in space.rooms.values():
                if room.opening is None:
                    room.left = room.left or (room.log.epoch, room.log.last)
                    room.log.restart(self._own_epoch, number, room.log.seq)

    async def reopen(self) -> None:
        """The link is there again: every room hears what it missed. UNAVAILABLE where the link went away meanwhile."""
        for space in list(self._spaces.values()):
            space.forget()
        for space in list(self._spaces.values()):
            for room in list(space.rooms.values()):
                if room.opening is None:
                    await self._open(space, room)

    async def keep_house(self) -> None:
        """Sweeps every few seconds, for ever."""
        while True:
            await trio.sleep(SWEEP_S)
            await self.sweep()

    async def sweep(self, now: float | None = None) -> None:
        """Gives up rooms that nobody has been in for as long as anybody could come back, silent ones sooner. `now` is
        Trio's clock."""
        now = trio.current_time() if now is None else now
        for space in list(self._spaces.values()):
            for name in space.forsaken(now):
                del space.rooms[name]
                if self.link is not None and self.link.is_up:
                    with suppress(DoramiError):
                        await self.link.close(space.name, name)

    def _space(self, name: str) -> Namespace:
        space = self._spaces.get(name)
        if space is None:
            space = self._spaces[name] = Namespace(name)
        return space

    async def _opened(self, space: Namespace, name: str) -> Room:
        """The room with its log read, made if it is not there."""
        while True:
            room = space.rooms.get(name)
            if room is None:
                room = space.rooms[name] = Room(name, space.name, Log(self._own_epoch, space.number, space.number))
                room.empty_since = trio.current_time()
                try:
                    await self._open(space, room)
                except DoramiError:
                    room.early.clear()  # the link has gone; the room begins here
                except BaseException:
                    del space.rooms[name]
                    raise
            if room.opening is None:
                if room.empty_since is not None:
                    room.empty_since = trio.current_time()
                return room
            await room.opening.wait()

    async def _open(self, space: Namespace, room: Room) -> None:
        """Takes the room's log from the link. Members who were there before are told what they have not heard, or cut
        where that is not known any more. Without a link the room begins here."""
        if self.link is None or not self.link.is_up:
            return
        opening = room.opening = trio.Event()
        try:
            window = await self.link.open(space.name, room.name)
        finally:
            room.opening = None
            opening.set()
        self._take(space, room, window)

    def _take(self, space: Namespace, room: Room, window: Window) -> None:
        left, room.left = room.left, None
        if left is not None and left[0] == window.epoch:
            is_gap, missed_after = window.since > left[1], left[1]
        else:
            # another epoch: what was said before it may be lost, unless all of it was said here
            others = any(not heard.is_own and heard.at >= self._alone_since for heard in window.events)
            is_gap, missed_after = room.is_shared or others, window.number
        early, room.early, room.is_shared = room.early, [], False
        room.log.restart(window.epoch, window.since, window.seq)
        space.number = max(space.number, window.number)
        if is_gap and room.members:
            self._gaps += 1
            for member in [member for some in room.members.values() for member in some]:
                member.kick("gap")
        for heard in window.events:
            if heard.number > missed_after:
                self._hear(space, room, heard)
            else:
                space.keep(room.log, heard.message(), time.time())
        room.log.seq = max(room.log.seq, window.seq)
        for heard in early:
            if heard.number == 0 or heard.number > max(window.number, room.log.last):
                self._hear(space, room, heard)
