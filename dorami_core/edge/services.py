"""What every connection of the edge shares, and the Protocols through which the edge knows the rest of the program."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import attrs
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.errors import ErrorCatalogue
from dorami_core.base.peers import Proxies
from dorami_core.base.principal import Principal
from dorami_core.base.settings import EdgeSettings
from dorami_core.edge.counters import EdgeCounters
from dorami_core.edge.outbox import OutboxLimits
from dorami_core.edge.placement import Place
from dorami_core.edge.recovery import Recovery
from dorami_core.edge.rooms import RoomIndex
from dorami_core.edge.sessions import SessionTable
from dorami_core.edge.sockets import SocketRegistry
from dorami_core.edge.wheel import TimerWheel
from dorami_core.media.sinks import ByteSink

if TYPE_CHECKING:
    from dorami_core.edge.connection import WebSocketTransport


class Authenticator(Protocol):
    def authenticate(self, token: str | None, guest_token: str | None) -> tuple[Principal, str | None]:
        """Who this is; where a guest was made, also the signed token to come back with. A token that is wrong raises
        DoramiError UNAUTHORIZED; a guest token that is wrong counts as none."""
        ...


class Admission(Protocol):
    def admit(self, principal: Principal) -> None:
        """Raises FORBIDDEN for who may not connect at all (a ban); asked at every CONNECT of a signed-in user, of
        memory alone."""
        ...


class OpenDoor:
    """The admission of a shop that bans nobody."""

    def admit(self, principal: Principal) -> None:
        return


class VideoOut(Protocol):
    async def serve_flv(self, stream_key: str, sink: ByteSink) -> None:
        """Sends FLV from its header on until the stream ends. STREAM_NOT_FOUND is raised before anything is sent, or
        UNAVAILABLE where video is not served here. Cancelled when the viewer leaves."""
        ...

    async def read(self, name: str, query: Mapping[str, str], gone: Callable[[], Awaitable[None]]) -> bytes:
        """What has this name (`{streamKey}.m3u8`, what that names, `{streamKey}.jpg`); names have no slash and no
        leading dot. May wait for what comes next, at most until `gone` returns, and raises trio.ClosedResourceError
        then. Raises NOT_FOUND, VALIDATION_FAILED for a query that is none, UNAVAILABLE where video is not served here,
        or not now."""
        ...


@attrs.frozen
class EdgeServices:
    """Built once by `serve_edge`."""

    settings: EdgeSettings
    hosts: frozenset[str]
    cors_origins: frozenset[str]
    proxies: Proxies
    """Whose X-Forwarded-For counts."""
    web_port: Callable[[], int]
    authenticator: Authenticator
    admission: Admission
    sockets: SocketRegistry
    rooms: RoomIndex
    recovery: Recovery
    video: VideoOut
    catalogue: ErrorCatalogue
    clock: Clock
    counters: EdgeCounters
    limits: OutboxLimits
    wheel: TimerWheel
    sessions: SessionTable
    transports: set[WebSocketTransport]
    """All that are open."""
    connections: trio.Nursery
    """Where a connection is served while something has to be waited for."""
    workers: trio.Nursery
    """Where handlers, flushers and drains run; outlives the connections by up to a second."""
    flv_queue_max_bytes: int
    place: Place | None
    """None where no other process can hand us a connection, or take one."""
    exposition: Callable[[], bytes]
    """The metrics of this process as Prometheus reads them."""
