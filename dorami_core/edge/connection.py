"""One viewer's WebSocket: frames, Engine.IO session, Socket.IO namespaces. One task reads; nobody writes but Outbox."""

from __future__ import annotations

import secrets
import socket
from typing import Any

import attrs
import trio

from dorami_core.base.errors import DoramiError, Lang
from dorami_core.base.principal import Principal
from dorami_core.edge import engineio, websocket
from dorami_core.edge.client_socket import ClientSocket
from dorami_core.edge.outbox import Outbox
from dorami_core.edge.services import EdgeServices
from dorami_core.edge.socketio import Decoder, Packet, PacketError, PacketType
from dorami_core.edge.wire import SOCKET_IO_TEXT, Chunk, WireFormat, text_frame

_READ_BYTES = 65536
_GOODBYE_S = 1.0
_PING_FRAME = Chunk(text_frame(engineio.PING))


@attrs.frozen
class Handshake:
    """What the request said about its client."""

    address: str
    lang: Lang
    access_token: str | None
    guest_token: str | None


class _Ended(Exception):
    """The session is over; `code` is sent as the close frame's unless None."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Client:
    """An Engine.IO session over WebSocket. `run` owns the socket from the 101 on and closes it."""

    __slots__ = (
        "_connect_by",
        "_decoder",
        "_guest",
        "_handshake",
        "_heartbeat",
        "_left",
        "_parser",
        "_reason",
        "_resumed",
        "_sock",
        "_sockets",
        "outbox",
        "services",
        "wire",
    )

    def __init__(self, sock: socket.socket, handshake: Handshake, services: EdgeServices) -> None:
        settings = services.settings
        self.services = services
        self.wire: WireFormat = SOCKET_IO_TEXT
        self.outbox = Outbox(sock, services.workers, settings.queue_max_bytes, services.counters, self.resume)
        now = trio.current_time()
        self._sock = sock
        self._handshake = handshake
        self._parser = websocket.FrameParser(settings.max_payload_bytes)
        self._decoder = Decoder(settings.max_payload_bytes)
        self._heartbeat = engineio.Heartbeat(now, settings.ping_interval_s, settings.ping_timeout_s)
        self._connect_by: float | None = now + settings.connect_timeout_s
        self._sockets: dict[str, ClientSocket] = {}
        self._left: set[str] | None = None
        self._guest: tuple[Principal, str | None] | None = None
        self._reason: str | None = None
        self._resumed: trio.Event | None = None

    @property
    def address(self) -> str:
        return self._handshake.address

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
        """A full queue of events has room again, or the connection was cut."""
        if self._resumed is not None:
            self._resumed.set()

    async def run(self, first: bytes) -> None:
        """Serves until either side ends it; `first` is what followed the request in the same read.

        Cancelled: says 1001 and ends at once.
        """
        services = self.services
        services.counters.open_sessions += 1
        settings = services.settings
        self._send_text(
            engineio.open_packet(
                secrets.token_urlsafe(15),
                ping_interval_s=settings.ping_interval_s,
                ping_timeout_s=settings.ping_timeout_s,
                max_payload=settings.max_payload_bytes,
            )
        )
        services.wheel.enter(self, self._next_time(trio.current_time()))
        try:
            await self._read(first)
        except _Ended as end:
            self._end(end.reason)
            if end.code is not None:
                await self._say_goodbye(end.code)
        except (OSError, trio.ClosedResourceError):
            self._end(self.outbox.lost or "peer_reset")
        except trio.Cancelled:
            self._end("going_down")
            self.outbox.send_one(Chunk(websocket.encode_close(1001, "going down")))
            self.outbox.finish()
            self._discard_unread()
            raise
        finally:
            self._end("error")
            services.counters.open_sessions -= 1
            self.outbox.close()

    async def _read(self, data: bytes) -> None:
        sock, outbox = self._sock, self.outbox
        while True:
            if data:
                await self._receive(data)
            if outbox.lost is not None:
                raise _Ended(outbox.lost)
            await trio.lowlevel.wait_readable(sock)
            try:
                data = sock.recv(_READ_BYTES)
            except BlockingIOError:
                data = b""
                continue
            if not data:
                raise _Ended("transport_close")

    async def _receive(self, data: bytes) -> None:
        self._parser.feed(data)
        try:
            while (event := self._parser.next_event()) is not None:
                match event:
                    case websocket.Text(message) | websocket.Binary(message):
                        await self._message(message)
                    case websocket.Ping(payload):
                        self.outbox.send_one(Chunk(websocket.encode_frame(websocket.Opcode.PONG, payload)))
                    case websocket.Close(code):
                        raise _Ended("transport_close", code)
        except websocket.WebSocketError as error:
            raise _Ended("message_too_big" if error.code == 1009 else "parse_error", error.code) from None
        except (engineio.EngineError, PacketError):
            raise _Ended("parse_error", 1002) from None

    async def _message(self, message: str | bytes) -> None:
        event = engineio.receive(message, self._heartbeat, trio.current_time())
        if event is None:
            return
        if isinstance(event, engineio.ClosePacket):
            raise _Ended("transport_close", 1000)
        packet = self._decoder.feed(event.data)
        if packet is not None:
            await self._packet(packet)

    async def _packet(self, packet: Packet) -> None:
        if packet.type is PacketType.CONNECT:
            self._connect(packet)
            return
        found = self._sockets.get(packet.namespace)
        if found is None:
            if self._left is None or packet.namespace not in self._left:
                raise PacketError("not connected to this namespace")
        elif packet.type is PacketType.EVENT:
            found.receive(packet)
            while found.is_full and self.outbox.lost is None:
                await self._pause()
        elif packet.type is PacketType.DISCONNECT:
            del self._sockets[packet.namespace]
            self._left = (self._left or set()) | {packet.namespace}
            found.disconnect()
        # an ACK answers nothing, since nothing is asked

    async def _pause(self) -> None:
        self._resumed = trio.Event()
        await self._resumed.wait()
        self._resumed = None
        self._heartbeat.put_off(trio.current_time())

    def _connect(self, packet: Packet) -> None:
        if packet.namespace in self._sockets:
            raise PacketError("connected twice")
        if not self.services.sockets.has_namespace(packet.namespace):
            self._refuse(packet.namespace, {"message": "Invalid namespace"})
            return
        try:
            principal, guest_token = self._authenticate(packet.data or {})
        except DoramiError as error:
            sentence = self.services.catalogue.sentence(error.code, self._handshake.lang)
            self._refuse(packet.namespace, {"message": sentence, "data": {"errorCode": error.code}})
            return
        sid = secrets.token_urlsafe(15)
        reply = {"sid": sid}
        if guest_token is not None:
            reply["guestToken"] = guest_token
        found = ClientSocket(self, sid, packet.namespace, principal, self.wire, self.outbox)
        self._sockets[packet.namespace] = found
        self._connect_by = None
        found.greet(reply)

    def _authenticate(self, auth: dict[str, Any]) -> tuple[Principal, str | None]:
        """All namespaces of one session that come as guests are one guest."""
        token = _text(auth.get("token")) or self._handshake.access_token
        if token is not None:
            return self.services.authenticator.authenticate(token, None)
        if self._guest is None:
            guest_token = _text(auth.get("guestToken")) or self._handshake.guest_token
            self._guest = self.services.authenticator.authenticate(None, guest_token)
        return self._guest

    def _refuse(self, namespace: str, reason: dict[str, Any]) -> None:
        packet = Packet(PacketType.CONNECT_ERROR, namespace, reason)
        self.outbox.send_one(Chunk(self.wire.packet(packet)))

    def on_time(self, now: float) -> float | None:
        """The timer wheel's turn: time to join a namespace, to ping, to give up."""
        if self._reason is not None or self.outbox.lost is not None:
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

    def _send_text(self, text: str) -> None:
        self.outbox.send_one(Chunk(text_frame(text)))

    def _end(self, reason: str) -> None:
        """Counts the reason and leaves all namespaces; the first call decides."""
        if self._reason is None:
            self._reason = reason
            self.services.counters.disconnects[reason] += 1
            for found in self._sockets.values():
                found.disconnect()

    def _discard_unread(self) -> None:
        """Closing with unread bytes would reset the connection and lose the close frame."""
        try:
            self._sock.recv(_READ_BYTES)
        except OSError:
            return

    async def _say_goodbye(self, code: int) -> None:
        """Close frame, end of sending, then reads on until the peer closes too."""
        self.outbox.send_one(Chunk(websocket.encode_close(code)))
        self.outbox.finish()
        with trio.move_on_after(_GOODBYE_S):
            try:
                while self.outbox.lost is None:
                    await trio.lowlevel.wait_readable(self._sock)
                    if not self._sock.recv(_READ_BYTES):
                        return
            except (OSError, trio.ClosedResourceError):
                return


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
