"""A shopper's and a seller's whole path in Debian's Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dorami_core.testing.server import RunningDorami, eventually

PHONE = {"width": 390, "height": 844}
SMALL = {"width": 360, "height": 640}
DESK = {"width": 1440, "height": 900}
LIMIT_MS = 60_000


@pytest.fixture
def visit(browser: Browser, demo: RunningDorami) -> Iterator[Callable[..., Page]]:
    """Opens a page as a guest, or signed in; fails the test at its end where the page logged an error."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def visit(
        path: str, *, email: str | None = None, role: str = "USER", size: dict[str, int] = PHONE, **how: Any
    ) -> Page:
        context = browser.new_context(base_url=demo.web, viewport=size, locale=how.get("locale", "ko-KR"))  # type: ignore[arg-type]
        context.set_default_timeout(LIMIT_MS)
        contexts.append(context)
        if email is not None:
            name = email.partition("@")[0]
            body = {"email": email, "name": name, "instagramId": name, "role": role}
            assert context.request.post("/api/auth/dev-login", data=body).ok
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"{path}: {error}"))
        page.on("console", lambda line: problems.append(f"{path}: {line.text}") if line.type == "error" else None)
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(scope="module")
def bag(demo: RunningDorami) -> dict[str, Any]:
    """A product that sorts first, so that its card is the one above the input."""
    with demo.client("seller@example.test", role="ADMIN") as seller:
        body = {
            "streamKey": "demo",
            "name": "핑크 토트백",
            "price": "39.00",
            "discountRate": 10,
            "quantity": 50,
            "sortOrder": -1,
        }
        answer = seller.post("/api/products", json=body)
        assert answer.status_code == 201, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data


def pixels(page: Page) -> list[int]:
    shown: list[int] = page.get_by_test_id("video").evaluate(
        """video => { const canvas = document.createElement("canvas"); canvas.width = 16; canvas.height = 28;
             const paint = canvas.getContext("2d"); paint.drawImage(video, 0, 0, 16, 28);
             return [...paint.getImageData(0, 0, 16, 28).data]; }"""
    )
    return shown


def current_time(page: Page) -> float:
    return float(page.get_by_test_id("video").evaluate("video => video.currentTime"))


def wait_for_video(page: Page, after_s: float = 0.5) -> None:
    """Waits until the picture is past that time. (The page's CSP forbids what `wait_for_function` does.)"""
    eventually(lambda: page.wait_for_timeout(50) or current_time(page) > after_s)


def test_the_demo_plays(visit: Callable[..., Page], bag: dict[str, Any], artefacts: Path) -> None:
    page = visit("/live/demo")
    wait_for_video(page)
    before, first = current_time(page), pixels(page)
    wait_for_video(page, before + 0.7)
    second = pixels(page)
    assert len(set(first)) > 10, "the picture is not blank"
    assert sum(a != b for a, b in zip(first, second, strict=True)) > 50, "the picture moves"
    expect(page.get_by_test_id("product-card")).to_contain_text("핑크 토트백")
    page.screenshot(path=artefacts / "live-390x844.png")


def test_kpi_overlay(visit: Callable[..., Page], artefacts: Path) -> None:
    page = visit("/live/demo?kpi=1", size=SMALL)
    wait_for_video(page)
    expect(page.get_by_test_id("kpi")).to_contain_text(re.compile(r"first frame ms \d+"))
    page.screenshot(path=artefacts / "live-kpi-360x640.png")


def test_hls_takes_over_where_flv_cannot_play(browser: Browser, demo: RunningDorami) -> None:
    context = browser.new_context(base_url=demo.web, viewport=PHONE, locale="ko-KR")  # type: ignore[arg-type]
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.route("**/*.flv*", lambda route: route.abort())
    page.goto("/live/demo")
    wait_for_video(page)
    assert any(".m3u8" in url for url in asked)
    context.close()


def test_a_line_of_chat_reaches_a_second_browser(visit: Callable[..., Page], artefacts: Path) -> None:
    writer = visit("/live/demo", email="writer@example.test")
    reader = visit("/live/demo", size=DESK)
    expect(reader.get_by_test_id("chat-input")).to_be_visible()
    writer.get_by_test_id("chat-input").fill("안녕하세요 <b>3 < 5</b>")
    writer.get_by_test_id("chat-send").click()
    line = reader.get_by_test_id("chat-line").filter(has_text="안녕하세요 <b>3 < 5</b>")
    expect(line).to_be_visible()
    expect(line).to_contain_text("writer")
    reader.screenshot(path=artefacts / "live-1440x900.png")


def test_a_network_that_lets_no_websocket_through(browser: Browser, demo: RunningDorami) -> None:
    context = browser.new_context(base_url=demo.web, viewport=PHONE, locale="ko-KR")  # type: ignore[arg-type]
    name = {"email": "polling@example.test", "name": "polling", "instagramId": "polling"}
    assert context.request.post("/api/auth/dev-login", data=name).ok
    page = context.new_page()
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url) if "transport=polling" in request.url else None)
    page.add_init_script(
        """window.WebSocket = class {
             constructor() {
               setTimeout(() => { this.onerror?.(new Event("error")); this.onclose?.({ code: 1006 }); });
             }
             send() {} close() {} };"""
    )
    page.goto("/live/demo")
    page.get_by_test_id("chat-input").fill("폴링으로 왔어요")
    page.get_by_test_id("chat-send").click()
    expect(page.get_by_test_id("chat-line").filter(has_text="폴링으로 왔어요")).to_be_visible()
    assert polls
    context.close()


def test_from_the_live_page_to_a_paid_order(visit: Callable[..., Page], bag: dict[str, Any], artefacts: Path) -> None:
    page = visit("/live/demo", email="buyer@example.test")
    page.get_by_test_id("product-card").click()
    page.screenshot(path=artefacts / "product-sheet-390x844.png")
    page.get_by_test_id("add-to-cart").click()
    pill = page.get_by_test_id("cart-pill")
    expect(pill).to_be_visible()
    expect(pill).to_contain_text(re.compile(r"0?9:[0-5]\d|10:00"))
    shown = pill.text_content()
    expect(pill).not_to_have_text(shown or "", timeout=3000)  # it counts
    page.screenshot(path=artefacts / "cart-pill-390x844.png")

    page.goto("/cart")
    expect(page.get_by_test_id("countdown").first).to_contain_text(re.compile(r"\d:\d\d"))
    page.screenshot(path=artefacts / "cart-390x844.png", full_page=True)
    page.goto("/checkout")
    page.locator("[name=depositorName]").fill("김민지")
    for field, text in {
        "recipient": "김민지",
        "phone": "010-1234-5678",
        "line1": "1 Main St",
        "city": "Irvine",
        "state": "CA",
        "postalCode": "92602",
        "country": "US",
    }.items():
        box = page.locator(f"[name={field}]")
        box.select_option(text) if box.evaluate("box => box.tagName") == "SELECT" else box.fill(text)
    page.screenshot(path=artefacts / "checkout-390x844.png", full_page=True)
    page.get_by_test_id("checkout-submit").click()
    page.wait_for_url(re.compile(r"/orders/ORD-\d{8}-\d{5}"))
    expect(page.get_by_test_id("order-total")).to_contain_text("40.10")  # 35.10 and 5.00 to ship it
    page.screenshot(path=artefacts / "order-390x844.png", full_page=True)
    order = page.url.rpartition("/")[2].partition("?")[0]

    desk = visit("/admin/orders", email="seller@example.test", role="ADMIN", size=DESK)
    row = desk.locator("tr", has_text=order)
    desk.screenshot(path=artefacts / "admin-orders-1440x900.png")
    row.get_by_test_id("confirm-payment").click()
    expect(desk.locator("tr", has_text=order)).to_contain_text("결제 완료")
    page.reload()
    expect(page.get_by_test_id("order-status")).to_contain_text("결제 완료")


def test_a_seller_makes_a_broadcast(visit: Callable[..., Page], demo: RunningDorami, artefacts: Path) -> None:
    page = visit("/admin", email="seller@example.test", role="ADMIN")
    page.screenshot(path=artefacts / "admin-390x844.png", full_page=True)
    page.locator("[name=title]").fill("겨울 코트 방송")
    page.locator("form", has=page.locator("[name=title]")).locator("button").click()
    page.wait_for_url(re.compile(r"/admin/streams/[a-z0-9-]+"))
    expect(page.get_by_text(demo.rtmp).first).to_be_visible()
    page.screenshot(path=artefacts / "admin-stream-390x844.png", full_page=True)


PAGES = ["/", "/live/demo", "/store", "/login"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("size", [SMALL, PHONE, DESK], ids=lambda size: f"{size['width']}x{size['height']}")
def test_public_pages(
    path: str, size: dict[str, int], visit: Callable[..., Page], bag: dict[str, Any], artefacts: Path
) -> None:
    page = visit(path, size=size)
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    assert page.title()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size["width"], "nothing is wider than the screen"
    name = path.strip("/").replace("/", "-") or "home"
    page.screenshot(path=artefacts / f"{name}-{size['width']}x{size['height']}.png")


def test_pages_of_a_shopper(visit: Callable[..., Page], bag: dict[str, Any], artefacts: Path) -> None:
    page = visit(f"/products/{bag['id']}", email="looker@example.test", size=SMALL)
    page.screenshot(path=artefacts / "product-360x640.png", full_page=True)
    for path in ("/cart", "/my"):
        page.goto(path)
        page.screenshot(path=artefacts / f"{path.strip('/')}-empty-360x640.png", full_page=True)
    assert page.request.get("/orders/ORD-20260101-99999").status == 404


def test_english(visit: Callable[..., Page]) -> None:
    page = visit("/?lang=en", locale="en-US")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    assert not re.search("[가-힣]", page.locator("header").inner_text().replace("한국어", ""))


def test_buying_works_without_javascript(browser: Browser, demo: RunningDorami, bag: dict[str, Any]) -> None:
    context = browser.new_context(base_url=demo.web, viewport=SMALL, locale="ko-KR", java_script_enabled=False)  # type: ignore[arg-type]
    context.request.post("/api/auth/dev-login", data={"email": "plain@example.test", "name": "plain"})
    page = context.new_page()
    page.goto(f"/products/{bag['id']}")
    page.locator("form[action='/cart/add'] button:not([type=button])").first.click()
    page.goto("/cart")
    expect(page.locator("main")).to_contain_text("핑크 토트백")
    context.close()


def test_waiting_for_the_last_one(visit: Callable[..., Page], demo: RunningDorami, artefacts: Path) -> None:
    """Sold out, in line, and then it is one's turn, on the live page and on one's own."""
    with demo.client("seller@example.test", role="ADMIN") as seller:
        body = {"streamKey": "demo", "name": "마지막 한 점", "price": "15.00", "quantity": 1, "sortOrder": -9}
        last = seller.post("/api/products", json=body).json()["data"]
    try:
        with demo.client("first@example.test") as holder, demo.client("second@example.test") as second:
            item = holder.post("/api/cart", json={"productId": last["id"], "quantity": 1}).json()["data"]
            assert second.post("/api/reservations", json={"productId": last["id"], "quantity": 1}).status_code == 201

            page = visit("/live/demo", email="third@example.test")
            page.get_by_test_id("open-products").click()
            sheet = page.get_by_test_id("product-sheet")
            sheet.locator(f'[data-product="{last["id"]}"]').click()
            page.screenshot(path=artefacts / "wait-390x844.png")
            page.get_by_test_id("wait-in-line").click()
            place = page.get_by_test_id("place")
            expect(place).to_have_text("대기 2번째")
            page.screenshot(path=artefacts / "waiting-390x844.png")

            # The one before gets it and gives it back: both steps are seen without a reload.
            holder.delete(f"/api/cart/{item['id']}").raise_for_status()
            expect(place).to_have_text("대기 1번째")
            (served,) = second.get("/api/reservations?active=true").json()["data"]["items"]
            assert served["status"] == "PROMOTED"
            mine = visit("/my", email="third@example.test")
            expect(mine.get_by_test_id("waiting-list")).to_contain_text("대기 1번째")
            mine.screenshot(path=artefacts / "my-waiting-390x844.png", full_page=True)
            second.delete(f"/api/reservations/{served['id']}").raise_for_status()
            expect(page.get_by_test_id("turn")).to_contain_text("차례예요! 04:")
            expect(sheet).to_contain_text("차례예요!")
            page.screenshot(path=artefacts / "turn-sheet-390x844.png")
            page.keyboard.press("Escape")
            page.screenshot(path=artefacts / "turn-390x844.png")
            expect(mine.get_by_test_id("waiting-list")).to_contain_text("차례예요!")
            mine.screenshot(path=artefacts / "my-turn-390x844.png", full_page=True)
            sold_out = visit(f"/products/{last['id']}", size=SMALL)
            sold_out.screenshot(path=artefacts / "product-sold-out-360x640.png", full_page=True)
    finally:
        with demo.client("seller@example.test", role="ADMIN") as seller:
            seller.delete(f"/api/products/{last['id']}")
