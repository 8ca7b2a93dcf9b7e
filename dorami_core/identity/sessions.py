"""Refresh tokens: kept as hashes, changed at each use; an old one that comes back ends its whole family.

A token is `<session id, 32 hex digits>.<256 random bits>`. The id in front proves nothing: it lets a CSRF token of the
session count while there is no access token, and nothing else reads it.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from uuid import UUID

import attrs
import structlog

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import UserId, new_uuid
from dorami_core.hooks.transactions import Database

log = structlog.get_logger()

REFRESH_LIFETIME = timedelta(days=7)
_TOKEN_BYTES = 32


@attrs.frozen
class RefreshToken:
    """`token` is shown once; only its hash is kept."""

    token: str
    session_id: UUID
    user_id: UserId


def _new_token(session_id: UUID) -> str:
    return f"{session_id.hex}.{secrets.token_urlsafe(_TOKEN_BYTES)}"


def session_hint(token: str) -> UUID | None:
    """The session that a refresh token claims to be of."""
    try:
        return UUID(hex=token.partition(".")[0])
    except ValueError:
        return None


def _hash(token: str) -> bytes:
    # 256 random bits need no salt and no slow hash.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class SessionStore:
    """Sign-ins and their refresh tokens. A session lives 7 days after its last rotation."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def open(self, user_id: UserId) -> RefreshToken:
        """A new sign-in with its first token."""
        session_id = new_uuid()
        fresh = RefreshToken(_new_token(session_id), session_id, user_id)
        await self._db.execute(
            """WITH session AS (
                   INSERT INTO core.sessions (id, user_id, current_hash, expires_at)
                   VALUES ($1, $2, $3, core.now() + $4::interval) RETURNING id
               )
               INSERT INTO core.refresh_tokens (token_hash, session_id) SELECT $3, id FROM session""",
            fresh.session_id,
            user_id,
            _hash(fresh.token),
            REFRESH_LIFETIME,
        )
        return fresh

    async def rotate(self, token: str) -> RefreshToken:
        """The next token of the family. UNAUTHORIZED where the token is unknown, its session is over, or the token was
        used before: then the session ends here, since two people hold it.

        One statement; the session's row lock decides between two that come with the same token.
        """
        claimed = session_hint(token)
        if claimed is None:
            raise DoramiError("UNAUTHORIZED")
        fresh = _new_token(claimed)
        row = await self._db.fetchrow(
            """WITH session AS (
                   SELECT s.id, s.user_id, s.current_hash = $1 AS is_current,
                          s.ended_at IS NULL AND s.expires_at > core.now() AND u.status = 'ACTIVE' AS is_open
                     FROM core.refresh_tokens t
                     JOIN core.sessions s ON s.id = t.session_id
                     JOIN core.users u ON u.id = s.user_id
                    WHERE t.token_hash = $1
                      FOR UPDATE OF s
               ), moved AS (
                   UPDATE core.sessions s
                      SET current_hash = CASE WHEN o.is_current THEN $2 ELSE s.current_hash END,
                          expires_at = CASE WHEN o.is_current THEN core.now() + $3::interval ELSE s.expires_at END,
                          ended_at = CASE WHEN o.is_current THEN NULL ELSE core.now() END,
                          end_reason = CASE WHEN o.is_current THEN NULL ELSE 'reuse' END
                     FROM session o
                    WHERE s.id = o.id AND o.is_open
               ), added AS (
                   INSERT INTO core.refresh_tokens (token_hash, session_id)
                   SELECT $2, id FROM session WHERE is_open AND is_current
               )
               SELECT id, user_id, is_current, is_open FROM session""",
            _hash(token),
            _hash(fresh),
            REFRESH_LIFETIME,
        )
        if row is None or not row["is_open"]:
            raise DoramiError("UNAUTHORIZED")
        if not row["is_current"]:
            log.warning("identity.refresh_token_reused", session=str(row["id"]), user=str(row["user_id"]))
            raise DoramiError("UNAUTHORIZED", reason="reused")
        return RefreshToken(fresh, row["id"], row["user_id"])

    async def end(self, token: str) -> None:
        """Ends the session of a refresh token; an unknown one is ignored."""
        await self._db.execute(
            """UPDATE core.sessions s SET ended_at = core.now(), end_reason = 'logout'
                 FROM core.refresh_tokens t
                WHERE t.token_hash = $1 AND s.id = t.session_id AND s.ended_at IS NULL""",
            _hash(token),
        )

    async def end_session(self, session_id: UUID) -> None:
        """Ends a session by its id; one that is over is left as it is."""
        await self._db.execute(
            "UPDATE core.sessions SET ended_at = core.now(), end_reason = 'logout' WHERE id = $1 AND ended_at IS NULL",
            session_id,
        )

    async def purge(self) -> None:
        """Removes sessions that have been over for a day, with their tokens."""
        await self._db.execute(
            "DELETE FROM core.sessions WHERE least(ended_at, expires_at) < core.now() - interval '1 day'"
        )
