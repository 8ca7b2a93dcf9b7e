"""The WebSocket transport of Engine.IO: frames in, a session that began here or on long polling."""

from __future__ import annotations

import secrets
import socket

import trio

from dorami_core.edge import engineio, websocket
from dorami_core.edge.polling import Polling
from dorami_core.edge.session import Ended, Session
from dorami_core.edge.wire import Chunk, text_frame

UPGRADE_TIMEOUT_S = 10.0
_READ_BYTES = 65536
_GOODBYE_S = 1.0
_YIELD_EVERY = 100


class WebSocketTransport:
    """One viewer's WebSocket. `run` owns the socket from the 101 on and closes it; one task reads.

    `first` is what followed the request in the same read.
    """

    __slots__ = ("_parser", "_session", "_sock")

    def __init__(self, sock: socket.socket, session: Session, first: bytes) -> None:
        self._sock = sock
        self._session = session
        self._parser = websocket.FrameParser(session.services.settings.max_payload_bytes)
        self._parser.feed(first)

    async def run(self) -> None:
        """Serves a new session, or one that is taken over from long polling, until either side ends it.

        Cancelled: says 1001 and ends at once.
        """
        session = self._session
        outbox = session.outbox
        if session.polling is None:
            outbox.send_one(Chunk(text_frame(session.begin(secrets.token_urlsafe(15), ()))))
        elif not await self._take_over(session.polling):
            return
        try:
            await self._read()
        except Ended as end:
            session.end(end.reason)
            if end.code is not None:
                await self._say_goodbye(end.code)
        except (OSError, trio.ClosedResourceError):
            session.end(outbox.lost or "peer_reset")
        except trio.Cancelled:
            session.end("going_down")
            outbox.send_one(Chunk(websocket.encode_close(1001, "going down")))
            outbox.finish()
            self._discard_unread()
            raise
        finally:
            session.end("error")
            outbox.close()

    async def _take_over(self, polling: Polling) -> bool:
        """`2probe`, `3probe`, `5`. Given up after 10 s, or when the session ends; False with the socket closed, and the
        session stays on long polling."""
        session, scope = self._session, polling.probe
        assert scope is not None
        scope.deadline = trio.current_time() + UPGRADE_TIMEOUT_S
        code = 1000
        try:
            with scope:
                await self._expect(engineio.PROBE)
                self._sock.send(text_frame(engineio.PROBE_ANSWER))
                polling.is_probed = True
                polling.wake()
                await self._expect(engineio.UPGRADE)
                if polling.is_polled or polling.is_pushed:
                    session.end("overlap")
                elif session.is_open:
                    session.upgrade(self._sock)
                    return True
        except Ended as end:
            code = end.code or code
        except websocket.WebSocketError as error:
            code = error.code
        except trio.Cancelled:
            self._close(1001)
            raise
        finally:
            polling.is_probed, polling.probe = False, None
        self._close(code)
        return False

    async def _expect(self, packet: str) -> None:
        """Reads on until this packet; anything else raises Ended."""
        while True:
            event = self._parser.next_event()
            if event is None:
                await trio.lowlevel.wait_readable(self._sock)
                self._read_some()
            elif isinstance(event, websocket.Ping):
                self._sock.send(websocket.encode_frame(websocket.Opcode.PONG, event.data))
            elif isinstance(event, websocket.Text) and event.text == packet:
                return
            elif not isinstance(event, websocket.Pong):
                raise Ended("parse_error", 1002)

    def _close(self, code: int) -> None:
        """Ends a WebSocket that carries no session."""
        try:
            self._sock.send(websocket.encode_close(code))
        except OSError:
            return
        finally:
            self._discard_unread()
            self._sock.close()

    async def _read(self) -> None:
        sock, outbox = self._sock, self._session.outbox
        while True:
            await self._receive()
            if outbox.lost is not None:
                raise Ended(outbox.lost)
            await trio.lowlevel.wait_readable(sock)
            self._read_some()

    def _read_some(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise Ended("transport_close")
        self._parser.feed(data)

    async def _receive(self) -> None:
        count = 0
        try:
            while (event := self._parser.next_event()) is not None:
                count += 1
                if not count % _YIELD_EVERY:  # one read may hold ten thousand frames
                    await trio.lowlevel.checkpoint()
                match event:
                    case websocket.Text(message) | websocket.Binary(message):
                        await self._session.receive(message)
                    case websocket.Ping(payload):
                        frame = websocket.encode_frame(websocket.Opcode.PONG, payload)
                        self._session.outbox.send_one(Chunk(frame))
                    case websocket.Close(code):
                        raise Ended("transport_close", code)
        except websocket.WebSocketError as error:
            raise Ended("message_too_big" if error.code == 1009 else "parse_error", error.code) from None

    def _discard_unread(self) -> None:
        """Closing with unread bytes would reset the connection and lose the close frame."""
        try:
            self._sock.recv(_READ_BYTES)
        except OSError:
            return

    async def _say_goodbye(self, code: int) -> None:
        """Close frame, end of sending, then reads on until the peer closes too."""
        outbox = self._session.outbox
        outbox.send_one(Chunk(websocket.encode_close(code)))
        outbox.finish()
        with trio.move_on_after(_GOODBYE_S):
            try:
                while outbox.lost is None:
                    await trio.lowlevel.wait_readable(self._sock)
                    if not self._sock.recv(_READ_BYTES):
                        return
            except (OSError, trio.ClosedResourceError):
                return
