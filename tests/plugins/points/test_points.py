"""The rules of points, one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from dorami_points.api import Adjustment
from dorami_points.model import AdjustBody, PointSettings, TransactionQuery, earned
from dorami_points.service import until_hour

from dorami_core.base.errors import DoramiError
from dorami_core.base.structure import from_json, to_json

DAY = 86_400


async def refused(awaitable: Any, code: str) -> DoramiError:
    with pytest.raises(DoramiError) as caught:
        await awaitable
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize(
    ("rate", "paid", "points"), [(0.01, 1999, 19), (0.29, 100, 29), (0.07, 100, 7), (0.0, 5, 0), (1.0, 7, 7)]
)
def test_what_an_order_earns_is_rounded_down(rate: float, paid: int, points: int) -> None:
    assert earned(rate, paid) == points


@pytest.mark.parametrize("wrong", [{"earn_rate": -0.1}, {"earn_rate": 1.5}, {"valid_days": 0}, {"valid_days": 1e9}])
def test_bad_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PointSettings(**wrong)


def test_the_proof_waits_for_the_night() -> None:
    assert until_hour(datetime(2026, 1, 1, 18, 0, tzinfo=UTC), "Asia/Seoul", 4) == 3600
    assert until_hour(datetime(2026, 1, 1, 19, 0, tzinfo=UTC), "Asia/Seoul", 4) == DAY


async def test_confirming_earns_once_from_goods_less_points(shop: Any) -> None:
    product, buyer = await shop.product(9), shop.user()
    await shop.give(buyer, 300)
    order = await shop.buy(buyer, product, 2, points=300)
    assert (order.points_used, str(order.total)) == (300, "22.00")
    assert await shop.balance(buyer) == 0
    await shop.orders.confirm_payment(order.id)
    await shop.orders.confirm_payment(order.id)
    assert await shop.kinds(buyer) == [("ADJUSTED", 300), ("USED_ORDER", -300), ("EARNED_ORDER", 170)]
    shown = to_json(await shop.points.balance(buyer.id))
    assert (shown["currentBalance"], shown["lifetimeEarned"], shown["lifetimeUsed"]) == (170, 470, 300)
    assert shown["nextExpiryAmount"] == 170
    assert shown["nextExpiresAt"] is not None


async def test_points_pay_goods_never_shipping(shop: Any) -> None:
    product, buyer = await shop.product(9), shop.user()
    await shop.give(buyer, 5000)
    error = await refused(shop.buy(buyer, product, 1, points=1001), "VALIDATION_FAILED")
    assert error.details["fields"][0]["field"] == "pointsToUse"
    order = await shop.order(buyer, points_to_use=1000)
    assert (str(order.total), order.status) == ("5.00", "PENDING_PAYMENT")


async def test_too_few_points_change_nothing(shop: Any) -> None:
    product, buyer = await shop.product(9), shop.user()
    await shop.give(buyer, 99)
    error = await refused(shop.buy(buyer, product, 1, points=100), "INSUFFICIENT_POINTS")
    assert error.details == {"available": 99}
    assert await shop.balance(buyer) == 99
    assert len((await shop.cart.view(buyer.id)).items) == 1


async def test_an_order_of_nothing_is_paid_at_once(shop: Any) -> None:
    shop.bench.streams.put("free-show", free_shipping_enabled=True)
    product, buyer = await shop.product(9, stream_key="free-show"), shop.user()
    await shop.give(buyer, 1000)
    order = await shop.buy(buyer, product, 1, points=1000)
    assert order.status == "PAID"
    assert await shop.kinds(buyer) == [("ADJUSTED", 1000), ("USED_ORDER", -1000)]
    await shop.cancel(order)
    assert await shop.balance(buyer) == 1000


async def test_the_oldest_expiry_is_spent_first_and_the_rest_expires(shop: Any) -> None:
    product, buyer = await shop.product(9), shop.user()
    await shop.give(buyer, 100)
    await shop.pass_time(10 * DAY)
    await shop.give(buyer, 200)
    await shop.buy(buyer, product, 1, points=60)
    await shop.pass_time(20 * DAY + 1)
    await shop.bench.fire_deadlines()
    # 40 went; the order had expired too, and its 60 came back for seven more days.
    assert await shop.balance(buyer) == 260
    await shop.pass_time(10 * DAY)
    await shop.bench.fire_deadlines()
    await shop.bench.fire_deadlines()
    assert await shop.balance(buyer) == 0
    assert (await shop.points.balance(buyer.id)).lifetime_expired == 300


async def test_expired_points_are_not_spent_before_the_timer_comes(shop: Any) -> None:
    product, buyer = await shop.product(9), shop.user()
    await shop.give(buyer, 100)
    await shop.pass_time(30 * DAY + 1)
    await refused(shop.buy(buyer, product, 1, points=1), "INSUFFICIENT_POINTS")
    await shop.bench.fire_deadlines()
    assert await shop.kinds(buyer) == [("ADJUSTED", 100), ("EXPIRED", -100)]


async def test_cancelling_returns_with_the_old_expiry_or_seven_days(shop: Any) -> None:
    product, buyer = await shop.product(9), shop.user()
    await shop.give(buyer, 100)
    await shop.pass_time(28 * DAY)
    await shop.give(buyer, 200)
    first, second = (entry.expires_at for entry in reversed((await shop.points.transactions(buyer.id)).items))
    order = await shop.buy(buyer, product, 1, points=150)
    await shop.orders.cancel(buyer, order.id)
    await shop.orders.cancel(buyer, order.id)
    soon, later = (entry for entry in reversed((await shop.points.transactions(buyer.id)).items[:2]))
    assert (soon.amount, later.amount) == (100, 50)
    assert timedelta(days=7) <= soon.expires_at - soon.created_at + timedelta(seconds=1) < timedelta(days=7, seconds=2)
    assert first < soon.expires_at < later.expires_at == second
    assert await shop.balance(buyer) == 300


async def test_a_balance_below_zero_blocks_using_not_buying(shop: Any) -> None:
    product, buyer = await shop.product(9), shop.user()
    order = await shop.buy(buyer, product, 2)
    await shop.orders.confirm_payment(order.id)
    spent = await shop.buy(buyer, product, 1, points=150)
    await shop.cancel(order)
    assert await shop.balance(buyer) == -150
    await refused(shop.buy(buyer, product, 1, points=1), "INSUFFICIENT_POINTS")
    bought = await shop.order(buyer)
    await shop.orders.confirm_payment(bought.id)
    assert await shop.balance(buyer) == -50
    await shop.cancel(spent)
    assert await shop.balance(buyer) == 100
    await shop.pass_time(31 * DAY)
    await shop.bench.fire_deadlines()
    assert await shop.balance(buyer) == 0


async def test_late_money_uses_the_points_again(shop: Any) -> None:
    product, buyer = await shop.product(9), shop.user()
    await shop.give(buyer, 100)
    order = await shop.buy(buyer, product, 1, points=100)
    await shop.pass_time(3601)
    await shop.bench.fire_deadlines()
    assert await shop.balance(buyer) == 100
    await shop.buy(buyer, product, 1, points=100)
    await shop.orders.confirm_payment(order.id)
    assert await shop.balance(buyer) == 90 - 100
    await shop.cancel(order)
    assert await shop.balance(buyer) == 0


async def test_what_expired_is_not_taken_back_again(shop: Any) -> None:
    product, buyer = await shop.product(9), shop.user()
    order = await shop.buy(buyer, product, 1)
    await shop.orders.confirm_payment(order.id)
    await shop.pass_time(31 * DAY)
    await shop.bench.fire_deadlines()
    await shop.cancel(order)
    assert await shop.kinds(buyer) == [("EARNED_ORDER", 100), ("EXPIRED", -100)]


@pytest.mark.parametrize("table", ["ledger", "allotments"])
@pytest.mark.parametrize(
    "change", ["UPDATE points.{} SET amount = amount", "DELETE FROM points.{}", "TRUNCATE points.{} CASCADE"]
)
async def test_the_ledger_only_grows(shop: Any, table: str, change: str) -> None:
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await shop.bench.db.execute(change.format(table))


async def test_the_proof_finds_what_is_wrong(shop: Any) -> None:
    buyer = shop.user()
    await shop.give(buyer, 100)
    db = shop.bench.db
    await db.execute(
        """INSERT INTO points.ledger (user_id, kind, amount, balance_after) VALUES ($1, 'EXPIRED', -30, 99)""", buyer.id
    )
    found = {wrong.problem for wrong in await shop.points.prove()}
    assert found == {"balance_after is not the sum", "owes while a lot has something left"}
    await db.execute("ALTER TABLE points.ledger DISABLE TRIGGER append_only")
    await db.execute("DELETE FROM points.ledger WHERE amount < 0")
    await db.execute("ALTER TABLE points.ledger ENABLE TRIGGER append_only")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"reason": "  "}, "VALIDATION_FAILED"),
        ({"reason": "x" * 201}, "VALIDATION_FAILED"),
        ({"amount": 0}, "VALIDATION_FAILED"),
        ({"amount": 10**12 + 1}, "VALIDATION_FAILED"),
        ({"amount": -(10**12) - 1}, "VALIDATION_FAILED"),
        ({"user_id": "stranger"}, "USER_NOT_FOUND"),
    ],
)
async def test_bad_adjustments(shop: Any, fields: dict[str, Any], code: str) -> None:
    buyer, staff = shop.user(), shop.user("주인", role="ADMIN")
    if "user_id" in fields:
        fields = {"user_id": uuid4()}
    wish = Adjustment(**{"user_id": buyer.id, "amount": 5, "reason": "선물", **fields})
    await refused(shop.points.adjust(staff, wish), code)
    assert await shop.kinds(buyer) == []


async def test_only_staff_adjust(shop: Any) -> None:
    buyer = shop.user()
    await refused(shop.points.adjust(buyer, Adjustment(user_id=buyer.id, amount=5, reason="x")), "FORBIDDEN")


@pytest.mark.parametrize("body", [{"amount": 1.5}, {"amount": "5"}, {"reason": None}, {"userId": "x"}, {"more": 1}])
def test_bad_bodies(body: dict[str, Any]) -> None:
    good = {"userId": "0" * 8 + "-0000-4000-8000-" + "0" * 12, "amount": 5, "reason": "선물"}
    assert from_json(good, AdjustBody).amount == 5
    with pytest.raises(DoramiError, match="VALIDATION_FAILED"):
        from_json({**good, **body}, AdjustBody)


async def test_pages_of_transactions(shop: Any) -> None:
    buyer, other = shop.user(), shop.user()
    for amount in range(1, 6):
        await shop.give(buyer, amount)
        await shop.give(other, 50)
    first = await shop.points.transactions(buyer.id, None, 3)
    second = await shop.points.transactions(buyer.id, first.next_cursor, 3)
    assert [entry.amount for entry in (*first.items, *second.items)] == [5, 4, 3, 2, 1]
    assert [entry.balance_after for entry in first.items] == [15, 10, 6]
    assert second.next_cursor is None
    for cursor in ("x", "-1", "", "9" * 19):
        await refused(shop.points.transactions(buyer.id, cursor), "VALIDATION_FAILED")
    with pytest.raises(DoramiError):
        from_json({"limit": 101}, TransactionQuery)
