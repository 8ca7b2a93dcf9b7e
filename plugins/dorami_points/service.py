"""The rules of points."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from dorami_orders.api import OrderView

from dorami_core.hooks import DoramiError, Host, Paged, Row, Tx, UserId, UserIdentity, invalid
from dorami_points import store
from dorami_points.api import AccountView, Adjustment, BalanceView, Mismatch, ProofView, TransactionView
from dorami_points.model import MAX_ADJUSTMENT, MAX_REASON, PointSettings, earned

LOT_TIMER = "points_lot"
RETURN_DAYS = 7
"""What is returned lasts at least this long."""
PROOF_HOUR = 4
CURSOR = re.compile(r"[0-9]{1,18}")
log = structlog.get_logger()


class Points:
    """Implements `PointsApi`, and what orders ask of it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._settings = host.settings(PointSettings)

    async def balance(self, user_id: UserId) -> BalanceView:
        row = await store.summary(self._host.db, user_id)
        return BalanceView(
            user_id=user_id,
            current_balance=row["balance"],
            lifetime_earned=row["earned"],
            lifetime_used=row["used"],
            lifetime_expired=row["expired"],
            next_expiry_amount=row["next_amount"],
            next_expires_at=row["next_at"],
            currency=self._host.currency,
            server_time=row["server_time"],
        )

    async def transactions(self, user_id: UserId, cursor: str | None = None, limit: int = 20) -> Paged:
        if cursor is not None and CURSOR.fullmatch(cursor) is None:
            raise invalid("cursor", "is not one of ours")
        rows = await store.page(self._host.db, user_id, None if cursor is None else int(cursor), limit + 1)
        shown = [_view(row) for row in rows[:limit]]
        return Paged(list(shown), str(rows[limit - 1]["id"]) if len(rows) > limit else None)

    async def adjust(self, staff: UserIdentity, wish: Adjustment) -> TransactionView:
        reason = wish.reason.strip()
        if not 1 <= len(reason) <= MAX_REASON:
            raise invalid("reason", f"must have 1 to {MAX_REASON} characters")
        if wish.amount == 0 or abs(wish.amount) > MAX_ADJUSTMENT:
            raise invalid("amount", f"must be -{MAX_ADJUSTMENT} to {MAX_ADJUSTMENT}, and not 0")
        if staff.role != "ADMIN":
            raise DoramiError("FORBIDDEN")
        user_id = UserId(wish.user_id)
        if await self._host.users.find(user_id) is None:
            raise DoramiError("USER_NOT_FOUND")
        async with self._host.db.transaction() as tx:
            await self._lock(tx, user_id)
            named: dict[str, Any] = {"reason": reason, "made_by": staff.id}
            if wish.amount > 0:
                lapse = await store.lapse(tx, self._settings.valid_days)
                row = await store.add(tx, user_id, "ADJUSTED", wish.amount, lapse, **named)
                await self._time(tx, row)
            else:
                row = await store.take(tx, user_id, "ADJUSTED", -wish.amount, **named)
        return _view(row)

    async def choose(self, tx: Tx, user_id: UserId, wanted: int, subtotal: int) -> int:
        """What an order may use: all that is wanted. The account is locked from here to the end of the order."""
        if wanted > subtotal:
            raise invalid("pointsToUse", "must be at most the subtotal")
        await self._lock(tx, user_id)
        available = await store.balance(tx, user_id)
        if wanted > available:
            raise DoramiError("INSUFFICIENT_POINTS", available=max(0, available))
        return wanted

    async def use(self, tx: Tx, order: OrderView) -> None:
        """Writes what the new order uses. `choose` holds the account."""
        if order.points_used > 0:
            await store.take(tx, order.user_id, "USED_ORDER", order.points_used, order_id=order.id)

    async def settle(self, tx: Tx, order: OrderView) -> None:
        """A paid order earns. One that had expired uses again what it got back, even below zero: its money is less by
        just that much."""
        gain = earned(self._settings.earn_rate, order.subtotal.minor - order.points_used)
        open_kinds = {row["kind"] for row in await store.open_entries(tx, order.id)}
        again = order.points_used > 0 and "USED_ORDER" not in open_kinds
        gains = gain > 0 and "EARNED_ORDER" not in open_kinds
        # An order of nothing comes here with the day's counter locked: it never has anything to wait for.
        if not again and not gains:
            return
        await self._lock(tx, UserId(order.user_id))
        if again:
            await self.use(tx, order)
        if gains:
            lapse = await store.lapse(tx, self._settings.valid_days)
            row = await store.add(tx, order.user_id, "EARNED_ORDER", gain, lapse, order_id=order.id)
            await self._time(tx, row)

    async def undo(self, tx: Tx, order: OrderView) -> None:
        """Returns what an ended order used and takes back what it earned, once."""
        entries = await store.open_entries(tx, order.id)
        if not entries:
            return
        await self._lock(tx, UserId(order.user_id))
        for entry in entries:
            named: dict[str, Any] = {"order_id": order.id, "reverses": entry["id"]}
            if entry["kind"] == "USED_ORDER":
                for part in await store.parts(tx, entry["id"], RETURN_DAYS):
                    row = await store.add(
                        tx, order.user_id, "RETURNED_ORDER", part["amount"], part["expires_at"], **named
                    )
                    await self._time(tx, row)
                continue
            # What expired is gone already, and is not taken a second time.
            left = entry["amount"] - await store.expired_of(tx, entry["id"])
            if left > 0:
                await store.take(tx, order.user_id, "TAKEN_BACK_ORDER", left, first=entry["id"], **named)

    async def expire(self, tx: Tx, keys: Sequence[str]) -> None:
        """Deadline `points_lot`: keys are ids of lots."""
        users = sorted(await store.owners(tx, [int(key) for key in keys]))
        await store.lock_accounts(tx, users)
        for user_id in users:
            await store.expire(tx, user_id)

    async def prove(self) -> list[Mismatch]:
        return [
            Mismatch(user_id=row["user_id"], problem=row["problem"], entry_id=row["id"])
            for row in await store.proof(self._host.db)
        ]

    async def prove_now(self) -> ProofView:
        async with self._host.db.transaction() as tx:
            row = await store.keep_proof(tx, None)
        assert row is not None
        return _proof(row)

    async def proofs(self, limit: int = 30) -> list[ProofView]:
        return [_proof(row) for row in await store.proofs(self._host.db, limit)]

    async def accounts(self, limit: int = 50) -> list[AccountView]:
        return [AccountView(**dict(row)) for row in await store.accounts(self._host.db, limit)]

    async def prove_nightly(self) -> None:
        """Runs for ever, in every process; the first of a night proves."""
        while True:
            await self._host.clock.sleep(until_hour(self._host.clock.now(), self._host.timezone, PROOF_HOUR))
            await self.prove_night(self._host.clock.now())

    async def prove_night(self, now: datetime) -> None:
        async with self._host.db.transaction() as tx:
            row = await store.keep_proof(tx, now.astimezone(ZoneInfo(self._host.timezone)).date())
        if row is None:
            return
        found = _proof(row)
        for wrong in found.mismatches:
            log.error("points.mismatch", user=str(wrong.user_id), entry=wrong.entry_id, problem=wrong.problem)
        if not found.problems:
            log.info("points.proved", accounts=found.accounts, entries=found.entries)

    async def _lock(self, tx: Tx, user_id: UserId) -> None:
        """And what is due expires first, so that the sum is what can be used."""
        await store.lock_accounts(tx, [user_id])
        await store.expire(tx, user_id)

    async def _time(self, tx: Tx, lot: Row) -> None:
        await self._host.deadlines.set(tx, LOT_TIMER, str(lot["id"]), lot["expires_at"])


def until_hour(now: datetime, timezone: str, hour: int) -> float:
    """Seconds until the clock on the wall next shows this hour; above 0."""
    local = now.astimezone(ZoneInfo(timezone))
    then = local.replace(hour=hour, minute=0, second=0, microsecond=0)
    if then <= local:
        then += timedelta(days=1)
    return (then - now).total_seconds()


def _proof(row: Row) -> ProofView:
    return ProofView(
        at=row["at"],
        nightly=row["night"] is not None,
        accounts=row["accounts"],
        entries=row["entries"],
        problems=row["problems"],
        mismatches=[
            Mismatch(user_id=UUID(one["user_id"]), problem=one["problem"], entry_id=one["id"])
            for one in row["mismatches"]
        ],
    )


def _view(row: Row) -> TransactionView:
    return TransactionView(
        id=row["public_id"],
        transaction_type=row["kind"],
        amount=row["amount"],
        balance_after=row["balance_after"],
        order_id=row["order_id"],
        expires_at=row["expires_at"],
        reason=row["reason"],
        created_at=row["created_at"],
    )
