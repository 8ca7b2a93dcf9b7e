"""The registry of socket events: which handler, which payload, who may send it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from dorami_core.base.principal import Access
from dorami_core.base.structure import prepare
from dorami_core.edge.socketio import MAX_NAMESPACE, RESERVED_EVENTS
from dorami_core.hooks.sockets import ConnectHandler, DisconnectHandler, EventHandler, ReturnHandler


@attrs.frozen
class Registration:
    """One event of one namespace."""

    handler: EventHandler
    payload: type | None
    """None: the arguments as they came."""
    access: Access
    gathers: bool


class SocketRegistry:
    """The edge's `hooks.SocketEvents`. Filled at boot; a namespace exists once something was registered in it."""

    def __init__(self, namespaces: Sequence[str] = ()) -> None:
        self._events: dict[str, dict[str, Registration]] = {name: {} for name in namespaces}
        self._connect: dict[str, list[ConnectHandler]] = {}
        self._own_auth: set[str] = set()
        self._disconnect: dict[str, list[DisconnectHandler]] = {}
        self._return: dict[str, list[ReturnHandler]] = {}

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
        """`payload` is an attrs class, or None for a handler of the plain arguments. ValueError for a second handler of
        one event, or a name that is reserved."""
        if event in RESERVED_EVENTS:
            raise ValueError(f"{event} is reserved by Socket.IO")
        events = self._open(namespace)
        if event in events:
            raise ValueError(f"{event} of {namespace} has a handler already")
        if payload is not None:
            prepare(payload)
        events[event] = Registration(handler, payload, access, gathers)

    def on_connect(self, namespace: str, handler: ConnectHandler, *, own_auth: bool = False) -> None:
        """Handlers run in the order of registration until one refuses. `own_auth`: we do not ask who it is."""
        self._open(namespace)
        if own_auth:
            self._own_auth.add(namespace)
        self._connect.setdefault(namespace, []).append(handler)

    def on_disconnect(self, namespace: str, handler: DisconnectHandler) -> None:
        """Handlers run in the order of registration; one that fails does not stop the others."""
        self._open(namespace)
        self._disconnect.setdefault(namespace, []).append(handler)

    def on_return(self, namespace: str, handler: ReturnHandler) -> None:
        """Handlers run in the order of registration, for each room."""
        self._open(namespace)
        self._return.setdefault(namespace, []).append(handler)

    def return_handlers(self, namespace: str) -> Sequence[ReturnHandler]:
        return self._return.get(namespace, ())

    def _open(self, namespace: str) -> dict[str, Registration]:
        if not namespace.startswith("/") or "," in namespace or "?" in namespace or len(namespace) > MAX_NAMESPACE:
            raise ValueError(f"{namespace!r} cannot be a namespace")
        return self._events.setdefault(namespace, {})

    def has_namespace(self, namespace: str) -> bool:
        return namespace in self._events

    def find(self, namespace: str, event: str) -> Registration | None:
        return self._events[namespace].get(event)

    def has_own_auth(self, namespace: str) -> bool:
        return namespace in self._own_auth

    def connect_handlers(self, namespace: str) -> Sequence[ConnectHandler]:
        return self._connect.get(namespace, ())

    def disconnect_handlers(self, namespace: str) -> Sequence[DisconnectHandler]:
        return self._disconnect.get(namespace, ())
