"""The WebSocket transport of Engine.IO: a session that begins here, or one that comes over from long polling."""

from __future__ import annotations

import secrets
import socket

import trio

from dorami_core.edge import engineio, websocket
from dorami_core.edge.connection import WebSocketTransport
from dorami_core.edge.peer import Ended, Later
from dorami_core.edge.polling import Polling
from dorami_core.edge.session import Session
from dorami_core.edge.wire import Chunk, text_frame

UPGRADE_TIMEOUT_S = 10.0


class EngineTransport(WebSocketTransport):
    """Where the probe fails the session stays on long polling, and this socket is closed."""

    __slots__ = ("_engine", "_head")

    def __init__(self, sock: socket.socket, session: Session, first: bytes, head: bytes = b"") -> None:
        """`head` goes out with the open packet, in one send: the answer to the upgrade."""
        super().__init__(sock, session, first)
        self._engine = session
        self._head = head

    async def serve(self) -> None:
        if self._engine.polling is None or await self._take_over(self._engine.polling):
            self._begin()

    def _start(self) -> Later | None:
        if not self._engine.has_begun:
            opening = text_frame(self._engine.begin(secrets.token_urlsafe(15), ()))
            self._engine.outbox.send_one(Chunk(self._head + opening))
        return super()._start()

    async def _take_over(self, polling: Polling) -> bool:
        """`2probe`, `3probe`, `5`. Given up after 10 s, or when the session ends; False with the socket closed, and the
        session stays on long polling."""
        session, scope = self._engine, polling.probe
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
