"""A WebSocket that carries a session: frames in, messages to it, and an orderly end."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
import trio

from dorami_core.edge import websocket
from dorami_core.edge.peer import Ended, Later, Peer
from dorami_core.edge.wire import Chunk
from dorami_core.runtime import Inflow

log = structlog.get_logger()
_READ_BYTES = 65536
_GOODBYE_S = 1.0
_YIELD_EVERY = 100


class WebSocketTransport:
    """One viewer's WebSocket. Once `serve` has begun it owns the socket, closes it, and is in `services.transports`
    until it is over.

    Nearly all that comes is done with in the loop's callback. A task is there only while something has to be waited
    for; meanwhile nothing is read. `first` is what followed the request in the same read.
    """

    __slots__ = ("_inflow", "_is_busy", "_parser", "_session", "_sock")

    def __init__(self, sock: socket.socket, session: Peer, first: bytes) -> None:
        self._sock = sock
        self._session = session
        self._parser = websocket.FrameParser(session.services.settings.max_payload_bytes)
        self._parser.feed(first)
        self._is_busy = False
        self._inflow = Inflow(sock, self._ready, self._closed)

    async def serve(self) -> None:
        """Begins; from then on the loop's callbacks go on with it, and this call is over."""
        self._begin()

    def _begin(self) -> None:
        services = self._session.services
        services.transports.add(self)
        services.counters.open_connections += 1
        self._session.outbox.inflow = self._inflow
        self._go_on(self._start)

    def go_down(self) -> None:
        """The server stops: says why (1001, 4503) and ends at once."""
        session = self._session
        session.end("going_down")
        session.outbox.send_one(Chunk(websocket.encode_close(session.going_down, "going down")))
        session.outbox.finish()
        self._discard_unread()
        self._end()

    def _start(self) -> Later | None:
        """What comes before the first message, and then what has come already."""
        return self._receive()

    # what the loop calls

    def _ready(self) -> None:
        self._go_on(self._take)

    def _closed(self) -> None:
        """The outbox has given the connection up; who is at work finds out himself."""
        if not self._is_busy:
            self._fail(Ended(self._session.outbox.lost or "peer_reset"))

    def _go_on(self, step: Callable[[], Later | None]) -> None:
        try:
            later = step()
        except Exception as error:
            self._fail(error)
        else:
            if later is None:
                self._inflow.resume()
            else:
                self._start_work(self._work, later)

    def _start_work(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        self._is_busy = True
        self._inflow.pause()
        with suppress(RuntimeError):  # the server has just stopped; `go_down` comes next
            self._session.services.connections.start_soon(work, *args)

    # what has to be waited for

    async def _work(self, later: Later | None) -> None:
        outbox = self._session.outbox
        try:
            while later is not None:
                await later()
                later = self._receive()
            if outbox.lost is not None:
                raise Ended(outbox.lost)
        except Exception as error:
            self._fail(error)
        else:
            self._is_busy = False
            self._inflow.resume()

    async def _say_goodbye(self, code: int) -> None:
        """Close frame, end of sending, then reads on until the peer closes too."""
        outbox = self._session.outbox
        try:
            outbox.send_one(Chunk(websocket.encode_close(code)))
            outbox.finish()
            with trio.move_on_after(_GOODBYE_S):
                while outbox.lost is None:
                    await trio.lowlevel.wait_readable(self._sock)
                    if not self._sock.recv(_READ_BYTES):
                        return
        except (OSError, trio.ClosedResourceError):
            return
        finally:
            self._end()

    # how it ends

    def _fail(self, error: Exception) -> None:
        session = self._session
        if isinstance(error, Ended):
            session.end(error.reason)
            if error.code is not None:
                self._start_work(self._say_goodbye, error.code)
                return
        elif isinstance(error, (OSError, trio.ClosedResourceError)):
            session.end(session.outbox.lost or "peer_reset")
        else:
            log.error("edge.connection_failed", address=session.address, exc_info=error)
        self._end()

    def _end(self) -> None:
        services = self._session.services
        if self in services.transports:
            services.transports.remove(self)
            services.counters.open_connections -= 1
            self._is_busy = True
            self._session.end("error")
            self._session.sockets = {}  # they hold the session
            self._session.outbox.close()

    # what has come

    def _take(self) -> Later | None:
        self._read_some()
        return self._receive()

    def _read_some(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise Ended("transport_close")
        self._parser.feed(data)

    def _receive(self) -> Later | None:
        """What has been read, up to what has to be waited for."""
        count = 0
        try:
            while (event := self._parser.next_event()) is not None:
                later: Later | None = None
                match event:
                    case websocket.Text(message) | websocket.Binary(message):
                        later = self._session.receive(message)
                    case websocket.Ping(payload):
                        frame = websocket.encode_frame(websocket.Opcode.PONG, payload)
                        self._session.outbox.send_one(Chunk(frame))
                    case websocket.Pong():
                        self._session.pong()
                    case websocket.Close(code):
                        raise Ended("transport_close", code)
                count += 1
                if later is None and count == _YIELD_EVERY:  # one read may hold ten thousand frames
                    later = trio.lowlevel.checkpoint
                if later is not None:
                    return later
        except websocket.WebSocketError as error:
            raise Ended("message_too_big" if error.code == 1009 else "parse_error", error.code) from None
        return None

    def _discard_unread(self) -> None:
        """Closing with unread bytes would reset the connection and lose the close frame."""
        try:
            self._sock.recv(_READ_BYTES)
        except OSError:
            return
