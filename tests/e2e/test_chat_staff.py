"""Moderation from the outside: the seller and viewers in Chromium, and the seller's routes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dorami_core.testing.server import RunningDorami, eventually

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1440, "height": 900}
LIMIT_MS = 60_000


@pytest.fixture
def visit(browser: Browser, demo: RunningDorami) -> Iterator[Callable[..., Page]]:
    contexts: list[BrowserContext] = []

    def visit(path: str, *, email: str | None = None, role: str = "USER", **how: Any) -> Page:
        context = browser.new_context(base_url=demo.web, locale="ko-KR", **{"viewport": PHONE, **how})
        context.set_default_timeout(LIMIT_MS)
        contexts.append(context)
        if email is not None:
            name = email.partition("@")[0]
            body = {"email": email, "name": name, "instagramId": name, "role": role}
            assert context.request.post("/api/auth/dev-login", data=body).ok
        page = context.new_page()
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()


def say(page: Page, text: str) -> None:
    page.get_by_test_id("chat-input").fill(text)
    page.get_by_test_id("chat-send").click()
    expect(page.get_by_test_id("chat-input")).to_have_value("")


def line(page: Page, text: str) -> Any:
    return page.get_by_test_id("chat-line").filter(has_text=text)


def menu(page: Page, text: str, action: str) -> None:
    line(page, text).locator("[data-line-menu]").click()
    page.get_by_test_id(action).click()


def test_the_seller_keeps_order(visit: Callable[..., Page], demo: RunningDorami, artefacts: Path) -> None:
    seller = visit("/live/demo", email="seller@example.test", role="ADMIN", viewport=DESK)
    viewer = visit("/live/demo", email="loud@example.test")
    say(viewer, "무료 배송인가요? <b>3 < 5</b>")
    expect(viewer.locator("[data-line-menu]").first).to_be_hidden()
    expect(viewer.get_by_test_id("room-tools")).to_be_hidden()

    menu(seller, "무료 배송인가요?", "staff-pin")
    expect(viewer.get_by_test_id("pinned")).to_contain_text("무료 배송인가요? <b>3 < 5</b>")
    line(seller, "무료 배송인가요?").locator("[data-line-menu]").click()
    seller.screenshot(path=artefacts / "chat-staff-line-1440x900.png")
    seller.keyboard.press("Escape")

    seller.get_by_test_id("room-tools").click()
    seller.screenshot(path=artefacts / "chat-staff-room-1440x900.png")
    seller.get_by_test_id("slow-30").click()
    expect(viewer.get_by_test_id("room-note")).to_contain_text("30초에 한 번")
    say(viewer, "느리게")
    expect(viewer.get_by_test_id("room-note")).to_contain_text("뒤에 보낼 수 있어요")
    viewer.screenshot(path=artefacts / "chat-slow-390x844.png")
    seller.get_by_test_id("room-tools").click()
    seller.get_by_test_id("slow-0").click()
    expect(viewer.get_by_test_id("room-note")).to_be_hidden()

    seller.get_by_test_id("room-tools").click()
    seller.get_by_test_id("staff-freeze").click()
    expect(viewer.get_by_test_id("room-note")).to_contain_text("판매자만")
    expect(viewer.get_by_test_id("chat-input")).to_be_disabled()
    viewer.screenshot(path=artefacts / "chat-frozen-390x844.png")
    late = visit("/live/demo", email="late@example.test")
    expect(late.get_by_test_id("chat-input")).to_be_disabled()
    expect(late.get_by_test_id("pinned")).to_contain_text("무료 배송인가요?")
    seller.get_by_test_id("room-tools").click()
    seller.get_by_test_id("staff-freeze").click()
    expect(viewer.get_by_test_id("chat-input")).to_be_enabled()

    menu(seller, "느리게", "timeout-5")
    expect(viewer.get_by_test_id("room-note")).to_contain_text("쉬고 있어요")
    viewer.screenshot(path=artefacts / "chat-timed-out-390x844.png")
    seller.locator(".toast button").click()  # undo
    expect(viewer.get_by_test_id("chat-input")).to_be_enabled()

    menu(seller, "느리게", "staff-delete")
    expect(line(viewer, "느리게")).to_have_count(0)
    menu(seller, "무료 배송인가요?", "staff-delete")
    expect(viewer.get_by_test_id("pinned")).to_be_hidden()


def test_a_moderator_has_the_tools_at_once_and_loses_them_so(
    visit: Callable[..., Page], demo: RunningDorami, artefacts: Path
) -> None:
    seller = visit("/live/demo", email="seller@example.test", role="ADMIN", viewport=DESK)
    helper = visit("/live/demo", email="helper@example.test")
    say(helper, "도와드릴게요")
    menu(seller, "도와드릴게요", "staff-moderator")
    expect(seller.locator(".toast")).to_contain_text("관리할 수 있어요")
    expect(helper.get_by_test_id("room-tools")).to_be_visible()
    say(seller, "판매자의 말")
    line(helper, "도와드릴게요").locator("[data-line-menu]").click()
    expect(helper.get_by_test_id("staff-sheet")).to_be_visible()
    helper.screenshot(path=artefacts / "chat-staff-line-390x844.png")
    helper.keyboard.press("Escape")
    helper.reload()
    expect(helper.get_by_test_id("room-tools")).to_be_visible()
    helper.screenshot(path=artefacts / "chat-staff-390x844.png")
    menu(seller, "도와드릴게요", "staff-moderator")  # again, for a toast does not last
    seller.locator(".toast button").click()  # undo
    expect(helper.get_by_test_id("room-tools")).to_be_hidden()


def test_hearts_of_one_are_seen_by_all(visit: Callable[..., Page], artefacts: Path) -> None:
    viewer = visit("/live/demo")  # a guest
    other = visit("/live/demo", reduced_motion="reduce")
    expect(viewer.get_by_test_id("heart")).to_be_visible()
    before = int(viewer.get_by_test_id("heart-count").text_content() or 0)
    for _ in range(12):
        viewer.get_by_test_id("heart").click()
    viewer.screenshot(path=artefacts / "chat-hearts-390x844.png")
    for page in (viewer, other):
        expect(page.get_by_test_id("heart-count")).to_have_text(str(before + 12))
    assert other.locator(".fly").count() == 0


def test_what_staff_do_over_http(demo: RunningDorami) -> None:
    with demo.client("seller@example.test", role="ADMIN") as seller, demo.client("plain@example.test") as plain:
        user_id = plain.get("/api/users/me").json()["data"]["id"]
        lists = "/api/admin/moderation"
        for path in ("bans", "timeouts", "moderators", "words"):
            assert plain.get(f"{lists}/{path}").status_code == 403
        assert plain.get("/api/admin/chat/demo").status_code == 403
        assert seller.post(f"{lists}/bans", json={"userId": user_id, "reason": "스팸"}).status_code == 201
        (ban,) = seller.get(f"{lists}/bans").json()["data"]["items"]
        assert (ban["userId"], ban["displayName"], ban["reason"]) == (user_id, "plain", "스팸")
        for _ in range(2):
            assert seller.delete(f"{lists}/bans/{user_id}").json()["data"] is None
        assert seller.get(f"{lists}/bans").json()["data"]["items"] == []
        word = seller.post(f"{lists}/words", json={"word": "나쁜말"}).json()["data"]["id"]
        assert [one["word"] for one in seller.get(f"{lists}/words").json()["data"]["items"]] == ["나쁜말"]
        assert seller.delete(f"{lists}/words/{word}").status_code == 200
        assert seller.post(f"{lists}/words", json={"word": "!!"}).json()["errorCode"] == "VALIDATION_FAILED"
        assert seller.get("/api/admin/chat/none-such").json()["errorCode"] == "STREAM_NOT_FOUND"
        assert seller.get("/api/admin/chat/demo?cursor=x").json()["errorCode"] == "VALIDATION_FAILED"
        assert seller.get("/api/admin/chat/demo?limit=101").json()["errorCode"] == "VALIDATION_FAILED"


def test_the_log_is_read_page_by_page(visit: Callable[..., Page], demo: RunningDorami, artefacts: Path) -> None:
    seller = visit("/live/demo", email="seller@example.test", role="ADMIN", viewport=DESK)
    for number in range(3):
        say(seller, f"기록 {number}")
    menu(seller, "기록 1", "staff-delete")
    expect(line(seller, "기록 1")).to_have_count(0)
    with demo.client("seller@example.test", role="ADMIN") as client:
        found: list[dict[str, Any]] = []
        cursor = ""
        while cursor is not None:
            page = client.get(f"/api/admin/chat/demo?limit=2{cursor and f'&cursor={cursor}'}").json()["data"]
            assert len(page["items"]) <= 2
            found += page["items"]
            cursor = page["nextCursor"]
        ours = [(one["message"], one["deletedAt"] is not None) for one in found if one["message"].startswith("기록")]
        assert ours == [("기록 0", False), ("기록 1", True), ("기록 2", False)]
        deleted = next(one for one in found if one["message"] == "기록 1")
        assert deleted["deletedBy"] == client.get("/api/users/me").json()["data"]["id"]
    seller.goto("/admin/streams/demo")
    seller.get_by_test_id("chat-log").locator("summary").click()
    expect(seller.get_by_test_id("log-line").filter(has_text="기록 1")).to_contain_text("삭제됨")
    seller.screenshot(path=artefacts / "admin-chat-log-1440x900.png", full_page=True)


def test_the_desk_for_the_chat(visit: Callable[..., Page], demo: RunningDorami, artefacts: Path) -> None:
    with demo.client("seller@example.test", role="ADMIN") as seller, demo.client("noisy@example.test") as noisy:
        user_id = noisy.get("/api/users/me").json()["data"]["id"]
        assert seller.post("/api/admin/moderation/bans", json={"userId": user_id, "reason": "도배"}).status_code == 201
    desk = visit("/admin/chat", email="seller@example.test", role="ADMIN", viewport=DESK)
    desk.locator("#word").fill("바보")
    desk.locator("#new-word button").click()
    expect(desk.get_by_test_id("word")).to_contain_text("바보")
    ban = desk.get_by_test_id("people-bans").get_by_test_id("desk-person")
    expect(ban).to_contain_text("도배")
    desk.screenshot(path=artefacts / "admin-chat-1440x900.png", full_page=True)
    writer = visit("/live/demo", email="writer-two@example.test")
    writer.get_by_test_id("chat-input").fill("너 ㅂㅏㅂㅗ")
    writer.get_by_test_id("chat-send").click()
    expect(writer.locator(".toast")).to_contain_text("쓸 수 없는 말")
    expect(writer.get_by_test_id("chat-input")).to_have_value("너 ㅂㅏㅂㅗ")  # nothing typed is lost
    writer.screenshot(path=artefacts / "chat-word-390x844.png")
    desk.set_viewport_size({"width": 390, "height": 844})
    desk.screenshot(path=artefacts / "admin-chat-390x844.png", full_page=True)
    assert desk.evaluate("document.documentElement.scrollWidth") <= 390
    ban.locator("button").click()
    expect(ban).to_have_count(0)
    desk.get_by_test_id("word").locator("button").click()
    expect(desk.get_by_test_id("word")).to_have_count(0)


def test_who_is_banned_is_out_at_once(visit: Callable[..., Page], demo: RunningDorami) -> None:
    seller = visit("/live/demo", email="seller@example.test", role="ADMIN", viewport=DESK)
    rude = visit("/live/demo", email="rude@example.test")
    say(rude, "무례한 말")
    menu(seller, "무례한 말", "staff-ban")
    expect(rude.get_by_test_id("room-note")).to_contain_text("참여할 수 없는 계정")
    expect(rude.get_by_test_id("chat-input")).to_be_disabled()
    seller.locator(".toast button").click()  # undo
    eventually(lambda: re.search("되돌렸어요", seller.locator("body").inner_text()))
