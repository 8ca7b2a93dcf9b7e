"""The points of the small shop in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
from dorami_points.api import AccountView, Adjustment, BalanceView, Mismatch, ProofView, TransactionView
from shop_fakes import NOW, USER

from dorami_core.hooks import DoramiError, Paged, UserId, UserIdentity


def entry(number: int, kind: str, amount: int, **changes: Any) -> TransactionView:
    values: dict[str, Any] = {
        "id": UUID(int=700 + number),
        "transaction_type": kind,
        "amount": amount,
        "balance_after": 1250,
        "order_id": "ORD-20261123-00001" if kind.endswith("_ORDER") else None,
        "expires_at": NOW + timedelta(days=300) if amount > 0 else None,
        "reason": None,
        "created_at": NOW,
    }
    return TransactionView(**{**values, **changes})


@attrs.define
class FakePoints:
    """`balance_minor` for everybody."""

    balance_minor: int = 0
    entries: list[TransactionView] = attrs.Factory(list)
    found: list[ProofView] = attrs.Factory(list)
    refuse: str | None = None
    said: list[Adjustment] = attrs.Factory(list)

    async def balance(self, user_id: UserId) -> BalanceView:
        return BalanceView(
            user_id=user_id,
            current_balance=self.balance_minor,
            lifetime_earned=2000,
            lifetime_used=700,
            lifetime_expired=50,
            next_expiry_amount=300 if self.balance_minor > 0 else 0,
            next_expires_at=NOW + timedelta(days=5) if self.balance_minor > 0 else None,
            currency="USD",
            server_time=NOW,
        )

    async def transactions(self, user_id: UserId, cursor: str | None = None, limit: int = 20) -> Paged:
        return Paged(list(self.entries), "7" if self.entries else None)

    async def accounts(self, limit: int = 50) -> list[AccountView]:
        return [AccountView(user_id=USER, balance=self.balance_minor, last_at=NOW)] if self.entries else []

    async def proofs(self, limit: int = 30) -> list[ProofView]:
        return self.found[:limit]

    async def prove_now(self) -> ProofView:
        self.found.insert(0, proof())
        return self.found[0]

    async def adjust(self, staff: UserIdentity, wish: Adjustment) -> TransactionView:
        if self.refuse:
            raise DoramiError(self.refuse)
        self.said.append(wish)
        return entry(1, "ADJUSTED", wish.amount, reason=wish.reason)


def proof(*problems: str) -> ProofView:
    wrong = [Mismatch(user_id=USER, problem=problem, entry_id=12) for problem in problems]
    return ProofView(at=NOW, nightly=True, accounts=1204, entries=8311, problems=len(wrong), mismatches=wrong)
