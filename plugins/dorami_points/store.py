"""SQL of points. All that writes is called with the user's account locked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from dorami_core.hooks import Queries, Row, Tx
from dorami_points.api import EntryKind

SHOWN_MISMATCHES = 100
KEPT_PROOFS = 400

_TAKE = """WITH lots AS (
    SELECT id, rest, sum(rest) OVER (ORDER BY id = $3 DESC, expires_at, id) - rest AS before
    FROM points.lots WHERE user_id = $1 AND rest > 0
)
INSERT INTO points.allotments (entry_id, lot_id, amount)
SELECT $2, id, least(rest, $4::bigint - before) FROM lots WHERE before < $4::bigint"""

_SETTLE = """WITH debts AS (
    SELECT id, rest, sum(rest) OVER (ORDER BY id) - rest AS before
    FROM points.debts WHERE user_id = $1 AND rest > 0
)
INSERT INTO points.allotments (entry_id, lot_id, amount)
SELECT id, $2, least(rest, $3::bigint - before) FROM debts WHERE before < $3::bigint"""

_PROOF = """
SELECT user_id, id, 'balance_after is not the sum' AS problem FROM (
    SELECT user_id, id, balance_after, sum(amount) OVER (PARTITION BY user_id ORDER BY id) AS added FROM points.ledger
) s WHERE balance_after <> added
UNION ALL SELECT user_id, id, 'more was taken from a lot than was in it' FROM points.lots WHERE rest < 0
UNION ALL SELECT user_id, id, 'more was allotted to an entry than it took' FROM points.debts WHERE rest < 0
UNION ALL SELECT e.user_id, e.id, 'taken from what is no lot of the same user'
    FROM points.allotments a JOIN points.ledger e ON e.id = a.entry_id JOIN points.ledger l ON l.id = a.lot_id
    WHERE e.user_id <> l.user_id OR e.amount > 0 OR l.amount < 0
UNION ALL SELECT l.user_id, NULL, 'owes while a lot has something left'
    FROM (SELECT user_id, sum(rest) AS rest FROM points.lots GROUP BY user_id) l
    JOIN (SELECT user_id, sum(rest) AS rest FROM points.debts GROUP BY user_id) d USING (user_id)
    WHERE l.rest > 0 AND d.rest > 0
UNION ALL SELECT user_id, reverses, 'more was undone than was done' FROM (
    SELECT r.user_id, r.reverses, sum(r.amount) + o.amount AS rest, sign(o.amount) AS side
    FROM points.ledger r JOIN points.ledger o ON o.id = r.reverses GROUP BY r.user_id, r.reverses, o.amount
) u WHERE rest * side < 0
"""


async def lock_accounts(tx: Tx, user_ids: Sequence[UUID]) -> None:
    """In the order of their ids, made where they are missing; after all rows of stock, carts and orders."""
    ordered = sorted(set(user_ids))
    await tx.execute(
        "INSERT INTO points.accounts (user_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING",
        ordered,
    )
    await tx.execute("SELECT FROM points.accounts WHERE user_id = ANY($1::uuid[]) ORDER BY user_id FOR UPDATE", ordered)


async def balance(db: Queries, user_id: UUID) -> int:
    total: int = await db.fetchval(
        "SELECT coalesce(sum(amount), 0)::bigint FROM points.ledger WHERE user_id = $1", user_id
    )
    return total


async def summary(db: Queries, user_id: UUID) -> Row:
    """One row, whether the user ever had points or not."""
    return await db.fetchrow(
        """SELECT coalesce(sum(amount), 0)::bigint AS balance, core.now() AS server_time,
                  coalesce(sum(amount) FILTER (WHERE kind IN ('EARNED_ORDER', 'TAKEN_BACK_ORDER')
                                               OR kind = 'ADJUSTED' AND amount > 0), 0)::bigint AS earned,
                  coalesce(-sum(amount) FILTER (WHERE kind IN ('USED_ORDER', 'RETURNED_ORDER')), 0)::bigint AS used,
                  coalesce(-sum(amount) FILTER (WHERE kind = 'EXPIRED'), 0)::bigint AS expired,
                  (SELECT expires_at FROM points.lots WHERE user_id = $1 AND rest > 0
                   ORDER BY expires_at LIMIT 1) AS next_at,
                  coalesce((SELECT sum(rest) FROM points.lots WHERE user_id = $1 AND rest > 0
                            GROUP BY expires_at ORDER BY expires_at LIMIT 1), 0)::bigint AS next_amount
           FROM points.ledger WHERE user_id = $1""",
        user_id,
    )


async def page(db: Queries, user_id: UUID, before: int | None, limit: int) -> Sequence[Row]:
    """Newest first."""
    return await db.fetch(
        """SELECT * FROM points.ledger WHERE user_id = $1 AND ($2::bigint IS NULL OR id < $2)
           ORDER BY id DESC LIMIT $3""",
        user_id,
        before,
        limit,
    )


async def _append(tx: Tx, user_id: UUID, kind: EntryKind, amount: int, values: dict[str, Any]) -> Row:
    row = await tx.fetchrow(
        """INSERT INTO points.ledger (user_id, kind, amount, balance_after, order_id, reverses, expires_at, reason,
                                      made_by)
           SELECT $1, $2, $3::bigint, coalesce(sum(amount), 0) + $3::bigint, $4, $5, $6, $7, $8
           FROM points.ledger WHERE user_id = $1 RETURNING *""",
        user_id,
        kind,
        amount,
        *(values.get(name) for name in ("order_id", "reverses", "expires_at", "reason", "made_by")),
    )
    assert row is not None
    return row


async def add(tx: Tx, user_id: UUID, kind: EntryKind, amount: int, expires_at: datetime, **values: Any) -> Row:
    """A new lot; what is owed is settled from it at once."""
    row = await _append(tx, user_id, kind, amount, {**values, "expires_at": expires_at})
    await tx.execute(_SETTLE, user_id, row["id"], amount)
    return row


async def take(tx: Tx, user_id: UUID, kind: EntryKind, amount: int, *, first: int | None = None, **values: Any) -> Row:
    """From the lot `first`, then from what expires first; what no lot covers is owed."""
    row = await _append(tx, user_id, kind, -amount, values)
    await tx.execute(_TAKE, user_id, row["id"], first, amount)
    return row


async def expire(tx: Tx, user_id: UUID) -> None:
    """An EXPIRED entry for each lot whose time has come and which has something left."""
    for lot in await tx.fetch(
        "SELECT id, rest FROM points.lots WHERE user_id = $1 AND rest > 0 AND expires_at <= core.now() "
        "ORDER BY expires_at, id",
        user_id,
    ):
        await take(tx, user_id, "EXPIRED", lot["rest"], first=lot["id"])


async def lapse(db: Queries, days: float) -> datetime:
    """`days` from now by PostgreSQL's clock."""
    moment: datetime = await db.fetchval("SELECT core.now() + make_interval(secs => $1 * 86400.0)", days)
    return moment


async def open_entries(db: Queries, order_id: str) -> Sequence[Row]:
    """What the order used or earned and was not undone. They change only while the order is locked."""
    return await db.fetch(
        """SELECT * FROM points.ledger l WHERE order_id = $1 AND kind IN ('USED_ORDER', 'EARNED_ORDER')
           AND NOT EXISTS (SELECT FROM points.ledger r WHERE r.reverses = l.id) ORDER BY id""",
        order_id,
    )


async def parts(tx: Tx, entry_id: int, grace_days: float) -> Sequence[Row]:
    """What a use is returned as: an amount for each expiry. What was owed or is about to lapse gets the grace."""
    return await tx.fetch(
        """WITH floor AS MATERIALIZED (SELECT core.now() + make_interval(secs => $2 * 86400.0) AS at),
                taken AS (SELECT l.expires_at, a.amount FROM points.allotments a JOIN points.ledger l ON l.id = a.lot_id
                          WHERE a.entry_id = $1
                          UNION ALL SELECT NULL, rest FROM points.debts WHERE id = $1 AND rest > 0)
           SELECT greatest(taken.expires_at, floor.at) AS expires_at, sum(amount)::bigint AS amount
           FROM taken, floor GROUP BY 1 ORDER BY 1""",
        entry_id,
        grace_days,
    )


async def expired_of(tx: Tx, lot_id: int) -> int:
    """How much of a lot has expired."""
    amount: int = await tx.fetchval(
        """SELECT coalesce(sum(a.amount), 0)::bigint FROM points.allotments a JOIN points.ledger l ON l.id = a.entry_id
           WHERE a.lot_id = $1 AND l.kind = 'EXPIRED'""",
        lot_id,
    )
    return amount


async def owners(db: Queries, lot_ids: Sequence[int]) -> list[UUID]:
    rows = await db.fetch("SELECT DISTINCT user_id FROM points.ledger WHERE id = ANY($1::bigint[])", list(lot_ids))
    return [row["user_id"] for row in rows]


async def proof(db: Queries) -> Sequence[Row]:
    """`user_id`, `id`, `problem` of all that does not agree."""
    return await db.fetch(_PROOF)


async def keep_proof(tx: Tx, night: date | None) -> Row | None:
    """Proves, and writes what was found, in one statement: all of it is of one moment. None where that night has its
    proof already."""
    row = await tx.fetchrow(
        f"""WITH wrong AS MATERIALIZED (SELECT user_id, id, problem FROM ({_PROOF}) p)
            INSERT INTO points.proofs (night, accounts, entries, problems, mismatches)
            SELECT $1::date, (SELECT count(*) FROM points.accounts), (SELECT count(*) FROM points.ledger),
                   (SELECT count(*) FROM wrong),
                   (SELECT coalesce(jsonb_agg(to_jsonb(w)), '[]') FROM (SELECT * FROM wrong LIMIT {SHOWN_MISMATCHES}) w)
            ON CONFLICT (night) DO NOTHING RETURNING *""",
        night,
    )
    await tx.execute(
        "DELETE FROM points.proofs WHERE id <= (SELECT max(id) FROM points.proofs) - $1::integer", KEPT_PROOFS
    )
    return row


async def proofs(db: Queries, limit: int) -> Sequence[Row]:
    return await db.fetch("SELECT * FROM points.proofs ORDER BY id DESC LIMIT $1", limit)


async def accounts(db: Queries, limit: int) -> Sequence[Row]:
    """Of the newest entries, those of different users."""
    return await db.fetch(
        """WITH newest AS (SELECT user_id, max(id) AS id FROM points.ledger GROUP BY user_id ORDER BY 2 DESC LIMIT $1)
           SELECT n.user_id, l.balance_after AS balance, l.created_at AS last_at
           FROM newest n JOIN points.ledger l ON l.id = n.id ORDER BY n.id DESC""",
        limit,
    )
