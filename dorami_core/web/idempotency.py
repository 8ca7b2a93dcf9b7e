"""A POST with an Idempotency-Key is answered once and remembered for 24 h, per person and path."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

import attrs

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import ViewerId, new_uuid
from dorami_core.hooks.transactions import Database
from dorami_core.web.bodies import refuse

HEADER = "idempotency-key"
MAX_KEY_CHARS = 200
HANDLER_LIMIT_S = 8.0
"""How long a handler may go on when its client is gone; less than the time a stop takes at most."""
ABANDONED = "1 minute"
"""A claim of a process that died is free again after this."""
UNSETTLED_BOUND = 1000
"""Claims whose end the database could not be told; the oldest are left to time, as those of a process that died."""


@attrs.frozen
class Claim:
    """This request is the first of its key and has to be answered."""

    id: UUID
    viewer: ViewerId
    route: str
    key: str


@attrs.frozen
class Remembered:
    """What was answered before."""

    status: int
    body: bytes


def checked_key(text: str) -> str:
    if not 1 <= len(text) <= MAX_KEY_CHARS or not text.isascii() or not text.isprintable():
        refuse("Idempotency-Key", f"must be 1 to {MAX_KEY_CHARS} printable ASCII characters")
    return text


def body_hash(value: Any) -> bytes:
    """Of the parsed body, so that blanks and the order of fields do not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).digest()


class IdempotencyStore:
    """Rows of `core.idempotency`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._unsettled: dict[tuple[ViewerId, str, str], tuple[Claim, Remembered | None]] = {}

    async def claim(self, viewer: ViewerId, route: str, key: str, hashed: bytes) -> Claim | Remembered:
        """CONFLICT where the key came with another body, or its first request is still being answered."""
        if (unsettled := self._unsettled.get((viewer, route, key))) is not None:
            await self._settle(*unsettled)
        claim = Claim(new_uuid(), viewer, route, key)
        try:
            won = await self._insert(claim, hashed)
        except DoramiError:
            self._keep(claim, None)  # it may be there all the same
            raise
        if won:
            return claim
        row = await self._db.fetchrow(
            "SELECT body_hash, status, body FROM core.idempotency WHERE viewer = $1 AND route = $2 AND key = $3",
            viewer,
            route,
            key,
        )
        if row is not None and row["body_hash"] != hashed:
            raise DoramiError("CONFLICT", reason="idempotency_key_reused")
        if row is None or row["status"] is None:
            # Gone between the two statements: the first request failed in a way worth trying again.
            raise DoramiError("CONFLICT", retry_after_ms=1000, reason="in_progress")
        return Remembered(row["status"], row["body"])

    async def _insert(self, claim: Claim, hashed: bytes) -> bool:
        won = await self._db.fetchval(
            f"""INSERT INTO core.idempotency AS i (viewer, route, key, claim, body_hash) VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT (viewer, route, key) DO UPDATE
                   SET claim = excluded.claim, body_hash = excluded.body_hash, status = NULL, body = NULL,
                       created_at = core.now()
                 WHERE i.created_at < core.now() - interval '24 hours'
                    OR (i.status IS NULL AND i.created_at < core.now() - interval '{ABANDONED}')
                RETURNING true""",
            claim.viewer,
            claim.route,
            claim.key,
            claim.id,
            hashed,
        )
        return won is not None

    async def remember(self, claim: Claim, status: int, body: bytes) -> None:
        """Keeps the answer, unless the claim was given up for dead meanwhile. Where the database is gone it is kept at
        the next request of the same key."""
        await self._settle(claim, Remembered(status, body))

    async def forget(self, claim: Claim) -> None:
        """Frees the key: nothing was done, and trying again is right. Where the database is gone, as above."""
        await self._settle(claim, None)

    def _keep(self, claim: Claim, answer: Remembered | None) -> None:
        if len(self._unsettled) == UNSETTLED_BOUND:
            del self._unsettled[next(iter(self._unsettled))]
        self._unsettled[claim.viewer, claim.route, claim.key] = (claim, answer)

    async def _settle(self, claim: Claim, answer: Remembered | None) -> None:
        self._keep(claim, answer)
        which = (claim.viewer, claim.route, claim.key)
        where = "WHERE viewer = $1 AND route = $2 AND key = $3 AND claim = $4"
        if answer is None:
            await self._db.execute(f"DELETE FROM core.idempotency {where}", *which, claim.id)
        else:
            sql = f"UPDATE core.idempotency SET status = $5, body = $6 {where}"
            await self._db.execute(sql, *which, claim.id, answer.status, answer.body)
        self._unsettled.pop(which, None)

    async def purge(self) -> None:
        """Removes what is older than 24 h."""
        await self._db.execute("DELETE FROM core.idempotency WHERE created_at < core.now() - interval '24 hours'")
