"""Long polling: the state of a session's requests, and what waits for the next one."""

from __future__ import annotations

import socket

import trio

from dorami_core.edge import engineio


class Polling:
    """At most one GET and one POST at a time; `is_polled` from the GET's arrival until its answer is sent, which bounds
    what is on its way to a client that does not read."""

    __slots__ = ("_waiting", "farewell", "is_polled", "is_probed", "is_pushed", "probe", "sid")

    def __init__(self, sid: str) -> None:
        self.sid = sid
        self.is_polled = False
        self.is_pushed = False
        self.is_probed = False
        """A WebSocket has answered the probe: polls are no longer held."""
        self.probe: trio.CancelScope | None = None
        """Of the one WebSocket that may take over."""
        self.farewell = engineio.CLOSE
        self._waiting: trio.CancelScope | None = None

    def wake(self) -> None:
        """There is something to look at for whoever waits."""
        if self._waiting is not None:
            self._waiting.cancel()

    def end(self, farewell: str) -> None:
        """The session is over: the poll gets `farewell`, a WebSocket in its probe is closed."""
        self.farewell = farewell
        self.wake()
        if self.probe is not None:
            self.probe.cancel()

    async def wait(self, sock: socket.socket) -> bool:
        """Until woken: True; False where the peer is gone, or OSError. One task at a time."""
        with trio.CancelScope() as self._waiting:
            try:
                while True:
                    await trio.lowlevel.wait_readable(sock)
                    try:
                        if not sock.recv(1, socket.MSG_PEEK):
                            return False
                    except BlockingIOError:
                        continue
                    # another request on this connection has to wait for its turn; the end is no longer seen
                    await trio.sleep_forever()
            finally:
                self._waiting = None
        return True
