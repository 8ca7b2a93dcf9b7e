"""What the core hands to a plugin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

import attrs

from dorami_core.base.clock import Clock
from dorami_core.base.ids import StreamKey, UserId
from dorami_core.base.principal import Role
from dorami_core.hooks.recordings import Recordings
from dorami_core.hooks.sockets import Rooms
from dorami_core.hooks.transactions import Database, Deadlines, Queries, Tx

T = TypeVar("T")
StreamStatus = Literal["PENDING", "LIVE", "INTERRUPTED", "OFFLINE"]


@attrs.frozen
class StreamView:
    """A broadcast as anybody may see it."""

    stream_key: StreamKey
    title: str
    status: StreamStatus
    scheduled_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    peak_viewers: int
    free_shipping_enabled: bool
    created_at: datetime


@attrs.frozen
class ViewerMinute:
    """How many watched within one minute of a broadcast; `minute` is its beginning."""

    minute: datetime
    highest: int
    average: float


@attrs.frozen
class UserView:
    """A user's row, decrypted; `shipping_address` is what `PUT /api/users/me/shipping-address` took."""

    id: UserId
    email: str
    name: str
    role: Role
    instagram_id: str | None
    shipping_address: dict[str, Any] | None


class StreamDirectory(Protocol):
    async def find(self, stream_key: str) -> StreamView | None: ...
    async def live(self) -> Sequence[StreamView]:
        """LIVE and INTERRUPTED, newest first."""
        ...

    async def upcoming(self) -> Sequence[StreamView]:
        """PENDING, the next one first."""
        ...

    async def list_all(self, limit: int = 50) -> Sequence[StreamView]:
        """Newest first, whatever the status."""
        ...

    def viewer_count(self, stream_key: str) -> int:
        """Who watches now, in all processes; not older than about a second."""
        ...

    async def viewer_minutes(self, stream_key: str) -> Sequence[ViewerMinute]:
        """The curve of the session that runs or ran last, oldest first; empty for an unknown stream. A minute without
        a row is one in which nobody counted."""
        ...


class UserDirectory(Protocol):
    async def find(self, user_id: UserId, *, using: Queries | None = None) -> UserView | None: ...


class HookCaller(Protocol):
    """Fires hooks: those of the core's specs, or of the plugin's own."""

    def subscribers(self, hook: str) -> list[str]:
        """Names of the plugins that implement it, in the order in which they are called."""
        ...

    async def authorize(self, hook: str, /, **facts: Any) -> None:
        """`authorize_*`, `validate_*`: the first DoramiError that an implementation raises is raised here."""
        ...

    async def filter(self, hook: str, value: T, /, **facts: Any) -> T:
        """`adjust_*`, `filter_*`: each implementation gets the value of the one before and returns the next."""
        ...

    async def choose(self, hook: str, /, **facts: Any) -> Any:
        """`choose_*`: the first answer that is not None, else None."""
        ...

    async def in_tx(self, hook: str, tx: Tx, /, **facts: Any) -> None:
        """`*_in_tx`: an error rolls the transaction back."""
        ...


class Host(Protocol):
    """One object per plugin; everything in it may be kept."""

    @property
    def db(self) -> Database: ...
    @property
    def rooms(self) -> Rooms: ...
    @property
    def deadlines(self) -> Deadlines: ...
    @property
    def streams(self) -> StreamDirectory: ...
    @property
    def users(self) -> UserDirectory: ...
    @property
    def recordings(self) -> Recordings: ...
    @property
    def hooks(self) -> HookCaller: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def currency(self) -> str:
        """`shop.currency`."""
        ...

    @property
    def timezone(self) -> str:
        """`shop.timezone`."""
        ...

    @property
    def web_port(self) -> int: ...
    @property
    def edge_port(self) -> int:
        """The port of the edge, once it listens."""
        ...

    def settings(self, section: type[T]) -> T:
        """The plugin's own section, as the class it registered."""
        ...

    def provide(self, api: type[T], implementation: T) -> None:
        """Offers an `api.py` class to the plugins that require this one."""
        ...

    def api(self, api: type[T]) -> T:
        """What a required plugin provided."""
        ...


DeadlineHandler = Callable[[Tx, Sequence[str]], Awaitable[None]]
"""Gets due keys of one kind, inside a transaction. Must lock, re-check against `core.now()`, and be idempotent; the
timers are removed with the same transaction."""

BackgroundTask = Callable[[], Awaitable[None]]
DemoSeed = Callable[[StreamKey], Awaitable[None]]
