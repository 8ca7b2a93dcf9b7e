"""SQL over the moderation tables of schema `chat`. Every change begins with `begin`, whose row lock orders them all."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from dorami_core.base.ids import UserId, new_uuid
from dorami_core.hooks.transactions import Queries, Row, Tx

ROOMS_KEPT = "30 days"
"""The mode of a room that nobody changed for so long is not kept in memory."""

Person = Literal["bans", "timeouts", "moderators"]


async def version(db: Queries) -> int:
    found: int = await db.fetchval("SELECT version FROM chat.version")
    return found


async def snapshot(db: Queries, now: datetime) -> Row:
    """All that processes keep in memory, as of one moment."""
    return await db.fetchrow(
        f"""SELECT version,
                   coalesce((SELECT array_agg(user_id) FROM chat.bans), '{{}}') AS banned,
                   coalesce((SELECT array_agg(user_id) FROM chat.moderators), '{{}}') AS moderators,
                   coalesce((SELECT jsonb_agg(jsonb_build_object('userId', user_id, 'until', until))
                               FROM chat.timeouts WHERE until > $1), '[]') AS timeouts,
                   coalesce((SELECT array_agg(normal) FROM chat.banned_words), '{{}}') AS words,
                   coalesce((SELECT jsonb_agg(jsonb_build_object('streamKey', stream_key, 'frozen', frozen,
                                                                 'slowS', slow_s, 'pinned', pinned))
                               FROM chat.rooms
                              WHERE (frozen OR slow_s > 0 OR pinned IS NOT NULL)
                                AND changed_at > $1::timestamptz - interval '{ROOMS_KEPT}'), '[]') AS rooms
              FROM chat.version""",
        now,
    )


async def begin(tx: Tx, by: UserId, at: datetime, act: str, subject: str, **facts: Any) -> None:
    """Takes the lock, raises the version and writes down who did what."""
    await tx.execute("UPDATE chat.version SET version = version + 1")
    await tx.execute(
        "INSERT INTO chat.acts (at, by_user, act, subject, facts) VALUES ($1, $2, $3, $4, $5)",
        at,
        by,
        act,
        subject,
        facts,
    )


async def ban(tx: Tx, user_id: UserId, name: str, reason: str, by: UserId, at: datetime) -> None:
    """Twice keeps the first."""
    await tx.execute(
        """INSERT INTO chat.bans (user_id, display_name, reason, by_user, at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT DO NOTHING""",
        user_id,
        name,
        reason,
        by,
        at,
    )


async def time_out(tx: Tx, user_id: UserId, name: str, until: datetime, by: UserId, at: datetime) -> None:
    """The last one counts, also where it is shorter."""
    await tx.execute(
        """INSERT INTO chat.timeouts (user_id, display_name, until, by_user, at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (user_id) DO UPDATE SET display_name = $2, until = $3, by_user = $4, at = $5""",
        user_id,
        name,
        until,
        by,
        at,
    )


async def appoint(tx: Tx, user_id: UserId, name: str, by: UserId, at: datetime) -> None:
    await tx.execute(
        """INSERT INTO chat.moderators (user_id, display_name, by_user, at) VALUES ($1, $2, $3, $4)
           ON CONFLICT DO NOTHING""",
        user_id,
        name,
        by,
        at,
    )


async def forget(tx: Tx, which: Person, user_id: UserId) -> None:
    """Ends a ban, a timeout or a moderator's office; one that is not there ends too."""
    await tx.execute(f"DELETE FROM chat.{which} WHERE user_id = $1", user_id)


async def ban_word(tx: Tx, word: str, normal: str, by: UserId, at: datetime, most: int) -> UUID | None:
    """The id of the word, the known one where it is there already; None where there are `most` already."""
    known: UUID | None = await tx.fetchval("SELECT id FROM chat.banned_words WHERE normal = $1", normal)
    if known is not None:
        return known
    if await tx.fetchval("SELECT count(*) FROM chat.banned_words") >= most:
        return None
    word_id = new_uuid()
    await tx.execute(
        "INSERT INTO chat.banned_words (id, word, normal, by_user, at) VALUES ($1, $2, $3, $4, $5)",
        word_id,
        word,
        normal,
        by,
        at,
    )
    return word_id


async def allow_word(tx: Tx, word_id: UUID) -> None:
    await tx.execute("DELETE FROM chat.banned_words WHERE id = $1", word_id)


async def set_mode(tx: Tx, stream_key: str, frozen: bool | None, slow_s: int | None, at: datetime) -> None:
    """What is None stays as it is."""
    await tx.execute(
        """INSERT INTO chat.rooms (stream_key, frozen, slow_s, changed_at)
           VALUES ($1, coalesce($2, false), coalesce($3, 0), $4)
           ON CONFLICT (stream_key) DO UPDATE SET
               frozen = coalesce($2, rooms.frozen), slow_s = coalesce($3, rooms.slow_s), changed_at = $4""",
        stream_key,
        frozen,
        slow_s,
        at,
    )


async def pin(tx: Tx, stream_key: str, pinned: dict[str, Any] | None, at: datetime) -> bool:
    """None takes the pinned message away. False for a message that was deleted meanwhile."""
    if pinned is not None and await tx.fetchval(
        "SELECT true FROM chat.deletions WHERE message_id = $1", UUID(pinned["id"])
    ):
        return False
    await tx.execute(
        """INSERT INTO chat.rooms (stream_key, pinned, changed_at) VALUES ($1, $2, $3)
           ON CONFLICT (stream_key) DO UPDATE SET pinned = $2, changed_at = $3""",
        stream_key,
        pinned,
        at,
    )
    return True


async def mark_deleted(tx: Tx, stream_key: str, message_id: UUID, by: UserId, at: datetime) -> bool:
    """Writes down the deletion; who was first stays. True where the message was pinned, and is not any more."""
    await tx.execute(
        "INSERT INTO chat.deletions (message_id, by_user, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        message_id,
        by,
        at,
    )
    found = await tx.fetchval(
        """UPDATE chat.rooms SET pinned = NULL, changed_at = $3
            WHERE stream_key = $1 AND pinned ->> 'id' = $2 RETURNING true""",
        stream_key,
        str(message_id),
        at,
    )
    return bool(found)


async def page_of(db: Queries, which: Person, now: datetime, limit: int, offset: int) -> list[Row]:
    """Newest first; of timeouts those that still run."""
    where = "WHERE until > $3" if which == "timeouts" else "WHERE $3::timestamptz IS NOT NULL"
    return list(
        await db.fetch(
            f"SELECT * FROM chat.{which} {where} ORDER BY at DESC, user_id LIMIT $1 OFFSET $2", limit, offset, now
        )
    )


async def words(db: Queries, limit: int, offset: int) -> list[Row]:
    """In the order of the alphabet."""
    return list(
        await db.fetch("SELECT id, word, at FROM chat.banned_words ORDER BY word, id LIMIT $1 OFFSET $2", limit, offset)
    )
