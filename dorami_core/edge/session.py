"""One Engine.IO session and its Socket.IO namespaces, whatever carries it."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from typing import Any

import attrs
import structlog
import trio

from dorami_core.base.errors import DoramiError, Lang
from dorami_core.base.principal import Principal
from dorami_core.edge import engineio
from dorami_core.edge.client_socket import ClientSocket
from dorami_core.edge.msgpack_packets import MsgpackDecoder
from dorami_core.edge.outbox import Outbox
from dorami_core.edge.polling import Polling
from dorami_core.edge.services import EdgeServices
from dorami_core.edge.socketio import Decoder, Packet, PacketError, PacketType
from dorami_core.edge.wire import SOCKET_IO_MSGPACK, SOCKET_IO_TEXT, Chunk, WireFormat, text_frame
from dorami_core.hooks.sockets import ConnectHandler

log = structlog.get_logger()
CONNECT_HANDLERS_S = 10.0
_PING_FRAME = Chunk(text_frame(engineio.PING))


@attrs.frozen
class Handshake:
    """What the request said about its client."""

    address: str
    lang: Lang
    access_token: str | None
    guest_token: str | None


class Ended(Exception):
    """The session is over; `code` is sent as the WebSocket's close code unless None."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Session:
    """Reads messages one after another; nobody writes but Outbox.

    A transport calls `begin`, then `receive` for each message, and `end`. On long polling `polling` is the transport's
    state, on a WebSocket it is None.
    """

    __slots__ = (
        "_connect_by",
        "_decoder",
        "_entering",
        "_guest",
        "_handshake",
        "_heartbeat",
        "_left",
        "_reason",
        "_resumed",
        "_sockets",
        "outbox",
        "polling",
        "services",
        "wire",
    )

    def __init__(self, sock: socket.socket | None, handshake: Handshake, services: EdgeServices) -> None:
        settings = services.settings
        self.services = services
        self.polling: Polling | None = None
        self.wire: WireFormat = SOCKET_IO_TEXT
        self.outbox = Outbox(sock, services.workers, settings.queue_max_bytes, services.counters, self._outbox_changed)
        now = trio.current_time()
        self._handshake = handshake
        self._decoder: Decoder | MsgpackDecoder | None = None
        self._heartbeat = engineio.Heartbeat(now, settings.ping_interval_s, settings.ping_timeout_s)
        self._connect_by: float | None = now + settings.connect_timeout_s
        self._sockets: dict[str, ClientSocket] = {}
        self._left: set[str] | None = None
        self._guest: tuple[Principal, str | None] | None = None
        self._reason: str | None = None
        self._resumed: trio.Event | None = None
        self._entering: trio.CancelScope | None = None

    @property
    def address(self) -> str:
        return self._handshake.address

    @property
    def is_open(self) -> bool:
        return self._reason is None and self.outbox.lost is None

    @property
    def has_joined(self) -> bool:
        """Was let into a namespace, at any time."""
        return self._connect_by is None

    def refusal(self, error: DoramiError) -> dict[str, Any]:
        """The acknowledgement of a command that was refused, in the client's language."""
        answer: dict[str, Any] = {
            "ok": False,
            "errorCode": error.code,
            "message": self.services.catalogue.sentence(error.code, self._handshake.lang),
        }
        if error.retry_after_ms is not None:
            answer["retryAfterMs"] = error.retry_after_ms
        if error.details:
            answer["details"] = error.details
        return answer

    def resume(self) -> None:
        """A full queue of events has room again, or the session is over."""
        if self._resumed is not None:
            self._resumed.set()
        if self._entering is not None and not self.is_open:
            self._entering.cancel()

    # what the transport does

    def begin(self, sid: str, upgrades: Sequence[str]) -> str:
        """The open packet; from now on times are watched and the session counts until `end`."""
        settings = self.services.settings
        self.services.counters.open_sessions += 1
        self.services.wheel.enter(self, self._next_time(trio.current_time()))
        return engineio.open_packet(
            sid,
            upgrades,
            ping_interval_s=settings.ping_interval_s,
            ping_timeout_s=settings.ping_timeout_s,
            max_payload=settings.max_payload_bytes,
        )

    async def receive(self, message: str | bytes) -> None:
        """One packet of the client; waits while a namespace has too many events to handle. Raises Ended."""
        try:
            event = engineio.receive(message, self._heartbeat, trio.current_time())
            if isinstance(event, engineio.ClosePacket):
                raise Ended("transport_close", 1000)
            if event is not None:
                await self._message(event.data)
        except (engineio.EngineError, PacketError):
            raise Ended("parse_error", 1002) from None

    def end(self, reason: str, farewell: str = engineio.CLOSE) -> None:
        """Counts the reason and leaves all namespaces; the first call decides. `farewell` is the packet that a waiting
        poll gets."""
        if self._reason is not None:
            return
        self._reason = reason
        counters = self.services.counters
        counters.disconnects[reason] += 1
        counters.open_sessions -= 1
        for found in self._sockets.values():
            found.disconnect()
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

    async def _message(self, data: str | bytes) -> None:
        if self._decoder is None:
            self._decoder = self._choose_parser(data)
        packet = self._decoder.feed(data)
        if packet is not None:
            await self._packet(packet)

    def _choose_parser(self, first: str | bytes) -> Decoder | MsgpackDecoder:
        """The first packet is a CONNECT: text in the default parser, binary in the one of msgpack."""
        if isinstance(first, bytes):
            self.wire = SOCKET_IO_MSGPACK
            return MsgpackDecoder()
        return Decoder(self.services.settings.max_payload_bytes)

    async def _packet(self, packet: Packet) -> None:
        if packet.type is PacketType.CONNECT:
            await self._connect(packet)
            return
        found = self._sockets.get(packet.namespace)
        if found is None:
            if self._left is None or packet.namespace not in self._left:
                raise PacketError("not connected to this namespace")
        elif packet.type is PacketType.EVENT:
            found.receive(packet)
            while found.is_full and self.is_open:
                await self._pause()
        elif packet.type is PacketType.DISCONNECT:
            del self._sockets[packet.namespace]
            self._left = (self._left or set()) | {packet.namespace}
            found.disconnect()
        elif packet.type is PacketType.ACK:
            found.answer(packet)

    async def _pause(self) -> None:
        self._resumed = trio.Event()
        await self._resumed.wait()
        self._resumed = None
        self._heartbeat.put_off(trio.current_time())

    async def _connect(self, packet: Packet) -> None:
        if packet.namespace in self._sockets:
            raise PacketError("connected twice")
        if not self.services.sockets.has_namespace(packet.namespace):
            self._refuse(packet.namespace, {"message": "Invalid namespace"})
            return
        auth = packet.data or {}
        has_own_auth = self.services.sockets.has_own_auth(packet.namespace)
        try:
            principal, guest_token = self._guest_of({}) if has_own_auth else self._authenticate(auth)
        except DoramiError as error:
            self._refuse_by(error, packet.namespace)
            return
        sid = secrets.token_urlsafe(15)
        reply = {"sid": sid}
        if guest_token is not None and not has_own_auth:
            reply["guestToken"] = guest_token
        found = ClientSocket(self, sid, packet.namespace, principal, self.wire, self.outbox)
        handlers = self.services.sockets.connect_handlers(packet.namespace)
        if handlers:
            found.wait_for_entry()
            try:
                await self._ask_connect_handlers(found, handlers, auth)
            except DoramiError as error:
                found.turn_away()
                self._refuse_by(error, packet.namespace)
                return
            if not self.is_open:
                found.turn_away()
                return
        self._sockets[packet.namespace] = found
        self._connect_by = None
        found.greet(reply)
        await found.say_what_waited()

    async def _ask_connect_handlers(
        self, found: ClientSocket, handlers: Sequence[ConnectHandler], auth: dict[str, Any]
    ) -> None:
        """DoramiError where one refuses; given up without one when the session ends. Nothing else of this client is
        read meanwhile."""
        self._resumed = trio.Event()  # its pongs wait too
        try:
            with trio.move_on_after(CONNECT_HANDLERS_S) as scope:
                self._entering = scope
                for handler in handlers:
                    await handler(found, auth)
        except DoramiError:
            raise
        except Exception:
            self.services.counters.failed_events += 1
            log.exception("edge.connect_handler_failed", namespace=found.namespace)
            raise DoramiError("INTERNAL_ERROR") from None
        finally:
            self._entering = self._resumed = None
            self._heartbeat.put_off(trio.current_time())
        if scope.cancelled_caught and self.is_open:
            raise DoramiError("UNAVAILABLE")

    def _authenticate(self, auth: dict[str, Any]) -> tuple[Principal, str | None]:
        """All namespaces of one session that come as guests are one guest."""
        token = _text(auth.get("token")) or self._handshake.access_token
        if token is not None:
            return self.services.authenticator.authenticate(token, None)
        return self._guest_of(auth)

    def _guest_of(self, auth: dict[str, Any]) -> tuple[Principal, str | None]:
        if self._guest is None:
            guest_token = _text(auth.get("guestToken")) or self._handshake.guest_token
            self._guest = self.services.authenticator.authenticate(None, guest_token)
        return self._guest

    def _refuse_by(self, error: DoramiError, namespace: str) -> None:
        sentence = self.services.catalogue.sentence(error.code, self._handshake.lang)
        self._refuse(namespace, {"message": sentence, "data": {"errorCode": error.code}})

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
        if self._resumed is not None:
            self._heartbeat.put_off(now)
        action = self._heartbeat.tick(now)
        if action == "lost":
            self.outbox.cut("ping_timeout")
            return None
        if action == "ping":
            self.outbox.send_one(_PING_FRAME)
        return self._next_time(now)

    def _next_time(self, now: float) -> float:
        due = self._heartbeat.look_at(now)
        return due if self._connect_by is None else min(due, self._connect_by)

    def _outbox_changed(self) -> None:
        if self.polling is not None:
            self.polling.wake()
        if self.outbox.lost is not None:
            self.resume()
            if self.polling is not None:
                # a WebSocket's own task does this; and rooms may be in the middle of a round just now
                self.services.workers.start_soon(self._end_lost)

    async def _end_lost(self) -> None:
        self.end(self.outbox.lost or "error")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
