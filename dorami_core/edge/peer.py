"""What the sessions of both protocols have in common: who speaks, his sockets, and how his commands are refused."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import structlog
import trio

from dorami_core.base.errors import DoramiError, Lang
from dorami_core.base.ids import GuestId
from dorami_core.base.principal import Principal
from dorami_core.edge.client_socket import ClientSocket
from dorami_core.edge.engineio import Heartbeat
from dorami_core.edge.outbox import Outbox
from dorami_core.edge.services import EdgeServices
from dorami_core.edge.wheel import Ticket
from dorami_core.edge.wire import Chunk, WireFormat

log = structlog.get_logger()
_OUR_DOING = frozenset({"slow", "queue_full", "gap", "banned"})
KICK_S = 1.0
"""How long a peer may take to hear why it is sent away."""


@attrs.frozen
class Handshake:
    """What the request said about its client."""

    address: str
    lang: Lang
    access_token: str | None
    guest_token: str | None


Later = Callable[[], Awaitable[None]]
"""What cannot be done at once; it may raise Ended."""


class Ended(Exception):
    """The session is over; `code` is sent as the WebSocket's close code unless None."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Peer(ABC):
    """One connection's session. Messages are read one after another; nobody writes but Outbox."""

    going_down = 1001
    """The close code of a server that stops."""

    __slots__ = (
        "_guest",
        "_handshake",
        "_heartbeat",
        "_reason",
        "_resumed",
        "_ticket",
        "outbox",
        "services",
        "sockets",
        "wire",
    )

    def __init__(
        self, sock: socket.socket | None, handshake: Handshake, services: EdgeServices, wire: WireFormat
    ) -> None:
        self.services = services
        self.wire = wire
        self.outbox = Outbox(sock, services.workers, services.limits, services.counters, self._outbox_changed)
        self.sockets: dict[str, ClientSocket] = {}
        self._heartbeat = Heartbeat(
            trio.current_time(), services.settings.ping_interval_s, services.settings.ping_timeout_s
        )
        self._handshake = handshake
        self._guest: tuple[Principal, str | None] | None = None
        self._reason: str | None = None
        self._resumed: trio.Event | None = None
        self._ticket: Ticket | None = None

    @property
    def address(self) -> str:
        return self._handshake.address

    @property
    def is_open(self) -> bool:
        return self._reason is None and self.outbox.lost is None

    @abstractmethod
    def pong(self) -> None:
        """The WebSocket itself has answered a ping."""

    def refusal(self, error: DoramiError) -> dict[str, Any]:
        """The acknowledgement of a command that was refused, in the client's language."""
        answer: dict[str, Any] = {
            "ok": False,
            "errorCode": error.code,
            "message": self.services.catalogue.sentence(error.code, self._handshake.lang),
        }
        if error.retry_after_ms is not None:
            answer["retryAfterMs"] = error.retry_after_ms
        if error.details:
            answer["details"] = error.details
        return answer

    def _watch(self, at: float) -> None:
        """Times are watched from now on, until `_forget`."""
        self._ticket = self.services.wheel.enter(self, at)

    def _forget(self) -> None:
        """Nothing of the session is kept for its times."""
        if self._ticket is not None:
            self._ticket.cancel()

    def _beat(self, now: float, ping: Chunk) -> float | None:
        """Time to ping, to give up (None), or when to look again."""
        if self._resumed is not None:
            self._heartbeat.put_off(now)  # reading was paused by us
        action = self._heartbeat.tick(now)
        if action == "lost":
            self.outbox.cut("ping_timeout")
            return None
        if action == "ping":
            self.outbox.send_one(ping)
        return self._heartbeat.look_at(now)

    def _count_end(self, reason: str) -> None:
        counters = self.services.counters
        counters.disconnects[reason] += 1
        counters.open_sessions -= 1
        if reason in _OUR_DOING:
            log.info("edge.session_cut", reason=reason, address=self.address)

    @abstractmethod
    def on_time(self, now: float) -> float | None:
        """The timer wheel's turn."""

    def resume(self) -> None:
        """A full queue of events has room again, or the session is over."""
        if self._resumed is not None:
            self._resumed.set()

    @abstractmethod
    def receive(self, message: str | bytes) -> Later | None:
        """One message of the client. What it answers is to be awaited before the next one. Raises Ended."""

    @abstractmethod
    def end(self, reason: str) -> None:
        """Counts the reason and leaves all namespaces; the first call decides."""

    @abstractmethod
    def kick(self, reason: str) -> None:
        """Ends the session from our side; the peer hears it where it still reads, and is cut after a second."""

    def _outbox_changed(self) -> None:
        if self.outbox.lost is not None:
            self.resume()

    async def _pause(self, client: ClientSocket) -> None:
        """Waits while the client has too many events to handle."""
        while client.is_full and self.is_open:
            self._resumed = trio.Event()
            await self._resumed.wait()
            self._resumed = None
        self._heartbeat.put_off(trio.current_time())

    def _authenticate(
        self, auth: Mapping[str, Any] | None, known_viewer: str | None = None
    ) -> tuple[Principal, str | None]:
        """Who this is, and a guest's new token; `auth` None: a guest whatever he shows. All namespaces of one session
        that come as guests are one guest; `known_viewer` is whom a recovered session proves to be, without a token of
        his own. UNAUTHORIZED, or FORBIDDEN for who is banned."""
        shown = auth or {}
        token = None if auth is None else text_or_none(shown.get("token")) or self._handshake.access_token
        if token is not None:
            principal, fresh = self.services.authenticator.authenticate(token, None)
            self.services.admission.admit(principal)
            return principal, fresh
        if self._guest is None:
            guest_token = text_or_none(shown.get("guestToken")) or self._handshake.guest_token
            if guest_token is None and known_viewer is not None and known_viewer.startswith("g:"):
                self._guest = (Principal(guest_id=GuestId(known_viewer.removeprefix("g:"))), None)
            else:
                self._guest = self.services.authenticator.authenticate(None, guest_token)
        return self._guest

    async def _cut_later(self) -> None:
        await trio.sleep(KICK_S)
        self.outbox.cut("kicked")


def text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
