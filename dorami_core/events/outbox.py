"""The outbox: events written in the transaction, delivered after the commit, at least once, in order per aggregate.

One process delivers at a time (a session's advisory lock). It gives each row that it can see a position; a cursor per
subscriber says how far it got. What a subscriber fails on is parked, and with it all later events of that aggregate
for that subscriber; after `MAX_ATTEMPTS` failures it stays there as a dead letter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import attrs
import structlog
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import new_uuid
from dorami_core.events.codec import EventCodec
from dorami_core.events.model import Event, EventMeta
from dorami_core.hooks.transactions import Database, Queries, Row

log = structlog.get_logger()

MAX_ATTEMPTS = 8
BATCH = 200
RETRY_S = 0.25
LOOK_S = 1.0
"""What nobody has rung for, and nothing parked was due before, is found after at most this."""
KEPT_DAYS = 7
PURGE_EVERY_S = 3600.0
LOCK_KEY = 0x646F72616D690001
CHANNEL = "dorami_outbox"
RING_PAUSE_S = 0.02

WRITE = """
WITH new AS (
    SELECT e->>'id' AS event_id, e->>'type' AS type, e->>'aggregate' AS aggregate, e->'payload' AS payload, n,
           row_number() OVER (PARTITION BY e->>'aggregate' ORDER BY n) AS nth
    FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS t(e, n)
), counted AS (
    INSERT INTO core.aggregates AS a (aggregate, seq)
    SELECT aggregate, count(*) FROM new GROUP BY aggregate ORDER BY aggregate
    ON CONFLICT (aggregate) DO UPDATE SET seq = a.seq + excluded.seq
    RETURNING aggregate, seq
), totals AS (
    SELECT aggregate, count(*) AS n FROM new GROUP BY aggregate
)
INSERT INTO core.outbox (event_id, type, aggregate, aggregate_seq, payload)
SELECT new.event_id::uuid, new.type, new.aggregate, counted.seq - totals.n + new.nth, new.payload
FROM new JOIN counted USING (aggregate) JOIN totals USING (aggregate) ORDER BY new.n
"""

PLACE = """
UPDATE core.outbox AS o SET position = placed.position
FROM (SELECT id, nextval('core.outbox_position') AS position
      FROM (SELECT id FROM core.outbox WHERE position IS NULL ORDER BY id LIMIT $1) AS seen) AS placed
WHERE o.id = placed.id
"""


LOOK = """
SELECT EXISTS (SELECT FROM core.outbox WHERE position IS NULL) AS is_new,
       (SELECT extract(epoch FROM min(retry_at) - core.now())::float8 FROM core.outbox_parked) AS retry_in_s
"""


class Deliver(Protocol):
    """Hands one event to one subscriber; raising means that it was not taken."""

    def __call__(self, subscriber: str, hook: str, /, **facts: Any) -> Awaitable[None]: ...


class Session(Queries, Protocol):
    async def listen(self, channel: str, heard: Callable[[], None]) -> None:
        """Calls `heard` for each NOTIFY until the session ends."""
        ...


class Sessions(Protocol):
    def acquire_session(self) -> Any:
        """An async context manager of a Session: one connection, for a lock that it holds and what it hears."""
        ...


@attrs.frozen
class OutboxStatistics:
    """`is_caught_up`: this process delivers, and its last round found nothing to deliver."""

    delivered: int
    failed: int
    dead: int
    is_deliverer: bool
    is_caught_up: bool


class OutboxWriter:
    """Writes buffered events with one statement. Aggregates are locked in the order of their names."""

    def __init__(self, codec: EventCodec) -> None:
        self._codec = codec

    async def __call__(self, tx: Queries, events: Sequence[Event]) -> None:
        rows = []
        for event in events:
            name, fields = self._codec.encode(event)
            rows.append({"id": str(new_uuid()), "type": name, "aggregate": event.aggregate, "payload": fields})
        await tx.execute(WRITE, rows)


class OutboxBell:
    """Tells the deliverer, in whichever process it is, that something was written.

    One NOTIFY for all commits of a moment, and outside of their transactions: with one inside, PostgreSQL would let
    no two of them commit at the same time. One that is lost costs `LOOK_S`.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._wanted = trio.Event()

    def ring(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        """For ever; at most one NOTIFY every `RING_PAUSE_S`."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            try:
                await self._db.execute("SELECT pg_notify($1, '')", CHANNEL)
            except DoramiError as error:
                log.warning("outbox.bell_failed", error=str(error))
            await trio.sleep(RING_PAUSE_S)


class Outbox:
    """Delivers. `poke()` after a commit makes it look at once, or rings for the process that delivers; that one looks
    every `LOOK_S` anyway."""

    def __init__(
        self,
        db: Database,
        sessions: Sessions,
        codec: EventCodec,
        subscribers: Callable[[str], Sequence[str]],
        deliver: Deliver,
        ring: Callable[[], None] = lambda: None,
    ) -> None:
        self._db = db
        self._sessions = sessions
        self._codec = codec
        self._subscribers = {
            name: (kind.hook_name(), tuple(subscribers(kind.hook_name()))) for name, kind in codec.kinds().items()
        }
        self._all = tuple(sorted({name for _, names in self._subscribers.values() for name in names}))
        self._deliver = deliver
        self._ring = ring
        self._wake = trio.Event()
        self._delivered = self._failed = self._dead = 0
        self._is_deliverer = False
        self._is_caught_up = False

    def poke(self) -> None:
        self._wake.set()
        if not self._is_deliverer:
            self._ring()

    def statistics(self) -> OutboxStatistics:
        return OutboxStatistics(self._delivered, self._failed, self._dead, self._is_deliverer, self._is_caught_up)

    async def run(self) -> None:
        """Runs for ever: becomes the deliverer when nobody else is, and delivers. A lost database is waited for."""
        while True:
            try:
                async with self._sessions.acquire_session() as session:
                    await self._hold(session)
            except DoramiError as error:
                if error.code != "UNAVAILABLE":
                    raise
                log.warning("outbox.database_gone")
            finally:
                self._is_deliverer = self._is_caught_up = False
            await trio.sleep(RETRY_S)

    async def _hold(self, session: Session) -> None:
        while not await session.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):  # noqa: ASYNC110
            await trio.sleep(RETRY_S)
        self._is_deliverer = True
        await self._welcome()
        await session.listen(CHANNEL, self.poke)
        while True:
            self._wake = trio.Event()
            found = await session.fetchrow(LOOK)  # on this session, for the lock lives and dies with it
            assert found is not None
            retry_in_s: float | None = found["retry_in_s"]
            is_due = retry_in_s is not None and retry_in_s <= 0  # for ever, where it stands behind a dead letter
            if found["is_new"] or is_due or not self._is_caught_up:
                self._is_caught_up = not await self.deliver_once()
            if self._is_caught_up:
                with trio.move_on_after(LOOK_S if retry_in_s is None or is_due else min(LOOK_S, retry_in_s)):
                    await self._wake.wait()

    async def purge(self) -> None:
        """Removes what every subscriber has taken and is older than KEPT_DAYS; what is parked stays."""
        await self._db.execute(
            """DELETE FROM core.outbox o
               WHERE position <= (SELECT min(position) FROM core.outbox_cursors)
                 AND at < core.now() - make_interval(days => $1)
                 AND NOT EXISTS (SELECT FROM core.outbox_parked p WHERE p.position = o.position)""",
            KEPT_DAYS,
        )

    async def keep_house(self) -> None:
        """Purges once an hour, for ever. A lost database is waited for."""
        while True:
            try:
                await self.purge()
            except DoramiError as error:
                log.warning("outbox.purge_failed", error=str(error))
            await trio.sleep(PURGE_EVERY_S)

    async def _welcome(self) -> None:
        """A subscriber that is new begins with what no deliverer has given a position yet; one that is gone keeps its
        place, for its plugin may come back."""
        await self._db.execute(
            """INSERT INTO core.outbox_cursors (subscriber, position)
               SELECT name, coalesce((SELECT max(position) FROM core.outbox), 0) FROM unnest($1::text[]) AS name
               ON CONFLICT DO NOTHING""",
            list(self._all),
        )

    async def deliver_once(self) -> bool:
        """One round over all subscribers. True where something was delivered or tried."""
        await self._db.execute(PLACE, BATCH)
        worked = False
        for subscriber in self._all:
            worked |= await self._retry_parked(subscriber)
            worked |= await self._advance(subscriber)
        return worked

    async def _advance(self, subscriber: str) -> bool:
        rows = await self._db.fetch(
            """SELECT o.*, EXISTS (SELECT FROM core.outbox_parked p
                                   WHERE p.subscriber = $1 AND p.aggregate = o.aggregate) AS waits
               FROM core.outbox o
               WHERE o.position > (SELECT position FROM core.outbox_cursors WHERE subscriber = $1)
               ORDER BY o.position LIMIT $2""",
            subscriber,
            BATCH,
        )
        if not rows:
            return False
        parked: dict[str, None] = {}
        for row in rows:
            if row["waits"] or row["aggregate"] in parked:
                await self._park(subscriber, row, attempts=0, error=None)
                continue
            error = await self._try(subscriber, row)
            if error is not None:
                parked[row["aggregate"]] = None
                await self._park(subscriber, row, attempts=1, error=error)
        await self._db.execute(
            "UPDATE core.outbox_cursors SET position = $2 WHERE subscriber = $1", subscriber, rows[-1]["position"]
        )
        return True

    async def _retry_parked(self, subscriber: str) -> bool:
        rows = await self._db.fetch(
            """SELECT o.*, p.attempts FROM core.outbox_parked p JOIN core.outbox o USING (position)
               WHERE p.subscriber = $1 AND p.retry_at <= core.now() AND p.position =
                     (SELECT min(q.position) FROM core.outbox_parked q
                      WHERE q.subscriber = $1 AND q.aggregate = p.aggregate)
               ORDER BY p.position LIMIT $2""",
            subscriber,
            BATCH,
        )
        for row in rows:
            error = await self._try(subscriber, row)
            if error is None:
                await self._db.execute(
                    "DELETE FROM core.outbox_parked WHERE subscriber = $1 AND position = $2",
                    subscriber,
                    row["position"],
                )
            else:
                await self._park(subscriber, row, attempts=row["attempts"] + 1, error=error)
        return bool(rows)

    async def _try(self, subscriber: str, row: Row) -> str | None:
        hook, names = self._subscribers.get(row["type"], ("", ()))
        if subscriber not in names:
            return None
        try:
            event = self._codec.decode(row["type"], row["payload"])
            meta = EventMeta(
                id=row["event_id"], position=row["position"], aggregate_seq=row["aggregate_seq"], at=row["at"]
            )
            await self._deliver(subscriber, hook, event=event, meta=meta)
        except Exception as error:
            self._failed += 1
            log.exception("outbox.failed", subscriber=subscriber, kind=row["type"], position=row["position"])
            return f"{type(error).__name__}: {error}"[:500]
        self._delivered += 1
        return None

    async def _park(self, subscriber: str, row: Row, *, attempts: int, error: str | None) -> None:
        if attempts >= MAX_ATTEMPTS:
            self._dead += 1
            log.error("outbox.dead_letter", subscriber=subscriber, kind=row["type"], aggregate=row["aggregate"])
        await self._db.execute(
            """INSERT INTO core.outbox_parked (subscriber, position, aggregate, attempts, retry_at, error)
               VALUES ($1, $2, $3, $4::int, CASE WHEN $4::int >= $6 THEN NULL ELSE
                       core.now() + make_interval(secs => least(0.1 * 2 ^ $4::int, 30)) END, $5)
               ON CONFLICT (subscriber, position)
               DO UPDATE SET attempts = excluded.attempts, retry_at = excluded.retry_at, error = excluded.error""",
            subscriber,
            row["position"],
            row["aggregate"],
            attempts,
            error,
            MAX_ATTEMPTS,
        )
