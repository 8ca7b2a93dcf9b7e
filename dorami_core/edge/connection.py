"""A WebSocket that carries a session: frames in, messages to it, and an orderly end."""

from __future__ import annotations

import socket

import trio

from dorami_core.edge import websocket
from dorami_core.edge.peer import Ended, Later, Peer
from dorami_core.edge.wire import Chunk
from dorami_core.runtime import Inflow

_READ_BYTES = 65536
_GOODBYE_S = 1.0
_YIELD_EVERY = 100


class WebSocketTransport:
    """One viewer's WebSocket. `run` owns the socket from the 101 on and closes it; one task reads.

    `first` is what followed the request in the same read.
    """

    __slots__ = ("_parser", "_session", "_sock")

    def __init__(self, sock: socket.socket, session: Peer, first: bytes) -> None:
        self._sock = sock
        self._session = session
        self._parser = websocket.FrameParser(session.services.settings.max_payload_bytes)
        self._parser.feed(first)

    async def run(self) -> None:
        """Serves the session until either side ends it. Cancelled: says why (1001, 4503) and ends at once."""
        session = self._session
        outbox = session.outbox
        try:
            await self._start()
            await self._read()
        except Ended as end:
            session.end(end.reason)
            if end.code is not None:
                await self._say_goodbye(end.code)
        except (OSError, trio.ClosedResourceError):
            session.end(outbox.lost or "peer_reset")
        except trio.Cancelled:
            session.end("going_down")
            outbox.send_one(Chunk(websocket.encode_close(session.going_down, "going down")))
            outbox.finish()
            self._discard_unread()
            raise
        finally:
            session.end("error")
            outbox.close()

    async def _start(self) -> None:
        """What comes before the first message; Ended where there will be none."""

    async def _read(self) -> None:
        """Nearly all that comes is done with in the loop's callback; this task does what has to be waited for."""
        outbox = self._session.outbox
        inflow = outbox.inflow = Inflow(self._sock, self._take)
        later = self._receive()
        while True:
            if later is not None:
                await later()
                later = self._receive()
            elif outbox.lost is not None:
                raise Ended(outbox.lost)
            else:
                later = await inflow.wait()

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
