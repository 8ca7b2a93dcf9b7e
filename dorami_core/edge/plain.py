"""The plain WebSocket `/ws`: one JSON or msgpack object a message, for those who want no Socket.IO (contract.md)."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs
import msgspec
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import Principal
from dorami_core.base.structure import from_json
from dorami_core.edge import websocket
from dorami_core.edge.client_socket import ClientSocket
from dorami_core.edge.peer import Ended, Handshake, Later, Peer
from dorami_core.edge.roomlog import EVERYONE
from dorami_core.edge.services import EdgeServices
from dorami_core.edge.wire import PLAIN_JSON, PLAIN_MSGPACK, Chunk, PlainFormat
from dorami_core.hooks.sockets import RoomPosition

SUBPROTOCOLS: Mapping[str, PlainFormat] = {"dorami.v1.json": PLAIN_JSON, "dorami.v1.msgpack": PLAIN_MSGPACK}
BAD_FRAME, BAD_TOKEN, BANNED, GOING_DOWN, WRONG_KIND = 4400, 4401, 4403, 4503, 1003
_KICK_CODES = {"banned": BANNED}
_MAX_ID = 2**32 - 1
_PING = Chunk(websocket.encode_frame(websocket.Opcode.PING, b""))


class Frame(msgspec.Struct, forbid_unknown_fields=True):
    """What a client says."""

    event: str
    ns: str = "/"
    data: Any = None
    id: int | None = None


@attrs.frozen
class Auth:
    token: str | None = None
    guest_token: str | None = None


@attrs.frozen
class ResumedRoom:
    room: str
    epoch: str
    seq: int


def _few(_: Any, attribute: attrs.Attribute[Any], value: list[Any]) -> None:
    if len(value) > 64:
        raise ValueError(f"'{attribute.name}' must have at most 64 items")


@attrs.frozen
class Resume:
    """`sid`: of the `hello` before, for whoever wants to know why that connection ended."""

    rooms: list[ResumedRoom] = attrs.field(validator=_few)
    sid: str | None = None


class PlainSession(Peer):
    """Namespace `/` is entered at once, any other with its first event."""

    __slots__ = ("_principal", "sid")

    going_down = GOING_DOWN

    def __init__(self, sock: socket.socket, handshake: Handshake, services: EdgeServices, wire: PlainFormat) -> None:
        super().__init__(sock, handshake, services, wire)
        self.sid = secrets.token_urlsafe(15)
        self._principal: Principal | None = None

    async def start(self) -> None:
        """Says hello; Ended with 4401 or 4403 for a token or person that is not let in."""
        self.services.counters.open_sessions += 1
        self._watch(self._heartbeat.look_at(trio.current_time()))
        who = self._identify({})
        hello = {"sid": self.sid, **who, "maxPayload": self.services.settings.max_payload_bytes}
        self._say({"event": "hello", "data": hello})
        await self._socket("/")

    def receive(self, message: str | bytes) -> Later | None:
        """One frame of the client; see Peer."""
        frame = self._decode(message)
        if frame.id is not None and not 0 <= frame.id <= _MAX_ID:
            raise Ended("parse_error", BAD_FRAME)
        if frame.ns == "/" and frame.event in ("auth", "resume"):
            return partial(self._command, frame)
        client = self.sockets.get(frame.ns)
        if client is not None:
            return self._event(client, frame)
        if self.services.sockets.has_namespace(frame.ns):
            return partial(self._first_event, frame)
        self.services.counters.unknown_events += 1
        self._answer(frame.id, self.refusal(DoramiError("VALIDATION_FAILED", problem="unknown namespace")))
        return None

    async def _command(self, frame: Frame) -> None:
        try:
            await (self._auth if frame.event == "auth" else self._resume)(frame)
        except DoramiError as error:
            self._answer(frame.id, self.refusal(error))

    async def _first_event(self, frame: Frame) -> None:
        later = self._event(await self._socket(frame.ns), frame)
        if later is not None:
            await later()

    def _event(self, client: ClientSocket, frame: Frame) -> Later | None:
        client.receive(frame.event, () if frame.data is None else (frame.data,), frame.id)
        return partial(self._pause, client) if client.is_full else None

    def pong(self) -> None:
        self._heartbeat.pong(trio.current_time())

    def end(self, reason: str) -> None:
        """Counts the reason and leaves all namespaces; the first call decides."""
        if self._reason is not None:
            return
        self._reason = reason
        self._count_end(reason)
        self._forget()
        self.services.recovery.note(self.sid, reason)
        for found in self.sockets.values():
            found.disconnect(reason)
        self.resume()

    def kick(self, reason: str) -> None:
        if self._reason is None:
            self.outbox.send_one(Chunk(websocket.encode_close(_KICK_CODES.get(reason, GOING_DOWN), reason)))
            self.outbox.finish()
            self.services.workers.start_soon(self._cut_later)
            self.end(reason)

    def on_time(self, now: float) -> float | None:
        """The timer wheel's turn: time to ping, to give up."""
        if not self.is_open:
            return None
        return self._beat(now, _PING)

    def _decode(self, message: str | bytes) -> Frame:
        is_binary = self.wire is PLAIN_MSGPACK
        if isinstance(message, bytes) is not is_binary:
            raise Ended("parse_error", WRONG_KIND)
        try:
            if isinstance(message, bytes):
                return msgspec.msgpack.decode(message, type=Frame)
            return msgspec.json.decode(message, type=Frame)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Ended("parse_error", BAD_FRAME) from None

    def _identify(self, auth: Mapping[str, Any]) -> dict[str, Any]:
        """Takes on who speaks; what he is told about himself."""
        try:
            principal, new_guest_token = self._authenticate(auth)
        except DoramiError as error:
            raise Ended(error.code.lower(), BAD_TOKEN if error.code == "UNAUTHORIZED" else BANNED) from None
        self._principal = principal
        told: dict[str, Any] = {"userId": str(principal.user.id) if principal.user else None}
        if new_guest_token is not None:
            told["guestToken"] = new_guest_token
        return told

    async def _auth(self, frame: Frame) -> None:
        """Before any room is joined anybody may come; afterwards only a newer token of the same person."""
        wanted = from_json(frame.data or {}, Auth)
        before = self._principal
        is_bound = any(client.joined for client in self.sockets.values())
        if wanted.guest_token is not None:
            self._guest = None
        told = self._identify({"token": wanted.token, "guestToken": wanted.guest_token})
        assert self._principal is not None
        if before is not None and self._principal.viewer_id != before.viewer_id:
            if is_bound:
                self._principal = before
                raise DoramiError("CONFLICT", problem="rooms are joined as somebody else")
            for client in self.sockets.values():
                client.disconnect("reauthenticated")
            self.sockets = {}
            await self._socket("/")
        for client in self.sockets.values():
            client.principal = self._principal
        self._answer(frame.id, {"ok": True, "data": told})

    async def _socket(self, namespace: str) -> ClientSocket:
        found = self.sockets.get(namespace)
        if found is None:
            assert self._principal is not None
            found = self.sockets[namespace] = ClientSocket(self, namespace, self._principal, sid=self.sid)
            await found.enter()
        return found

    async def _resume(self, frame: Frame) -> None:
        """Answers for each room whether all that was missed can be told, then tells it, then goes on live."""
        wanted = from_json(frame.data or {}, Resume)
        rooms, places = self.services.rooms, []
        for item in wanted.rooms:
            namespace, _, name = item.room.partition(":")
            after = RoomPosition(item.epoch, item.seq)
            client = await self._socket(namespace) if self.services.sockets.has_namespace(namespace) else None
            if client is None or not await self._may_resume(client, name, after):
                client = None
            places.append((item, client, name, after))
        answers, told = [], []
        for item, client, name, after in places:
            position, missed = (after, None) if client is None else rooms.resume(client, name, after)
            recovered = missed is not None
            answers.append({"room": item.room, "recovered": recovered, "epoch": position.epoch, "seq": position.seq})
            if client is not None and missed:
                told.append((client, missed))
        data: dict[str, Any] = {"rooms": answers}
        if wanted.sid is not None and (reason := self.services.recovery.reason(wanted.sid)) is not None:
            data["lastDisconnect"] = reason
        self._answer(frame.id, {"ok": True, "data": data})
        for client, missed in told:
            rooms.tell(client, missed)

    async def _may_resume(self, client: ClientSocket, name: str, after: RoomPosition) -> bool:
        """Everybody's room and his own anybody may have; others where the namespace lets him in again."""
        if name in client.joined:
            return False
        if name != EVERYONE and name != f"@{client.viewer}":
            if name.startswith("@") or not self.services.sockets.return_handlers(client.namespace):
                return False
            try:
                await client.readmit([name])
            except DoramiError:
                return False
        await self.services.rooms.prepare(client, name, after)
        return True

    def _answer(self, ack_id: int | None, data: dict[str, Any]) -> None:
        if ack_id is not None:
            self.outbox.send_one(Chunk(self.wire.ack("/", ack_id, data)))

    def _say(self, data: dict[str, Any]) -> None:
        assert isinstance(self.wire, PlainFormat)
        self.outbox.send_one(Chunk(self.wire.encode(data)))
