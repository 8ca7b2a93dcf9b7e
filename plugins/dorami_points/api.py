"""What other plugins may use of points."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import attrs

from dorami_core.hooks import Paged, UserId, UserIdentity

EntryKind = Literal["EARNED_ORDER", "USED_ORDER", "RETURNED_ORDER", "TAKEN_BACK_ORDER", "EXPIRED", "ADJUSTED"]


@attrs.frozen(kw_only=True)
class BalanceView:
    """What a user has, in minor units; `to_json` of it is the balance of the HTTP API."""

    user_id: UUID
    current_balance: int
    """Below zero where more was taken back than was left."""
    lifetime_earned: int
    """Less what was taken back."""
    lifetime_used: int
    """Less what was returned."""
    lifetime_expired: int
    next_expiry_amount: int
    next_expires_at: datetime | None
    currency: str
    server_time: datetime


@attrs.frozen(kw_only=True)
class TransactionView:
    """One entry of the ledger."""

    id: UUID
    transaction_type: EntryKind
    amount: int
    """Minor units, signed."""
    balance_after: int
    order_id: str | None
    expires_at: datetime | None
    reason: str | None
    created_at: datetime


@attrs.frozen(kw_only=True)
class Adjustment:
    """`amount`: minor units, signed, not 0."""

    user_id: UUID
    amount: int
    reason: str


@attrs.frozen(kw_only=True)
class Mismatch:
    """One thing that the proof found wrong."""

    user_id: UUID
    problem: str
    entry_id: int | None = None


@attrs.frozen(kw_only=True)
class ProofView:
    """One recomputing of all balances."""

    at: datetime
    nightly: bool
    """False: somebody asked for it."""
    accounts: int
    entries: int
    problems: int
    mismatches: list[Mismatch]
    """The first hundred."""


@attrs.frozen(kw_only=True)
class AccountView:
    """A user who has or had points."""

    user_id: UUID
    balance: int
    last_at: datetime
    """When something last came or went."""


class PointsApi(Protocol):
    """`host.api(PointsApi)`."""

    async def balance(self, user_id: UserId) -> BalanceView: ...

    async def transactions(self, user_id: UserId, cursor: str | None = None, limit: int = 20) -> Paged:
        """TransactionViews, newest first."""
        ...

    async def adjust(self, staff: UserIdentity, wish: Adjustment) -> TransactionView:
        """Gives or takes; taking may leave the balance below zero. VALIDATION_FAILED, USER_NOT_FOUND."""
        ...

    async def prove(self) -> list[Mismatch]:
        """Recomputes every balance from the entries and from the lots; empty where all agree."""
        ...

    async def prove_now(self) -> ProofView:
        """The same, and keeps what was found where staff sees it."""
        ...

    async def proofs(self, limit: int = 30) -> list[ProofView]:
        """Newest first."""
        ...

    async def accounts(self, limit: int = 50) -> list[AccountView]:
        """Whose points changed last, the newest first."""
        ...
