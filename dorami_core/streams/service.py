"""Broadcasts as rows: making, finding, editing, ending them, and what an encoder needs. Implements StreamDirectory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import attrs

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import StreamKey, is_stream_key, new_publish_secret, new_stream_key
from dorami_core.events.streams import StreamChanged, StreamCreated
from dorami_core.hooks.host import StreamStatus, StreamView, ViewerMinute
from dorami_core.hooks.transactions import Database
from dorami_core.streams import store, viewer_minutes
from dorami_core.streams.broadcasts import Broadcasts
from dorami_core.streams.model import PublishAddress, StreamRow
from dorami_core.streams.signal import Signal

LIST_LIMIT = 100


@attrs.frozen
class StreamPatch:
    """What is None stays as it is."""

    title: str | None = None
    scheduled_at: datetime | None = None
    free_shipping_enabled: bool | None = None


class StreamService:
    """`rtmp_port` and `viewer_count` are asked at each call: the port is known only once ingest listens."""

    def __init__(
        self,
        db: Database,
        broadcasts: Broadcasts,
        clock: Clock,
        *,
        rtmp_port: Callable[[], int],
        rtmp_public_host: str = "",
        viewer_count: Callable[[str], int] = lambda _: 0,
    ) -> None:
        self._db = db
        self._broadcasts = broadcasts
        self._clock = clock
        self._rtmp_port = rtmp_port
        self._rtmp_public_host = rtmp_public_host
        self._viewer_count = viewer_count

    # StreamDirectory

    async def find(self, stream_key: str) -> StreamView | None:
        row = await self.find_row(stream_key)
        return row.view if row else None

    async def live(self) -> Sequence[StreamView]:
        return [row.view for row in await store.list_on_air(self._db, LIST_LIMIT)]

    async def upcoming(self) -> Sequence[StreamView]:
        return [row.view for row in await store.list_upcoming(self._db, LIST_LIMIT)]

    async def list_all(self, limit: int = 50) -> Sequence[StreamView]:
        return [row.view for row in await store.list_newest(self._db, limit)]

    def viewer_count(self, stream_key: str) -> int:
        return self._viewer_count(stream_key)

    async def viewer_minutes(self, stream_key: str) -> Sequence[ViewerMinute]:
        row = await self.find_row(stream_key)
        return [] if row is None else await viewer_minutes.list_session(self._db, row.stream_key, row.session_no)

    # The rest

    async def signal(self, stream_key: str) -> Signal:
        """Of the publisher, in the process that takes it in; STREAM_NOT_FOUND, elsewhere UNAVAILABLE."""
        await self.get(stream_key)
        return self._broadcasts.signal(stream_key)

    async def find_row(self, stream_key: str) -> StreamRow | None:
        return await store.find(self._db, stream_key) if is_stream_key(stream_key) else None

    async def status(self, stream_key: str) -> StreamStatus | None:
        """The status now; without a query for a broadcast that this process owns. None for an unknown key."""
        known = self._broadcasts.status(stream_key)
        if known is not None:
            return known
        row = await self.find_row(stream_key)
        return row.status if row else None

    async def create(
        self,
        *,
        title: str,
        scheduled_at: datetime | None = None,
        free_shipping_enabled: bool = False,
        stream_key: StreamKey | None = None,
    ) -> StreamRow:
        """A PENDING broadcast. The key is made here unless one is given; one that is taken is a CONFLICT."""
        async with self._db.transaction() as tx:
            row = await store.insert(
                tx,
                stream_key or new_stream_key(),
                title=title,
                secret=new_publish_secret(),
                scheduled_at=scheduled_at,
                free_shipping_enabled=free_shipping_enabled,
                created_at=self._clock.now(),
            )
            if row is None:
                raise DoramiError("CONFLICT", streamKey=stream_key)
            tx.emit(StreamCreated(stream_key=row.stream_key, title=row.title, scheduled_at=row.scheduled_at))
        return row

    async def ensure(self, stream_key: StreamKey, *, title: str) -> StreamRow:
        """The broadcast of a fixed key (the demo), made if it is not there."""
        row = await self.find_row(stream_key)
        return row or await self.create(title=title, stream_key=stream_key)

    async def patch(self, stream_key: str, patch: StreamPatch) -> StreamRow:
        """Edits title, schedule or free shipping, whatever the status; STREAM_NOT_FOUND."""
        changes: dict[str, Any] = {
            name: value for name, value in attrs.asdict(patch, recurse=False).items() if value is not None
        }
        if not changes:
            return await self.get(stream_key)
        async with self._db.transaction() as tx:
            row = await store.edit(tx, stream_key, changes)
            if row is None:
                raise DoramiError("STREAM_NOT_FOUND")
            tx.emit(StreamChanged(stream_key=row.stream_key, title=row.title, scheduled_at=row.scheduled_at))
        return row

    async def get(self, stream_key: str) -> StreamRow:
        """STREAM_NOT_FOUND for an unknown key."""
        row = await self.find_row(stream_key)
        if row is None:
            raise DoramiError("STREAM_NOT_FOUND")
        return row

    async def end(self, stream_key: str) -> StreamRow:
        """Ends a broadcast for good and cuts its publisher; a second call changes nothing. STREAM_NOT_FOUND."""
        row = await self._broadcasts.end(StreamKey(stream_key)) if is_stream_key(stream_key) else None
        if row is None:
            raise DoramiError("STREAM_NOT_FOUND")
        return row

    async def open_secret(self, stream_key: str) -> str | None:
        """The secret of a broadcast that may be published; None for one that is unknown or ended for good."""
        row = await self.find_row(stream_key)
        return row.secret if row is not None and not row.closed else None

    async def rotate_secret(self, stream_key: str) -> StreamRow:
        """A new secret for the next publisher; the one that publishes goes on. STREAM_NOT_FOUND."""
        row = await store.set_secret(self._db, stream_key, new_publish_secret())
        if row is None:
            raise DoramiError("STREAM_NOT_FOUND")
        return row

    async def page(self, which: str, *, limit: int, offset: int) -> list[StreamRow]:
        """`which`: live, upcoming or all."""
        lists = {"live": store.list_on_air, "upcoming": store.list_upcoming, "all": store.list_newest}
        return await lists[which](self._db, limit, offset)

    def publish_address(self, row: StreamRow, request_host: str) -> PublishAddress:
        """For an encoder: `rtmp.public_host`, else the host name that the request used."""
        host = self._rtmp_public_host or request_host
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return PublishAddress(
            url=f"rtmp://{host}:{self._rtmp_port()}/live", key=f"{row.stream_key}?secret={row.secret}"
        )
