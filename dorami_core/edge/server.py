"""The edge's listener: an accept loop on a raw socket, one task per connection, and an orderly end."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext

import structlog
import trio

from dorami_core.base.clock import Clock, SystemClock
from dorami_core.base.errors import ErrorCatalogue
from dorami_core.base.peers import Proxies
from dorami_core.base.settings import EdgeSettings
from dorami_core.edge.connection import WebSocketTransport
from dorami_core.edge.counters import EdgeCounters
from dorami_core.edge.handover import Handover
from dorami_core.edge.outbox import OutboxLimits
from dorami_core.edge.placement import Place
from dorami_core.edge.recovery import Recovery
from dorami_core.edge.rooms import RoomIndex
from dorami_core.edge.routes import serve_connection
from dorami_core.edge.services import Admission, Authenticator, EdgeServices, OpenDoor, VideoOut
from dorami_core.edge.sessions import SessionTable
from dorami_core.edge.sockets import SocketRegistry
from dorami_core.edge.wheel import TimerWheel

log = structlog.get_logger()
_BACKLOG = 4096
_ACCEPTS_PER_ROUND = 64
_SEND_BUFFER_BYTES = 64 * 1024
_NOT_SENT_BYTES = 32 * 1024
_STOP_S = 1.0
_FULL = (errno.EMFILE, errno.ENFILE)
_TRANSIENT = (errno.ENOBUFS, errno.ENOMEM)
_RETRY_S = 0.1


async def serve_edge(
    host: str,
    port: int | None,
    *,
    settings: EdgeSettings,
    hosts: Collection[str],
    cors_origins: Collection[str],
    web_port: Callable[[], int],
    authenticator: Authenticator,
    sockets: SocketRegistry,
    rooms: RoomIndex,
    video: VideoOut,
    catalogue: ErrorCatalogue,
    trusted_proxies: Sequence[str] = (),
    admission: Admission | None = None,
    recovery: Recovery | None = None,
    clock: Clock | None = None,
    counters: EdgeCounters | None = None,
    flv_queue_max_bytes: int = 8_000_000,
    shares_port: bool = False,
    place: Place | None = None,
    exposition: Callable[[], bytes] = bytes,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves until cancelled; `started` with the port. OSError where the address cannot be had, ValueError for a
    trusted proxy that is neither address nor network. Port None: it listens nowhere and serves what its neighbours hand
    over. `shares_port`: others of this user may listen there too, and the kernel deals the connections out.

    When cancelled every WebSocket is told 1001 and every waiting poll that its session is over, disconnect handlers get
    a second, and everything ends.
    """
    counters = counters or EdgeCounters()
    recovery = recovery or Recovery()
    proxies = Proxies(trusted_proxies)
    sessions = SessionTable(process=place.handover.name if place is not None else "")
    with nullcontext() if port is None else listen(host, port, shared=shares_port) as listener:
        async with trio.open_nursery() as outer:
            stop = trio.Event()
            workers, worker_scope = await outer.start(_run_workers, stop)
            rooms.bind(workers)
            wheel = TimerWheel(_tick_s(settings))
            transports: set[WebSocketTransport] = set()
            try:
                async with trio.open_nursery() as connections:
                    services = EdgeServices(
                        settings=settings,
                        hosts=frozenset(name.lower() for name in hosts),
                        cors_origins=frozenset(origin.lower().rstrip("/") for origin in cors_origins),
                        proxies=proxies,
                        web_port=web_port,
                        authenticator=authenticator,
                        admission=admission or OpenDoor(),
                        recovery=recovery,
                        sockets=sockets,
                        rooms=rooms,
                        video=video,
                        catalogue=catalogue,
                        clock=clock or SystemClock(),
                        counters=counters,
                        limits=OutboxLimits(settings.queue_max_bytes, settings.stall_s, wheel.enter),
                        wheel=wheel,
                        sessions=sessions,
                        transports=transports,
                        connections=connections,
                        workers=workers,
                        flv_queue_max_bytes=flv_queue_max_bytes,
                        place=place,
                        exposition=exposition,
                    )
                    connections.start_soon(wheel.run)
                    if place is not None:
                        connections.start_soon(_take, place.handover, services)
                    if listener is not None:
                        connections.start_soon(_accept, listener, services)
                    connections.start_soon(recovery.run)
                    connections.start_soon(rooms.keep_house)
                    task_status.started(listener.getsockname()[1] if listener is not None else 0)
            finally:
                for transport in list(transports):
                    transport.go_down()
                sessions.end_all("going_down")
                rooms.unbind()
                worker_scope.deadline = trio.current_time() + _STOP_S
                stop.set()


async def _run_workers(
    stop: trio.Event, task_status: trio.TaskStatus[tuple[trio.Nursery, trio.CancelScope]] = trio.TASK_STATUS_IGNORED
) -> None:
    """A nursery that outlives the cancellation of the server, until its scope's deadline."""
    with trio.CancelScope(shield=True) as scope:
        async with trio.open_nursery() as nursery:
            task_status.started((nursery, scope))
            await stop.wait()


def _tick_s(settings: EdgeSettings) -> float:
    """A twentieth of the shortest time, between 10 ms and half a second."""
    shortest = min(settings.ping_interval_s, settings.ping_timeout_s, settings.connect_timeout_s, settings.stall_s)
    return min(max(shortest / 20, 0.01), 0.5)


def reserve(host: str, port: int) -> socket.socket:
    """Holds a port, or one that the kernel picks, for processes of this user that listen there with `shares_port`; not
    one connection comes here."""
    return _bind(host, port, shared=True)


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening, non-blocking socket. Accepted ones inherit its options.

    A small send buffer, and a limit for what was not sent yet: a slow reader shows here and not after megabytes in the
    kernel.
    """
    listener = _bind(host, port, shared=shared)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT_BYTES)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setblocking(False)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _take(handover: Handover, services: EdgeServices) -> None:
    """Connections that neighbours accepted are served as if they had come here."""
    while True:
        arrival = await handover.take()
        services.connections.start_soon(serve_connection, arrival.sock, arrival.peer, services, arrival.first)


async def _accept(listener: socket.socket, services: EdgeServices) -> None:
    """Takes all that wait at each wake-up. Without file descriptors the newcomer is closed by giving up a spare one,
    so that it learns at once and does not wait in the backlog."""
    spare = _open_spare()
    try:
        while True:
            await trio.lowlevel.wait_readable(listener)
            for _ in range(_ACCEPTS_PER_ROUND):
                try:
                    sock, address = listener.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in _FULL:
                        if spare is not None:
                            os.close(spare)
                            _shed(listener, services)
                        else:
                            await trio.sleep(_RETRY_S)
                        spare = _open_spare()
                    elif error.errno in _TRANSIENT:
                        await trio.sleep(_RETRY_S)
                    continue  # else the newcomer was gone before we looked (accept(2))
                sock.setblocking(False)
                services.counters.accepted += 1
                services.connections.start_soon(serve_connection, sock, address[0], services)
            await trio.lowlevel.checkpoint()
    finally:
        if spare is not None:
            os.close(spare)


def _open_spare() -> int | None:
    """None where another thread was faster to take the descriptor that we had just given up."""
    try:
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return None


def _shed(listener: socket.socket, services: EdgeServices) -> None:
    if not services.counters.shed:
        log.warning("edge.out_of_file_descriptors")
    services.counters.shed += 1
    try:
        listener.accept()[0].close()
    except OSError:
        return
