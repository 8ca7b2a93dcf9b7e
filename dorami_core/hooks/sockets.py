"""What a plugin may do with viewers' sockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any, Protocol

import attrs

from dorami_core.base.ids import ViewerId
from dorami_core.base.principal import Access, Principal


class Delivery(Enum):
    """What happens to a message when a socket's queue is full."""

    LATEST = "latest"
    """Only the newest of this event and room is kept (counts)."""
    DROPPABLE = "droppable"
    """The oldest is dropped first (chat)."""
    REQUIRED = "required"
    """Never dropped: the socket is cut and comes back (stock, carts, orders)."""


@attrs.frozen
class RoomPosition:
    """A place in a room: `seq` counts its events within `epoch`."""

    epoch: str
    seq: int


class Rooms(Protocol):
    """Says something to many sockets. Never blocks, never raises for a slow or gone socket; `data` is JSON-able, but
    for bytes in it (10 at most, ValueError for more), which clients get as binary."""

    def emit(self, namespace: str, room: str, event: str, data: Any, *, delivery: Delivery = Delivery.REQUIRED) -> None:
        """To every socket of the room; encoded once."""
        ...

    def emit_to_viewer(self, namespace: str, viewer: ViewerId, event: str, data: Any) -> None:
        """To all sockets of one person in the namespace."""
        ...

    def emit_to_all(self, namespace: str, event: str, data: Any) -> None:
        """To every socket of the namespace."""
        ...

    def cut_viewer(self, viewer: ViewerId, reason: str) -> None:
        """Ends all connections of one person, in every process, within a second; `reason` (`banned`) is counted and
        tells his client whether to come back."""
        ...


class SocketConnection(Protocol):
    """One client in one namespace."""

    @property
    def id(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def principal(self) -> Principal: ...
    @property
    def address(self) -> str:
        """The client's IP address."""
        ...

    @property
    def rooms(self) -> frozenset[str]: ...
    async def join(self, room: str, *, after: RoomPosition | None = None) -> RoomPosition:
        """Returns once the socket hears everything said in the room from now on, with the room's position. With `after`
        it is told first what came after that place, CONFLICT where that is not known any more. Without effect once the
        socket is gone."""
        ...

    def leave(self, room: str) -> None: ...
    def emit(self, event: str, *data: Any) -> None:
        """To this client alone, in order with what its rooms say. Events of ours have one argument; others may have
        any number."""
        ...

    async def ask(self, event: str, *data: Any, timeout_s: float = 10) -> Any:
        """Emits, and returns what the client acknowledges: its first argument, None where there is none.

        TimeoutError when no answer came within `timeout_s`; ConnectionError when the client has left, leaves meanwhile,
        or has not been let in yet; DoramiError UNAVAILABLE while 64 questions to it are open. Cancelled: a late answer
        is ignored. The client's own events wait while a handler of them asks.
        """
        ...


EventHandler = Callable[[SocketConnection, Any], Awaitable[Any]]
"""Gets the connection and the payload as the class it was registered with. What it returns becomes `data` of the
acknowledgement (None: no data); a DoramiError becomes its error. Registered with `payload=None` it gets the list of the
event's arguments as they came, and returns the list of the acknowledgement's (None: none), without the `ok` around."""

ConnectHandler = Callable[[SocketConnection, Mapping[str, Any]], Awaitable[None]]
"""Runs when a client asks to be let into the namespace, once it is known who that is; gets the `auth` that it sent,
`{}` where it sent none. A DoramiError refuses it with CONNECT_ERROR, and so does taking more than 10 s, all handlers
together (UNAVAILABLE). What it emits follows the reply, and rooms that it joins are heard from the reply on."""

DisconnectHandler = Callable[[SocketConnection], Awaitable[None]]
"""Runs once when a client left the namespace, for whatever reason; its rooms can still be read."""


ReturnHandler = Callable[[SocketConnection, str], Awaitable[None]]
"""Runs for each room that a client who was away is about to be in again, before he is told what he missed: counts him
again, or refuses with a DoramiError; then he is in no room."""


class SocketEvents(Protocol):
    """Where socket events are registered, at boot."""

    def on(
        self,
        namespace: str,
        event: str,
        handler: EventHandler,
        *,
        payload: type | None,
        access: Access = Access.USER,
        gathers: bool = False,
    ) -> None:
        """`payload` is an attrs class, into which the event's one argument is read, or None for arguments of any number
        and shape. ValueError for a second handler of one event, or a name that is reserved.

        `gathers`: the event is for a room that the client is in. While that room is so busy that what it is told goes
        out in rounds, the event waits for the next one, with those of others, for it would not be heard sooner.
        """
        ...

    def on_connect(self, namespace: str, handler: ConnectHandler, *, own_auth: bool = False) -> None:
        """Handlers run in the order of registration until one refuses.

        `own_auth`: what clients of the namespace send as `auth` is the handlers' alone. No token of ours is looked for
        in it or in cookies; everybody is a guest, and is told no `guestToken`.
        """
        ...

    def on_disconnect(self, namespace: str, handler: DisconnectHandler) -> None: ...
    def on_return(self, namespace: str, handler: ReturnHandler) -> None:
        """Rooms of a namespace without such a handler cannot be resumed over `/ws`."""
        ...
