"""The proof of a broadcast's sales: its products' ledgers as one file, without any person in it."""

from __future__ import annotations

from typing import Any

from dorami_core.hooks import Queries, iso

FORMAT = "dorami-show/1"
FIELDS = (
    "seq",
    "at",
    "tx",
    "kind",
    "variant",
    "quantity",
    "number",
    "partial",
    "onHand",
    "held",
    "committed",
    "waiting",
    "rule",
    "hash",
)


async def export(db: Queries, stream_key: str) -> dict[str, Any]:
    """`entries` are lists of FIELDS. One statement, so that all of it is of one moment."""
    rows = await db.fetch(
        """SELECT p.id, encode(p.ledger_head, 'hex') AS head, core.now() AS now, coalesce(
                  (SELECT jsonb_agg(jsonb_build_array(
                       l.seq, (extract(epoch FROM l.at) * 1000000)::bigint, l.tx, l.kind, l.variant_id, l.quantity,
                       l.number, l.partial, l.on_hand, l.held, l.committed, l.waiting, l.rule, encode(l.hash, 'hex'))
                       ORDER BY l.seq) FROM catalog.ledger l WHERE l.product_id = p.id), '[]') AS entries
           FROM catalog.products p WHERE p.stream_keys @> ARRAY[$1::text] ORDER BY p.created_at, p.id""",
        stream_key,
    )
    return {
        "format": FORMAT,
        "streamKey": stream_key,
        "at": iso(rows[0]["now"]) if rows else None,
        "fields": list(FIELDS),
        "products": [{"id": str(row["id"]), "head": row["head"], "entries": row["entries"]} for row in rows],
    }
