"""From a paid order to the points of the next one, through the pages of the buyer and of the seller."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from dorami_core.testing.server import RunningDorami, running_dorami

expect.set_options(timeout=60_000)
SMALL, PHONE, DESK = {"width": 360, "height": 640}, {"width": 390, "height": 844}, {"width": 1440, "height": 900}
ADDRESS = {
    "recipient": "민수",
    "phone": "010-1234-5678",
    "country": "KR",
    "postalCode": "04524",
    "city": "서울시 중구",
    "line1": "세종대로 110",
}
SETTINGS = {"DORAMI_ORDERS__SURCHARGES": '["KR jeju 3.00", "KR islands 5.00"]', "DORAMI_POINTS__EARN_RATE": "0.1"}


@pytest.fixture(scope="module")
def server(short_tmp: Path) -> Iterator[RunningDorami]:
    with running_dorami(short_tmp / "points", environ=SETTINGS) as server:
        yield server


@pytest.fixture
def visit(browser: Browser, server: RunningDorami) -> Iterator[Callable[..., Page]]:
    """Opens a page signed in; fails at the end where a page logged an error other than a form that came back."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def visit(path: str, email: str, role: str = "USER", size: dict[str, int] = PHONE) -> Page:
        context = browser.new_context(base_url=server.web, viewport=size, locale="ko-KR")  # type: ignore[arg-type]
        context.set_default_timeout(60_000)
        contexts.append(context)
        name = email.partition("@")[0]
        body = {"email": email, "name": name, "instagramId": name, "role": role}
        assert context.request.post("/api/auth/dev-login", data=body).ok
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"{path}: {error}"))
        page.on("console", lambda line: problems.append(f"{path}: {line.text}") if is_problem(line) else None)
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert problems == []


def is_problem(line: ConsoleMessage) -> bool:
    """A form that comes back with a question is a 409, which the browser writes down."""
    return line.type == "error" and "409" not in line.text


def made(answer: Any) -> dict[str, Any]:
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json()["data"])


def fill(page: Page, **changes: str) -> None:
    for name, text in {**ADDRESS, **changes}.items():
        if name == "country":
            page.locator("#country").select_option(text)
        else:
            page.locator(f"#{name}").fill(text)


def test_points_from_one_order_to_the_next(visit: Callable[..., Page], server: RunningDorami, artefacts: Path) -> None:
    with server.client("seller@example.test", role="ADMIN") as seller:
        body = {"name": "니트", "price": "40.00", "quantity": 9, "maxPerBuyer": 2}
        product = made(seller.post("/api/products", json=body))["id"]
    with server.client("minsu@example.test") as buyer:
        made(buyer.post("/api/cart", json={"productId": product, "quantity": 1}))
        order = made(
            buyer.post(
                "/api/orders",
                json={"depositorName": "민수", "paymentMethod": "BANK_TRANSFER", "shippingAddress": ADDRESS},
            )
        )["id"]

    page = visit("/admin/orders", "seller@example.test", "ADMIN")
    page.get_by_test_id("confirm-payment").click()
    row = page.locator(f"[data-order='{order}']")
    expect(row.get_by_text("결제 완료")).to_be_visible()
    row.locator("summary").click()
    row.get_by_placeholder("택배사").fill("CJ대한통운")
    row.get_by_placeholder("운송장 번호").fill("6820-1234-5678")
    row.get_by_role("combobox").select_option("SHIPPED")
    page.screenshot(path=artefacts / "order-desk-shipping.png")
    row.get_by_role("button", name="배송 상태 저장").click()
    expect(row.locator("[data-shipping='SHIPPED']")).to_be_visible()
    expect(row).to_contain_text("CJ대한통운 6820-1234-5678")
    page.set_viewport_size(DESK)
    page.screenshot(path=artefacts / "order-desk-wide.png")

    page.goto("/admin/points")
    page.get_by_role("button", name="지금 확인하기").click()
    expect(page.get_by_test_id("points-proof").locator("[data-problems='0']")).to_be_visible()
    page.screenshot(path=artefacts / "points-desk-wide.png")
    page.set_viewport_size(PHONE)
    page.screenshot(path=artefacts / "points-desk-phone.png")
    page.get_by_role("link", name="minsu").click()
    page.locator("#amount").fill("1.50")
    page.locator("#reason").fill("배송이 늦어 죄송해요")
    page.get_by_role("button", name="조정하기").click()
    expect(page.get_by_test_id("points-balance")).to_contain_text("$5.50")
    page.screenshot(path=artefacts / "points-desk-buyer.png", full_page=True)

    page = visit("/my", "minsu@example.test", size=SMALL)
    page.screenshot(path=artefacts / "my-with-points-small.png")
    page.get_by_test_id("my-points").click()
    expect(page.get_by_test_id("points-balance")).to_contain_text("$5.50")
    expect(page.get_by_text("배송이 늦어 죄송해요")).to_be_visible()
    page.screenshot(path=artefacts / "my-points-small.png")
    page.set_viewport_size(PHONE)
    page.screenshot(path=artefacts / "my-points-phone.png")

    page.goto(f"/products/{product}")
    expect(page.get_by_text("한 분 최대 2개")).to_be_visible()
    page.locator("#quantity").fill("2")
    page.get_by_test_id("add-to-cart").click()
    expect(page.get_by_text("한 분이 살 수 있는 수량을 넘었어요")).to_be_visible()
    page.screenshot(path=artefacts / "product-limit.png")
    page.get_by_test_id("add-to-cart").click()
    page.get_by_test_id("go-checkout").click()
    page.get_by_role("button", name="모두 쓰기").click()
    expect(page.get_by_test_id("order-total")).to_have_text("$39.50")
    expect(page.get_by_test_id("checkout-submit")).to_contain_text("$39.50")
    page.locator("#pointsToUse").fill("2.25")
    fill(page, postalCode="63100")
    page.screenshot(path=artefacts / "checkout-points-phone.png", full_page=True)
    page.get_by_test_id("checkout-submit").click()
    expect(page.get_by_text("금액이 늘었어요")).to_be_visible()
    expect(page.get_by_test_id("order-total")).to_have_text("$45.75")
    page.screenshot(path=artefacts / "checkout-sum-changed.png")
    page.get_by_test_id("checkout-submit").click()
    page.wait_for_url(re.compile(r"/orders/ORD-"))
    expect(page.get_by_test_id("order-total")).to_have_text("$45.75")
    expect(page.get_by_text("-$2.25")).to_be_visible()
    page.goto("/my/points")
    expect(page.get_by_test_id("points-balance")).to_contain_text("$3.25")


def test_a_product_of_the_store_comes_into_a_broadcast(
    visit: Callable[..., Page], server: RunningDorami, artefacts: Path
) -> None:
    with server.client("seller@example.test", role="ADMIN") as seller:
        first, second = (made(seller.post("/api/streams", json={"title": t}))["streamKey"] for t in ("어제", "오늘"))
        body = {"name": "머플러", "price": "32.00", "quantity": 4, "streamKey": first, "maxPerBuyer": 1}
        product = made(seller.post("/api/products", json=body))["id"]
        page = visit(f"/admin/streams/{second}", "seller@example.test", "ADMIN")
        page.locator("#b-product").select_option(product)
        page.locator("#b-product").scroll_into_view_if_needed()
        page.screenshot(path=artefacts / "bring-product-phone.png")
        page.get_by_role("button", name="이 방송에 올리기").click()
        row = page.locator(f"[data-product='{product}']")
        expect(row).to_contain_text("방송 2개")
        assert made(seller.get(f"/api/products/{product}"))["streamKeys"] == [first, second]
        page.screenshot(path=artefacts / "broadcast-products-phone.png", full_page=True)
        page.set_viewport_size(DESK)
        page.screenshot(path=artefacts / "broadcast-products-wide.png")
