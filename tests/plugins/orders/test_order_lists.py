"""What staff see of orders: filtered, searched, and as a table."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from dorami_orders.api import OrderFilter
from dorami_orders.export import COLUMNS


async def ordered(selling: Any, product: Any, depositor: str) -> Any:
    buyer = selling.user(depositor)
    await selling.add(buyer, product, 2)
    return await selling.order(buyer, depositor_name=depositor)


@pytest.fixture
async def two(selling: Any) -> list[Any]:
    """One of a knit, paid and sent; one of a mug, two hours later."""
    knit, mug = await selling.product(9, name="울 100% 니트"), await selling.product(9, name="머그")
    first = await ordered(selling, knit, "김민수")
    await selling.orders.confirm_payment(first.id)
    await selling.orders.set_shipping(first.id, "SHIPPED", "우체국", "123")
    await selling.pass_time(3000)
    return [first, await ordered(selling, mug, "=HYPERLINK(1)")]


async def found(selling: Any, **which: Any) -> list[str]:
    return [order.id for order in (await selling.orders.admin_list(OrderFilter(**which))).items]


async def test_filters_and_search(selling: Any, two: list[Any]) -> None:
    first, second = (order.id for order in two)
    assert await found(selling) == [second, first]
    assert await found(selling, status="PAID") == [first]
    assert await found(selling, shipping_status="NONE") == [second]
    assert await found(selling, q="민수") == [first]
    assert await found(selling, q="머그") == [second]
    assert await found(selling, q=first) == [first]
    assert await found(selling, q=" ord-2 ") == [second, first]
    assert await found(selling, q="머그", status="PAID") == []
    middle = two[1].created_at - timedelta(minutes=5)
    assert await found(selling, created_from=middle) == [second]
    assert await found(selling, created_to=middle) == [first]


@pytest.mark.parametrize(("q", "hits"), [("100%", 1), ("0%니", 0), ("_", 0), ("\\", 0), ("%", 1)])
async def test_what_is_typed_stands_for_itself(selling: Any, two: list[Any], q: str, hits: int) -> None:
    assert len(await found(selling, q=q)) == hits


async def test_a_table_of_all_that_was_found(selling: Any, two: list[Any]) -> None:
    table = await selling.orders.export(OrderFilter())
    rows = list(csv.DictReader(io.StringIO(table.csv)))
    assert tuple(rows[0]) == COLUMNS
    assert (table.orders, table.truncated, len(rows)) == (2, False, 2)
    assert [row["order"] for row in rows] == [two[1].id, two[0].id]
    assert rows[0]["depositorName"] == "'=HYPERLINK(1)"
    assert (rows[1]["product"], rows[1]["quantity"], rows[1]["lineTotal"]) == ("울 100% 니트", "2", "20.00")
    assert (rows[1]["total"], rows[1]["carrier"], rows[1]["trackingNumber"]) == ("25.00", "우체국", "123")
    assert "1 Main St" in rows[1]["shippingAddress"]
    only = await selling.orders.export(OrderFilter(q="민수"))
    assert only.orders == 1


async def test_what_does_not_fit_is_said(selling: Any, two: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dorami_orders.service.EXPORT_MAX", 1)
    table = await selling.orders.export(OrderFilter())
    assert (table.orders, table.truncated) == (1, True)
