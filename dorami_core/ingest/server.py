"""The embedded RTMP server: accepts encoders and hands each to a connection of its own."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from functools import partial

import structlog
import trio

from dorami_core.base.settings import RtmpSettings
from dorami_core.ingest.connection import RtmpConnection
from dorami_core.ingest.gate import PublishGate
from dorami_core.ingest.limits import AddressBook, Counters, RtmpLimits, RtmpStatistics

log = structlog.get_logger(__name__)

_DEFAULT_LIMITS = RtmpLimits()


class RtmpServer:
    """Takes `publish` over RTMP 1.0 and Enhanced RTMP; every publisher passes the gate first.

    `exempt_addresses` (addresses or networks) have no bound per address. One connection's errors do not touch another.
    """

    def __init__(
        self,
        gate: PublishGate,
        settings: RtmpSettings,
        *,
        exempt_addresses: Iterable[str] = (),
        limits: RtmpLimits = _DEFAULT_LIMITS,
    ) -> None:
        self._gate = gate
        self._settings = settings
        self._limits = limits
        self._counters = Counters()
        self._addresses = AddressBook(limits.max_per_address, exempt_addresses)

    def statistics(self) -> RtmpStatistics:
        return self._counters.snapshot()

    async def serve(
        self,
        host: str | None,
        port: int,
        *,
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listens until cancelled; `started` gives the port, which 0 lets the system choose. OSError: not to be had."""
        listeners = await trio.open_tcp_listeners(port, host=host)
        await self.serve_listeners(listeners, task_status=task_status)

    async def serve_listeners(
        self,
        listeners: Sequence[trio.SocketListener],
        *,
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """The same on listeners that are open; they are closed at the end. Cancelling ends all publications as lost."""
        async with trio.open_nursery() as connections:
            accepting = partial(trio.serve_listeners, self.serve_stream, list(listeners), handler_nursery=connections)
            await connections.start(accepting)
            task_status.started(listeners[0].socket.getsockname()[1])

    async def serve_stream(self, stream: trio.abc.HalfCloseableStream) -> None:
        """One accepted connection; above a limit it is closed at once."""
        address = _address(stream)
        if self._counters.connections >= self._limits.max_connections or not self._addresses.enter(address):
            self._counters.turned_away += 1
            log.warning("rtmp connection turned away: too many", address=address)
            await trio.aclose_forcefully(stream)
            return
        self._counters.connections += 1
        client_id = secrets.token_hex(6)
        connection = RtmpConnection(
            stream, address, client_id, self._gate, self._settings, self._limits, self._counters
        )
        try:
            await connection.run()
        except Exception:
            # The border between connections: the others go on, whatever the gate or a publication raised.
            self._counters.errors += 1
            log.exception("rtmp connection failed", client=client_id, address=address)
        finally:
            self._counters.connections -= 1
            self._addresses.leave(address)


def _address(stream: trio.abc.Stream) -> str:
    if not isinstance(stream, trio.SocketStream):
        return ""
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:  # gone already
        return ""
