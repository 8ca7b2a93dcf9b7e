"""What an order will cost before it is placed, points in it, and the pages of points."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import points_fakes
import pytest
import shop_fakes as fakes
from dorami_points.api import Adjustment
from dorami_storefront.pages.points import minor_of
from points_fakes import FakePoints
from shop_fakes import FakeCart, FakeOrders, request
from test_pages import FILLED, get, make_site, post, render

from dorami_core.hooks import DoramiError, Page, Redirect


def paying(**changes: Any) -> Any:
    """A site whose cart ships for money: 62.30, and 5.00 for shipping."""
    knit = fakes.product(9, "니트", price=6230, stream_key=None)
    return make_site(cart=FakeCart([fakes.cart_item(9, knit)]), **changes)


async def seen(site: Any, **changes: str) -> dict[str, str]:
    """The form as it comes back, with what the page named as the sum."""
    page = await get(site, "/checkout")
    assert isinstance(page, Page)
    return {**FILLED, "shown": str(page.context["unreduced"]), **changes}


async def test_points_are_used_as_typed() -> None:
    site = paying()
    page = await post(site, "/checkout", await seen(site, points_to_use="12.50"))
    assert page == Redirect("/orders/ORD-20261123-00001?placed=1")
    assert [wish.points_to_use for wish in site.orders.placed] == [1250]


@pytest.mark.parametrize("typed", ["-1", "많이", "1.234"])
async def test_points_that_are_no_amount_are_told_and_nothing_is_lost(typed: str) -> None:
    site = paying()
    html = render(await post(site, "/checkout", await seen(site, points_to_use=typed)), request("/checkout"))
    assert site.orders.placed == []
    assert f'value="{typed}"' in html
    assert site.texts.by_lang["ko"]["problem_validation_failed"] in html


async def test_points_that_were_spent_meanwhile_are_told() -> None:
    site = paying(orders=FakeOrders(refuse="INSUFFICIENT_POINTS"))
    html = render(await post(site, "/checkout", await seen(site, points_to_use="12.50")), request("/checkout"))
    assert site.texts.by_lang["ko"]["problem_insufficient_points"] in html
    assert 'data-testid="order-total">$54.80' in html


async def test_without_points_nothing_is_asked() -> None:
    html = render(await get(paying(points=FakePoints()), "/checkout"), request("/checkout"))
    assert "pointsToUse" not in html
    assert 'name="pointsToUse"' in render(await get(paying(), "/checkout"), request("/checkout"))


async def test_a_far_address_is_told_before_it_costs_more() -> None:
    site = paying()
    form = {**await seen(site), "postal_code": "63100"}
    page = await post(site, "/checkout", form)
    html = render(page, request("/checkout"))
    assert site.orders.placed == []
    assert site.texts.by_lang["ko"]["problem_sum_changed"] in html
    assert 'data-testid="order-total">$70.30' in html
    assert isinstance(page, Page)
    again = await post(site, "/checkout", {**form, "shown": str(page.context["unreduced"])})
    assert isinstance(again, Redirect)
    assert len(site.orders.placed) == 1


async def test_a_cart_that_grew_in_another_tab_is_told_too() -> None:
    site = paying()
    form = await seen(site)
    site.cart.items.append(fakes.cart_item(3, fakes.product(3, "비니", stream_key=None)))
    page = await post(site, "/checkout", form)
    assert isinstance(page, Page)
    assert page.context["problem"] == "problem_sum_changed"
    assert site.orders.placed == []


async def test_a_line_that_expired_meanwhile_is_told_as_that() -> None:
    site = paying(orders=FakeOrders(refuse="CART_EXPIRED"))
    site.cart.items.append(fakes.cart_item(3, fakes.product(3, "비니", stream_key=None), left_s=None))
    form = await seen(site)
    del site.cart.items[0]
    html = render(await post(site, "/checkout", form), request("/checkout"))
    assert site.texts.by_lang["ko"]["problem_cart_expired"] in html


async def test_what_shipping_costs_more_is_shown_where_it_costs_anything() -> None:
    told = "제주 +$3.00"
    assert told in render(await get(paying(), "/checkout"), request("/checkout"))
    assert told not in render(await get(make_site(), "/checkout"), request("/checkout"))


@pytest.mark.parametrize(("way", "amount"), [("give", 1250), ("take", -1250)])
async def test_staff_gives_and_takes_points_with_a_reason(way: str, amount: int) -> None:
    site = make_site()
    form = {"user": str(fakes.USER), "amount": "12.50", "way": way, "reason": "사과"}
    answer = await post(site, "/admin/points/adjust", form, who="ADMIN")
    assert answer == Redirect(f"/admin/points?user={fakes.USER}&done=1")
    assert site.points.said == [Adjustment(user_id=fakes.USER, amount=amount, reason="사과")]  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", [{"amount": "1,5x"}, {"way": "keep"}])
async def test_a_wrong_adjustment_is_told(wrong: dict[str, str]) -> None:
    site = make_site()
    form = {"user": str(fakes.USER), "amount": "1", "way": "give", "reason": "사과", **wrong}
    answer = await post(site, "/admin/points/adjust", form, who="ADMIN")
    assert answer == Redirect(f"/admin/points?user={fakes.USER}&problem=problem_validation_failed")
    assert site.points.said == []  # type: ignore[attr-defined]
    with pytest.raises(DoramiError, match="USER_NOT_FOUND"):
        await post(site, "/admin/points/adjust", {**form, "user": "nobody"}, who="ADMIN")


async def test_the_seller_sees_what_the_proof_found() -> None:
    site = make_site(
        points=FakePoints(0, [], [points_fakes.proof("balance_after is not the sum"), points_fakes.proof()])
    )
    html = render(await get(site, "/admin/points", who="ADMIN"), request("/admin/points", who="ADMIN"))
    assert 'data-problems="1"' in html
    assert "balance_after is not the sum" in html
    assert str(fakes.USER) in html
    assert await post(site, "/admin/points/prove", {}, who="ADMIN") == Redirect("/admin/points")
    html = render(await get(site, "/admin/points", who="ADMIN"), request("/admin/points", who="ADMIN"))
    assert 'data-problems="0"' in html


async def test_an_order_is_sent_with_its_number_and_cancelled() -> None:
    site = make_site()
    path = "/admin/orders/ORD-20261122-00002"
    form = {"status": "SHIPPED", "carrier": " CJ대한통운 ", "tracking_number": "123", "back": "q=00002&from=2026-11-22"}
    done = "/admin/orders?q=00002&from=2026-11-22&changed=ORD-20261122-00002"
    assert await post(site, f"{path}/shipping", form, who="ADMIN") == Redirect(done)
    assert site.orders.sent == [("SHIPPED", "CJ대한통운", "123")]  # type: ignore[attr-defined]
    assert await post(site, f"{path}/cancel", {"back": ""}, who="ADMIN") == Redirect(
        "/admin/orders?changed=ORD-20261122-00002"
    )
    refusing = make_site(orders=FakeOrders([fakes.order()], refuse="CONFLICT"))
    assert await post(refusing, f"{path}/shipping", form, who="ADMIN") == Redirect(
        "/admin/orders?q=00002&from=2026-11-22&problem=problem_conflict"
    )


async def test_orders_of_some_days_are_asked_for_in_the_shops_time() -> None:
    asked = {"from": "2026-11-22", "to": "2026-11-23", "shippingStatus": "SHIPPED", "status": "NONSENSE"}
    site = make_site()
    html = render(await get(site, "/admin/orders", who="ADMIN", args=asked), request("/admin/orders", who="ADMIN"))
    export = "createdFrom=2026-11-22T00%3A00%3A00%2B09%3A00&amp;createdTo=2026-11-24T00%3A00%3A00%2B09%3A00"
    assert f"/api/admin/orders/export?shippingStatus=SHIPPED&amp;{export}" in html
    assert "NONSENSE" not in html
    assert 'href="/admin/orders?status=PAID&amp;shippingStatus=SHIPPED&amp;from=2026-11-22&amp;to=2026-11-23"' in html


async def test_a_limit_is_told_at_the_product() -> None:
    site = make_site()
    limited = fakes.product(4, "한정", max_per_buyer=2)
    site.catalog.products.append(limited)  # type: ignore[attr-defined]
    path = f"/products/{UUID(int=4)}"
    html = render(await get(site, path), request(path))
    assert "한 분 최대 2개" in html
    assert 'max="2"' in html
    site.cart.refuse = "BUYER_LIMIT"  # type: ignore[attr-defined]
    answer = await post(site, "/cart/add", {"product_id": str(UUID(int=4)), "quantity": "2"})
    assert answer == Redirect(f"{path}?problem=problem_buyer_limit")


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("", "USD", 0), ("1,250.50", "USD", 125050), (" 3 ", "USD", 300), ("1,250", "KRW", 1250)],
)
def test_amounts_as_people_type_them(text: str, currency: str, minor: int) -> None:
    assert minor_of(text, currency) == minor
