"""The proof that balances and ledger agree: kept, once a night, and seen by staff."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dorami_points.service import Points

SPOILED = """
ALTER TABLE points.ledger DISABLE TRIGGER append_only;
UPDATE points.ledger SET balance_after = balance_after + 7 WHERE user_id = '{user}';
ALTER TABLE points.ledger ENABLE TRIGGER append_only;
"""
RIGHT = SPOILED.replace("+ 7", "- 7")


def service(shop: Any) -> Points:
    assert isinstance(shop.points, Points)
    return shop.points


async def test_a_night_is_proved_once_however_many_processes_there_are(shop: Any) -> None:
    await shop.give(shop.user(), 50)
    for hour in (19, 20, 43):
        await service(shop).prove_night(datetime(2026, 11, 23, hour % 24, tzinfo=UTC).replace(day=23 + hour // 24))
    first, second = reversed(await shop.points.proofs())
    assert (first.nightly, first.accounts, first.entries, first.problems, first.mismatches) == (True, 1, 1, 0, [])
    assert second.at >= first.at


async def test_what_does_not_agree_is_named(shop: Any) -> None:
    buyer = shop.user()
    await shop.give(buyer, 50)
    await shop.bench.db.execute(SPOILED.format(user=buyer.id))
    proof = await shop.points.prove_now()
    assert (proof.nightly, proof.problems) == (False, 1)
    (wrong,) = proof.mismatches
    assert (wrong.user_id, wrong.problem) == (buyer.id, "balance_after is not the sum")
    await shop.bench.db.execute(RIGHT.format(user=buyer.id))
    assert (await shop.points.prove_now()).problems == 0
    assert [one.problems for one in await shop.points.proofs()] == [0, 1]


async def test_staff_sees_whose_points_changed_last(shop: Any) -> None:
    first, second = shop.user(), shop.user()
    await shop.give(first, 50)
    await shop.give(second, 20)
    await shop.give(first, -80)
    found = [(one.user_id, one.balance) for one in await shop.points.accounts()]
    assert found == [(first.id, -30), (second.id, 20)]
    assert len(await shop.points.accounts(1)) == 1
