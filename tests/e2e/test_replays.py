"""A broadcast with an interruption in it, from its pins and chat to its replay and clips, from outside."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from test_chat_outside import Poller, token_of
from test_recordings import seconds

from dorami_core.testing.server import RunningDorami, eventually, running_dorami

PHONE, SMALL, DESK = {"width": 390, "height": 844}, {"width": 360, "height": 640}, {"width": 1440, "height": 900}
NOWHERE = "00000000-0000-4000-8000-000000000000"


@contextmanager
def publishing(server: RunningDorami, stream: dict[str, Any], clip: Path) -> Iterator[subprocess.Popen[bytes]]:
    url = f"{stream['publish']['url']}/{stream['publish']['key']}"
    command = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy", "-f", "flv", url]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@attrs.frozen
class Show:
    server: RunningDorami
    seller: httpx.Client
    key: str
    replay: dict[str, Any]
    products: list[dict[str, Any]]
    gone: str
    """The id of the message that was taken back."""


def get(client: httpx.Client, path: str, **query: Any) -> Any:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def recorded_ms(seller: httpx.Client, key: str) -> int:
    return sum(part["durationMs"] for part in get(seller, "/api/recordings", streamKey=key)["items"])


@pytest.fixture(scope="module")
def portrait(short_tmp: Path) -> Path:
    """What the phone sends after its return: another picture, so another file."""
    file = short_tmp / "portrait.mp4"
    picture = "testsrc2=size=360x640:rate=30:duration=4"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=d=4:r=44100"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-pix_fmt", "yuv420p", "-c:a", "aac", str(file)]
    subprocess.run(command, check=True)
    return file


@pytest.fixture(scope="module")
def show(short_tmp: Path, clip: Path, portrait: Path) -> Iterator[Show]:
    with (
        running_dorami(short_tmp / "replays") as server,
        server.client("seller@example.test", role="ADMIN", name="가게") as seller,
        server.client("mina@example.test") as viewer,
    ):
        made = seller.post("/api/streams", json={"title": "가을 가방 방송"})
        assert made.status_code == 201, made.text
        stream = made.json()["data"]
        key = stream["streamKey"]
        products = []
        for name in ("가죽 가방", "니트"):
            body = {"streamKey": key, "name": name, "price": "30.00", "quantity": 5}
            products.append(seller.post("/api/products", json=body).json()["data"])
        chatting, selling = Poller(server, token_of(viewer)), Poller(server, token_of(seller))

        def pin(product: dict[str, Any] | None) -> None:
            body = {"productId": product and product["id"]}
            assert seller.put(f"/api/streams/{key}/pin", json=body).status_code == 200

        def say(poller: Poller, text: str) -> str:
            answer = poller.ask("chat:send-message", {"liveId": key, "message": text})
            assert answer["ok"], answer
            return str(answer["data"]["id"])

        with publishing(server, stream, clip):
            eventually(lambda: recorded_ms(seller, key) > 0)
            say(chatting, "안녕하세요")
            pin(products[0])
            say(selling, "가방부터 볼게요")
            gone = say(chatting, "지워질 말")
            answer = selling.ask("chat:delete-message", {"liveId": key, "messageId": gone})
            assert answer["ok"], answer
            eventually(lambda: recorded_ms(seller, key) > 8000)
        say(chatting, "화면이 멈췄어요")  # into the gap
        with publishing(server, stream, portrait):
            eventually(lambda: len(get(seller, "/api/recordings", streamKey=key)["items"]) == 2)
            pin(products[1])
            say(chatting, "니트 예뻐요 <b>3 < 5</b>")
            eventually(lambda: recorded_ms(seller, key) > 14_000)
            assert get(viewer, "/api/replays")["items"] == [], "not while it is on air"
            assert seller.post(f"/api/streams/{key}/end", json={}).status_code == 200
        chatting.close()
        selling.close()
        (replay,) = eventually(lambda: get(viewer, "/api/replays", streamKey=key)["items"])
        yield Show(server, seller, key, replay, products, gone)


def test_parts_follow_one_another_and_are_given_out_in_ranges(show: Show, tmp_path: Path) -> None:
    with show.server.client() as guest:
        replay = get(guest, f"/api/replays/{show.replay['id']}")
        assert replay["title"] == "가을 가방 방송"
        first, second = replay["parts"]
        assert second["startsMs"] == first["durationMs"]
        assert replay["durationMs"] == first["durationMs"] + second["durationMs"]
        assert len(replay["spans"]) == 2
        for part in (first, second):
            whole = guest.get(part["videoUrl"])
            assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
            assert guest.get(part["videoUrl"], headers={"Range": "bytes=5-9"}).content == whole.content[5:10]
            file = tmp_path / f"{part['number']}.mp4"
            file.write_bytes(whole.content)
            assert abs(seconds(file) - part["durationMs"] / 1000) < 0.2


def test_the_chat_is_read_by_its_time_without_what_was_taken_back(show: Show) -> None:
    path = f"/api/replays/{show.replay['id']}/chat"
    with show.server.client() as guest:
        items = get(guest, path)["items"]
        texts = ["안녕하세요", "가방부터 볼게요", "화면이 멈췄어요", "니트 예뻐요 <b>3 < 5</b>"]
        assert [one["message"] for one in items] == texts
        assert show.gone not in {one["id"] for one in items}
        assert [one["role"] for one in items] == ["USER", "ADMIN", "USER", "USER"]
        times = [one["atMs"] for one in items]
        assert times == sorted(times)
        seam = get(guest, f"/api/replays/{show.replay['id']}")["parts"][1]["startsMs"]
        assert times[2] == seam, "said while nothing was seen: where the video goes on"
        pages, cursor = [], None
        while True:
            page = get(guest, path, limit=1, **({"cursor": cursor} if cursor else {}))
            pages += [one["message"] for one in page["items"]]
            cursor = page["nextCursor"]
            if cursor is None:
                break
        assert pages == texts
        for at_ms in (0, times[1], seam, seam + 1, 10**9):
            before, after = get(guest, path, beforeMs=at_ms)["items"], get(guest, path, fromMs=at_ms)["items"]
            assert [one["message"] for one in before + after] == texts
        assert [one["message"] for one in get(guest, path, beforeMs=10**9, limit=2)["items"]] == texts[2:]


def test_products_are_shown_at_their_time_and_have_their_clips(show: Show, tmp_path: Path) -> None:
    with show.server.client() as guest:
        showings = get(guest, f"/api/replays/{show.replay['id']}/showings")["items"]
        assert [one["productId"] for one in showings] == [one["id"] for one in show.products]
        seam = get(guest, f"/api/replays/{show.replay['id']}")["parts"][1]["startsMs"]
        assert 0 <= showings[0]["fromMs"] < seam - 3000
        assert seam <= showings[1]["fromMs"] < showings[1]["untilMs"] <= show.replay["durationMs"]
        for product in show.products:
            path = f"/api/products/{product['id']}/clips"
            (clip,) = eventually(lambda path=path: get(guest, path)["items"])  # type: ignore[misc]
            file = tmp_path / f"{clip['id']}.mp4"
            answer = guest.get(clip["url"])
            assert answer.status_code == 200
            file.write_bytes(answer.content)
            assert abs(seconds(file) - clip["durationMs"] / 1000) < 0.2
            assert clip["durationMs"] > 3000


def test_the_seller_hides_it_and_shows_it_again(show: Show) -> None:
    one = f"/api/replays/{show.replay['id']}"
    clips = f"/api/products/{show.products[0]['id']}/clips"
    with show.server.client("mina@example.test") as viewer, show.server.client() as guest:
        assert viewer.patch(one, json={"public": False}).status_code == 403
        assert guest.patch(one, json={"public": False}).status_code == 401
        (clip,) = eventually(lambda: get(guest, clips)["items"])
        part = get(guest, one)["parts"][0]["videoUrl"]
        assert show.seller.patch(one, json={"public": False}).json()["data"]["public"] is False
        try:
            for path in (one, f"{one}/chat", f"{one}/showings", part):
                for client in (viewer, guest):
                    answer = client.get(path)
                    assert (answer.status_code, answer.json()["errorCode"]) == (404, "REPLAY_NOT_FOUND")
                assert show.seller.get(path).status_code == 200
            assert guest.get(clip["url"]).json()["errorCode"] == "CLIP_NOT_FOUND"
            assert get(guest, clips)["items"] == []
            assert get(guest, "/api/replays")["items"] == []
            assert get(show.seller, "/api/replays")["items"][0]["public"] is False
        finally:
            assert show.seller.patch(one, json={"public": True}).status_code == 200
        assert get(guest, one)["public"] is True


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/replays/{id}/chat?limit=0", 400, "VALIDATION_FAILED"),
        ("/api/replays/{id}/chat?limit=101", 400, "VALIDATION_FAILED"),
        ("/api/replays/{id}/chat?fromMs=-1", 400, "VALIDATION_FAILED"),
        ("/api/replays/{id}/chat?fromMs=99999999999", 400, "VALIDATION_FAILED"),
        ("/api/replays/{id}/chat?fromMs=x", 400, "VALIDATION_FAILED"),
        ("/api/replays/{id}/chat?beforeMs=5&fromMs=5", 400, "VALIDATION_FAILED"),
        ("/api/replays/{id}/chat?cursor=zz", 400, "VALIDATION_FAILED"),
        ("/api/replays/{id}/chat?nonsense=1", 400, "VALIDATION_FAILED"),
        ("/api/replays?cursor=zz", 400, "VALIDATION_FAILED"),
        ("/api/replays/{id}/parts/3", 404, "REPLAY_NOT_FOUND"),
        ("/api/replays/{id}/parts/x", 404, "REPLAY_NOT_FOUND"),
        ("/api/replays/nonsense", 404, "REPLAY_NOT_FOUND"),
        (f"/api/replays/{NOWHERE}/showings", 404, "REPLAY_NOT_FOUND"),
        (f"/api/clips/{NOWHERE}/video", 404, "CLIP_NOT_FOUND"),
        ("/api/clips/..%2f..%2fetc/video", 404, None),
        (f"/api/products/{NOWHERE}/clips", 404, "PRODUCT_NOT_FOUND"),
        ("/api/admin/recordings/storage", 401, "UNAUTHORIZED"),
    ],
)
def test_bad_input(show: Show, path: str, status: int, code: str | None) -> None:
    with show.server.client() as guest:
        answer = guest.get(path.format(id=show.replay["id"]))
        assert (answer.status_code, code or answer.json()["errorCode"]) == (status, answer.json()["errorCode"])


def test_an_unknown_cursor_is_the_end(show: Show) -> None:
    with show.server.client() as guest:
        assert get(guest, f"/api/replays/{show.replay['id']}/chat", cursor=NOWHERE) == {"items": [], "nextCursor": None}
        assert get(guest, "/api/replays", cursor=NOWHERE)["items"] == []


@pytest.fixture
def visit(browser: Browser, show: Show) -> Iterator[Callable[..., Page]]:
    problems: list[str] = []
    contexts = []

    def visit(path: str, **how: Any) -> Page:
        context = browser.new_context(base_url=show.server.web, locale="ko-KR", **{"viewport": PHONE, **how})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert problems == []


def position(page: Page) -> float:
    return float(page.get_by_test_id("position").input_value())


def test_a_viewer_watches_it_again(show: Show, visit: Callable[..., Page], artefacts: Path) -> None:
    page = visit(f"/live/{show.key}")
    page.get_by_role("link", name="다시보기").click()
    page.wait_for_url(f"**/replays/{show.replay['id']}")
    chat, card = page.get_by_test_id("replay-chat"), page.get_by_test_id("replay-product")
    video = page.get_by_test_id("video")
    page.screenshot(path=artefacts / "replay-begin-390x844.png")
    page.get_by_test_id("play").click()
    expect(chat).to_contain_text("안녕하세요")
    expect(chat).to_contain_text("가방부터 볼게요")
    expect(card).to_contain_text("가죽 가방")
    expect(chat).not_to_contain_text("니트 예뻐요")
    page.screenshot(path=artefacts / "replay-landscape-390x844.png")
    # near the end of the first file: the second one follows, with its picture and its chat
    page.get_by_test_id("position").evaluate(
        "(bar, at) => { bar.value = at; bar.dispatchEvent(new Event('change')); }",
        str(get(show.seller, f"/api/replays/{show.replay['id']}")["parts"][1]["startsMs"] - 700),
    )
    eventually(lambda: page.wait_for_timeout(50) or str(video.get_attribute("src")).endswith("/parts/2"))
    expect(page.locator(".live")).to_have_attribute("data-shape", "portrait")
    expect(card).to_contain_text("니트")
    expect(chat).to_contain_text("니트 예뻐요 <b>3 < 5</b>")
    expect(chat).to_contain_text("화면이 멈췄어요")
    page.screenshot(path=artefacts / "replay-portrait-390x844.png")
    # back to where the first product was shown
    page.get_by_test_id("open-products").click()
    page.screenshot(path=artefacts / "replay-sheet-390x844.png")
    page.get_by_test_id("replay-sheet").get_by_role("button", name="부터 보기").first.click()
    expect(card).to_contain_text("가죽 가방")
    expect(chat).not_to_contain_text("니트 예뻐요")
    eventually(lambda: page.wait_for_timeout(50) or 0 < position(page) < 8000)
    card.get_by_role("link", name="구매").click()
    page.wait_for_url(f"**/products/{show.products[0]['id']}")
    expect(page.get_by_test_id("product-clips").locator("video")).to_be_visible()
    page.screenshot(path=artefacts / "product-clip-390x844.png", full_page=True)


@pytest.mark.parametrize("size", [SMALL, DESK], ids=lambda size: f"{size['width']}x{size['height']}")
def test_it_fits(show: Show, visit: Callable[..., Page], artefacts: Path, size: dict[str, int]) -> None:
    page = visit(f"/replays/{show.replay['id']}?lang=en", viewport=size)
    page.get_by_test_id("play").click()
    expect(page.get_by_test_id("replay-product")).to_be_visible()
    expect(page.get_by_test_id("replay-chat")).to_contain_text("가방부터 볼게요")
    name = f"{size['width']}x{size['height']}"
    page.screenshot(path=artefacts / f"replay-{name}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    page.goto("/replays")
    expect(page.get_by_test_id("replays").get_by_role("link")).to_have_count(1)
    page.screenshot(path=artefacts / f"replays-{name}.png")


def test_the_seller_sees_the_budget_and_what_will_go(show: Show, visit: Callable[..., Page], artefacts: Path) -> None:
    page = visit("/")
    body = {"email": "seller@example.test", "name": "가게", "instagramId": "가게", "role": "ADMIN"}
    assert page.context.request.post("/api/auth/dev-login", data=body).ok
    page.goto("/admin/recordings")
    expect(page.get_by_test_id("storage")).to_contain_text("/ 50.0 GB 사용 중")
    shown = page.get_by_role("button", name="공개 중").first
    shown.click()
    expect(page.get_by_role("button", name="비공개")).to_have_count(2)  # both files of the broadcast
    page.get_by_role("button", name="비공개").first.click()
    expect(page.get_by_role("button", name="공개 중")).to_have_count(2)
    page.screenshot(path=artefacts / "admin-recordings-storage-390x844.png")
    page.goto("/admin/recordings?announced=1")
    expect(page.get_by_text("아직 녹화가 없어요")).to_be_visible()


def test_a_clip_of_the_demo_is_there_soon_after_its_product_was_shown(demo: RunningDorami) -> None:
    with demo.client("seller@example.test", role="ADMIN") as seller, demo.client() as guest:
        eventually(lambda: recorded_ms(seller, "demo") > 0)
        product = get(guest, "/api/products", streamKey="demo")["items"][3]
        clips = f"/api/products/{product['id']}/clips"
        before = len(get(guest, clips)["items"])
        began = recorded_ms(seller, "demo")
        seller.put("/api/streams/demo/pin", json={"productId": product["id"]})
        eventually(lambda: recorded_ms(seller, "demo") > began + 5000)
        seller.put("/api/streams/demo/pin", json={"productId": None})
        unpinned = time.monotonic()
        eventually(lambda: len(get(guest, clips)["items"]) > before, within_s=60)
        print(f"ready {time.monotonic() - unpinned:.2f} s after the unpin")
        clip = get(guest, clips)["items"][0]
        assert guest.get(clip["url"], headers={"Range": "bytes=0-99"}).status_code == 206
        found = re.search(r"^dorami_clip_last_ready_s\S* (\S+)$", guest.get("/metrics").text, re.MULTILINE)
        assert found is not None
        assert float(found[1]) > 0
