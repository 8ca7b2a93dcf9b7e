"""One Engine.IO session and its Socket.IO namespaces, whatever carries it."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import Principal
from dorami_core.edge import engineio, websocket
from dorami_core.edge.client_socket import ClientSocket
from dorami_core.edge.msgpack_packets import MsgpackDecoder
from dorami_core.edge.peer import Ended, Handshake, Later, Peer, text_or_none
from dorami_core.edge.polling import Polling
from dorami_core.edge.recovery import Remembered
from dorami_core.edge.services import EdgeServices
from dorami_core.edge.socketio import Decoder, Packet, PacketError, PacketType
from dorami_core.edge.wire import SOCKET_IO_MSGPACK, SOCKET_IO_TEXT, Chunk, text_frame

log = structlog.get_logger()
CONNECT_HANDLERS_S = 10.0
_PING_FRAME = Chunk(text_frame(engineio.PING))
_KICKED = 1008


class Session(Peer):
    """A transport calls `begin`, then `receive` for each message, and `end`. On long polling `polling` is the
    transport's state, on a WebSocket it is None."""

    __slots__ = ("_connect_by", "_decoder", "_entry_scope", "_left", "has_begun", "polling")

    def __init__(self, sock: socket.socket | None, handshake: Handshake, services: EdgeServices) -> None:
        super().__init__(sock, handshake, services, SOCKET_IO_TEXT)
        settings = services.settings
        now = trio.current_time()
        self.has_begun = False
        self.polling: Polling | None = None
        self._decoder: Decoder | MsgpackDecoder | None = None
        self._connect_by: float | None = now + settings.connect_timeout_s
        self._left: set[str] | None = None
        self._entry_scope: trio.CancelScope | None = None

    @property
    def has_joined(self) -> bool:
        """Was let into a namespace, at any time."""
        return self._connect_by is None

    def resume(self) -> None:
        super().resume()
        if self._entry_scope is not None and not self.is_open:
            self._entry_scope.cancel()

    # what the transport does

    def begin(self, sid: str, upgrades: Sequence[str]) -> str:
        """The open packet; from now on times are watched and the session counts until `end`."""
        settings = self.services.settings
        self.has_begun = True
        self.services.counters.open_sessions += 1
        self._watch(self._next_time(trio.current_time()))
        return engineio.open_packet(
            sid,
            upgrades,
            ping_interval_s=settings.ping_interval_s,
            ping_timeout_s=settings.ping_timeout_s,
            max_payload=settings.max_payload_bytes,
        )

    def receive(self, message: str | bytes) -> Later | None:
        """One packet of the client; see Peer."""
        try:
            event = engineio.receive(message, self._heartbeat, trio.current_time())
            if event is None:
                return None
            if isinstance(event, engineio.ClosePacket):
                raise Ended("transport_close", 1000)
            if self._decoder is None:
                self._decoder = self._choose_parser(event.data)
            packet = self._decoder.feed(event.data)
            return None if packet is None else self._packet(packet)
        except (engineio.EngineError, PacketError):
            raise Ended("parse_error", 1002) from None

    def end(self, reason: str, farewell: str = engineio.CLOSE) -> None:
        """Counts the reason and leaves all namespaces; the first call decides. `farewell` is the packet that a waiting
        poll gets."""
        if self._reason is not None:
            return
        self._reason = reason
        self._count_end(reason)
        self._forget()
        for found in self.sockets.values():
            found.disconnect(reason)
        if self.polling is not None:
            self.services.sessions.remove(self.polling.sid)
            self.polling.end(farewell)
            self.outbox.close()
        self.resume()

    def upgrade(self, sock: socket.socket) -> None:
        """Long polling is over: what waits and all that follows goes to this WebSocket."""
        assert self.polling is not None
        self.services.sessions.move(self.polling.sid)
        self.polling = None
        self.outbox.attach(sock)

    def pong(self) -> None:
        """No news: Engine.IO has pings of its own."""
        return

    def kick(self, reason: str) -> None:
        """Every namespace gets DISCONNECT, after which a client of Socket.IO does not come back by itself; not where it
        shall (`gap`, `replaced`)."""
        if self._reason is not None:
            return
        if reason not in ("gap", "replaced"):
            for namespace in self.sockets:
                self.outbox.send_one(Chunk(self.wire.packet(Packet(PacketType.DISCONNECT, namespace))))
        if self.polling is None:
            self.outbox.send_one(Chunk(websocket.encode_close(_KICKED, reason)))
            self.outbox.finish()
            self.services.workers.start_soon(self._cut_later)
        self.end(reason)

    def _choose_parser(self, first: str | bytes) -> Decoder | MsgpackDecoder:
        """The first packet is a CONNECT: text in the default parser, binary in the one of msgpack."""
        if isinstance(first, bytes):
            self.wire = SOCKET_IO_MSGPACK
            return MsgpackDecoder()
        return Decoder(self.services.settings.max_payload_bytes)

    def _packet(self, packet: Packet) -> Later | None:
        found = self.sockets.get(packet.namespace)
        if packet.type is PacketType.CONNECT:
            if found is not None:
                raise PacketError("connected twice")
            return None if self._connect_at_once(packet) else partial(self._connect, packet)
        if found is None:
            if self._left is None or packet.namespace not in self._left:
                raise PacketError("not connected to this namespace")
        elif packet.type is PacketType.EVENT:
            found.receive(packet.data[0], packet.data[1:], packet.id)
            if found.is_full:
                return partial(self._pause, found)
        elif packet.type is PacketType.DISCONNECT:
            del self.sockets[packet.namespace]
            self._left = (self._left or set()) | {packet.namespace}
            found.disconnect("client_disconnect")
        elif packet.type is PacketType.ACK:
            found.answer(packet)
        return None

    def _connect_at_once(self, packet: Packet) -> bool:
        """Lets in, or refuses, whoever has nothing to recover where nothing has to be waited for: nearly everybody."""
        namespace, auth, registry = packet.namespace, packet.data or {}, self.services.sockets
        if "pid" in auth or not registry.has_namespace(namespace) or registry.connect_handlers(namespace):
            return False
        if not self.services.rooms.is_open(namespace):
            return False
        try:
            principal, guest_token = self._authenticate(auth)
        except DoramiError as error:
            self._refuse_by(error, namespace)
            return True
        self._connect_by = None
        found = self.sockets[namespace] = self._newcomer(namespace, principal)
        found.greet_at_once({} if guest_token is None else {"guestToken": guest_token})
        self._heartbeat.put_off(trio.current_time())
        return True

    async def _connect(self, packet: Packet) -> None:
        registry, auth = self.services.sockets, packet.data or {}
        if not registry.has_namespace(packet.namespace):
            self._refuse(packet.namespace, {"message": "Invalid namespace"})
            return
        has_own_auth = registry.has_own_auth(packet.namespace)
        pid, offset = text_or_none(auth.get("pid")) or "", text_or_none(auth.get("offset")) or ""
        found: ClientSocket | None = None
        is_back = False
        with self._entering():
            state = await self.services.recovery.find(pid, packet.namespace) if pid and offset else None
            try:
                principal, guest_token = self._authenticate(
                    None if has_own_auth else auth, state.viewer if state is not None else None
                )
                found, is_back = await self._admit(packet.namespace, principal, state, pid, offset)
                await self._ask_connect_handlers(found, auth)
            except DoramiError as error:
                self._turn_away(found, is_back)
                self._refuse_by(error, packet.namespace)
                return
        if found is None or not self.is_open:
            self._turn_away(found, is_back)
            return
        self._connect_by = None
        self.sockets[packet.namespace] = found
        reply = {} if guest_token is None or has_own_auth else {"guestToken": guest_token}
        if state is not None and state.reason is not None:
            reply["lastDisconnect"] = state.reason
        if state is not None and is_back:
            await found.come_back(state.rooms, offset, reply)
        else:
            await found.greet(reply)

    def _turn_away(self, found: ClientSocket | None, is_back: bool) -> None:
        if found is not None and is_back:
            found.disconnect("refused")  # it was counted again
        elif found is not None:
            found.turn_away()

    async def _admit(
        self, namespace: str, principal: Principal, state: Remembered | None, pid: str, offset: str
    ) -> tuple[ClientSocket, bool]:
        """Who was here before and can be told what he missed is the same socket again; anybody else a new one."""
        if state is not None and state.viewer == principal.viewer_id:
            found = ClientSocket(self, namespace, principal, sid=state.sid, pid=pid)
            if await found.may_come_back(state.rooms, offset):
                return found, True
        return self._newcomer(namespace, principal), False

    def _newcomer(self, namespace: str, principal: Principal) -> ClientSocket:
        # where nobody lets clients in again there is nothing to come back with
        pid = secrets.token_urlsafe(15) if self.services.sockets.return_handlers(namespace) else ""
        return ClientSocket(self, namespace, principal, sid=secrets.token_urlsafe(15), pid=pid)

    async def _ask_connect_handlers(self, found: ClientSocket, auth: dict[str, Any]) -> None:
        """DoramiError where one refuses, or all together take too long."""
        handlers = self.services.sockets.connect_handlers(found.namespace)
        if not handlers:
            return
        found.wait_for_entry()
        try:
            with trio.move_on_after(CONNECT_HANDLERS_S) as scope:
                for handler in handlers:
                    await handler(found, auth)
            if scope.cancelled_caught:
                raise DoramiError("UNAVAILABLE")
        except DoramiError:
            raise
        except Exception:
            self.services.counters.failed_events += 1
            log.exception("edge.connect_handler_failed", namespace=found.namespace)
            raise DoramiError("INTERNAL_ERROR") from None

    @contextmanager
    def _entering(self) -> Iterator[None]:
        """Nothing of the client is read meanwhile, so a missing pong says nothing; given up when the session ends."""
        self._resumed = trio.Event()
        try:
            with trio.CancelScope() as self._entry_scope:
                yield
        finally:
            self._resumed = self._entry_scope = None
            self._heartbeat.put_off(trio.current_time())

    def _refuse_by(self, error: DoramiError, namespace: str) -> None:
        sentence = self.services.catalogue.sentence(error.code, self._handshake.lang)
        self._refuse(namespace, {"message": sentence, "data": {"errorCode": error.code, **error.details}})

    def _refuse(self, namespace: str, reason: dict[str, Any]) -> None:
        packet = Packet(PacketType.CONNECT_ERROR, namespace, reason)
        self.outbox.send_one(Chunk(self.wire.packet(packet)))

    # times, and the queue's news

    def on_time(self, now: float) -> float | None:
        """The timer wheel's turn: time to join a namespace, to ping, to give up."""
        if not self.is_open:
            return None
        if self._connect_by is not None and now >= self._connect_by:
            self.outbox.cut("connect_timeout")
            return None
        return None if self._beat(now, _PING_FRAME) is None else self._next_time(now)

    def _next_time(self, now: float) -> float:
        due = self._heartbeat.look_at(now)
        return due if self._connect_by is None else min(due, self._connect_by)

    def _outbox_changed(self) -> None:
        if self.polling is not None:
            self.polling.wake()
        super()._outbox_changed()
        if self.outbox.lost is not None and self.polling is not None:
            # a WebSocket's transport does this; and rooms may be in the middle of a round just now
            self.services.workers.start_soon(self._end_lost)

    async def _end_lost(self) -> None:
        self.end(self.outbox.lost or "error")
