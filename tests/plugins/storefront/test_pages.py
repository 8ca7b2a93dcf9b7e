"""Every page, rendered as the web layer does it, in both languages; and what its forms do."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import attrs
import points_fakes
import pytest
import queue_fakes
import shop_fakes as fakes
from dorami_reservation.api import JoinQueue
from dorami_storefront.assets import Assets, BundleMissing
from dorami_storefront.pages import account, admin, cart, checkout, order_desk, points, replay, shop, waiting
from dorami_storefront.site import Site, same_site_path
from dorami_storefront.texts import Texts
from points_fakes import FakePoints
from queue_fakes import FakeQueue
from shop_fakes import FakeCart, FakeCatalog, FakeHost, FakeOrders, FakeRecordings, FakeStreams, request

from dorami_core.hooks import DoramiError, Page, Redirect, Request, Templates
from dorami_core.web.router import PageRoute, WebRouter
from dorami_core.web.templates import Pages

PACKAGE = Path(shop.__file__).parents[1]
ICONS = set(re.findall(r'^  "([a-z0-9-]+)",$', (PACKAGE / "web/icons.ts").read_text("utf-8"), re.M))
VOID = {"meta", "link", "input", "img", "br", "hr"}


class Checked(HTMLParser):
    """Collects what the rules of every page are about, and fails on tags that do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.problems: list[str] = []
        self.icons: set[str] = set()
        self.lang: str | None = None
        self.titles = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.titles += tag == "h1"
        if tag == "html":
            self.lang = given.get("lang")
        if tag == "script" and given.get("nonce") != "nonce":
            self.problems.append("a script without the nonce")
        if "style" in given or any(name.startswith("on") for name in given):
            self.problems.append(f"inline style or handler on {tag}: {given}")
        if tag == "img" and "alt" not in given:
            self.problems.append(f"no alt: {given}")
        if identity := given.get("id"):
            self.ids.append(identity)
        if tag == "use":
            self.icons.add((given.get("href") or "").partition("#")[2])
        if tag == "form" and given.get("method") == "post":
            self.open[-1] = "form"

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")


def make_site(**changes: Any) -> Site:
    scripts = ("site", "live", "replay", "admin", "restream", "recordings")
    names = ("style.css", "icons.svg", *(f"{script}.ts" for script in scripts))
    knit = fakes.knit()
    streams = FakeStreams(
        [
            fakes.stream("demo", "가을 <니트> 라이브", "LIVE", free_shipping_enabled=True),
            fakes.stream("soon", "주말 방송", "PENDING", scheduled_at=fakes.NOW + timedelta(hours=2)),
            fakes.stream("past", "지난 방송", "OFFLINE", ended_at=fakes.NOW, peak_viewers=842),
        ]
    )
    values: dict[str, Any] = {
        "host": FakeHost(streams=streams, recordings=FakeRecordings([fakes.replay()])),
        "catalog": FakeCatalog([knit, fakes.product(2, "비니", available=0)]),
        "cart": FakeCart([fakes.cart_item(1, knit, color="블랙"), fakes.cart_item(2, knit, left_s=None)]),
        "orders": FakeOrders(
            [
                fakes.order(),
                fakes.order("ORD-20261122-00002", status="PAID", shipping_status="SHIPPED", expires_at=None),
            ]
        ),
        "queue": FakeQueue(
            [
                queue_fakes.place(1, knit, color="블랙", size="M"),
                queue_fakes.place(
                    2,
                    knit,
                    status="PROMOTED",
                    position=None,
                    ahead=[],
                    promoted_quantity=1,
                    item_id=UUID(int=501),
                    promoted_at=fakes.NOW,
                    expires_at=fakes.NOW + timedelta(minutes=5),
                ),
            ]
        ),
        "points": FakePoints(
            1250,
            [
                points_fakes.entry(1, "EARNED_ORDER", 1300),
                points_fakes.entry(2, "ADJUSTED", -50, reason="착오"),
                points_fakes.entry(3, "USED_ORDER", -700),
            ],
            [points_fakes.proof()],
        ),
        "assets": Assets({name: f"/static/dorami_storefront/dist/{name}" for name in names}),
        "texts": Texts.load(PACKAGE / "messages"),
    }
    return Site(**{**values, **changes})


def routes(site: Site) -> dict[tuple[str, str], PageRoute]:
    router = WebRouter()
    for pages in (shop, replay, cart, checkout, account, admin, order_desk, points, waiting):
        pages.register(router, site)
    return {(route.method, route.path): route for route in router.page_routes}


def find(site: Site, method: str, path: str) -> tuple[PageRoute, dict[str, str]]:
    for (its_method, its_path), route in routes(site).items():
        match = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", its_path), path)
        if its_method == method and match:
            return route, match.groupdict()
    raise LookupError(path)


async def get(site: Site, path: str, **facts: Any) -> Page | Redirect:
    route, params = find(site, "GET", path)
    result = await route.handler(request(path, **facts, **params))
    assert isinstance(result, Page | Redirect)
    return result


async def post(site: Site, path: str, form: dict[str, str], who: str | None = "USER") -> Page | Redirect:
    route, params = find(site, "POST", path)
    assert route.form is not None
    asked = request(path, who=who, method="POST", **params)
    result = await route.handler(asked, route.form(**form))
    assert isinstance(result, Page | Redirect)
    return result


def render(page: Page | Redirect, asked: Request) -> str:
    assert isinstance(page, Page)
    pages = Pages([Templates(package="dorami_storefront")])
    web = {"request": asked, "csrf_token": asked.csrf_token, "user": asked.principal.user, "edge_port": 8080}
    return pages.render(page.template, asked.lang, {**web, "nonce": "nonce", **page.context})


def check(html: str, lang: str) -> None:
    seen = Checked()
    seen.feed(html)
    assert seen.problems == []
    assert seen.open == []
    assert seen.lang == lang
    assert seen.titles == 1
    assert len(seen.ids) == len(set(seen.ids))
    assert seen.icons <= ICONS
    assert not re.search(
        r">\s*(js|problem|status|order|admin|live|home|step|my|pay|replays?|recordings)_[a-z_]+\s*<", html
    ), "a key without a text"


EVERY_PAGE = [
    ("/", "USER"),
    ("/", None),
    ("/live/demo", "USER"),
    ("/live/demo", None),
    ("/live/soon", None),
    ("/live/past", None),
    ("/replays", None),
    (f"/replays/{fakes.REPLAY}", None),
    (f"/replays/{fakes.REPLAY}", "ADMIN"),
    ("/store", None),
    (f"/products/{UUID(int=1)}", None),
    (f"/products/{UUID(int=2)}", None),
    ("/cart", "USER"),
    ("/checkout", "USER"),
    ("/orders/ORD-20261123-00001", "USER"),
    ("/orders/ORD-20261122-00002", "USER"),
    ("/my", "USER"),
    ("/my/points", "USER"),
    ("/login", None),
    ("/admin", "ADMIN"),
    ("/admin/streams/demo", "ADMIN"),
    ("/admin/streams/past", "ADMIN"),
    ("/admin/orders", "ADMIN"),
    ("/admin/points", "ADMIN"),
    (f"/admin/points?user={fakes.USER}", "ADMIN"),
    ("/admin/chat", "ADMIN"),
    ("/admin/restream", "ADMIN"),
    ("/admin/recordings", "ADMIN"),
]


@pytest.mark.parametrize("lang", ["ko", "en"])
@pytest.mark.parametrize(("path", "who"), EVERY_PAGE)
async def test_every_page_keeps_the_rules(path: str, who: str | None, lang: str) -> None:
    path, _, query = path.partition("?")
    page = await get(make_site(), path, who=who, lang=lang, args=dict(parse_qsl(query)))
    html = render(page, request(path, who=who, lang=lang))
    check(html, lang)
    picture = "8080/hls/demo.jpg" if path == "/live/demo" else "8000/static/"
    assert f'<meta property="og:image" content="http://127.0.0.1:{picture}' in html


@pytest.mark.parametrize(
    ("path", "empty"),
    [
        ("/", "home_empty"),
        ("/store", "store_empty"),
        ("/cart", "cart_empty"),
        ("/my", "my_empty"),
        ("/my/points", "points_empty"),
        ("/admin", "admin_none"),
        ("/admin/points", "points_none"),
    ],
)
async def test_an_empty_page_says_what_to_do(path: str, empty: str) -> None:
    site = make_site(host=FakeHost(), catalog=FakeCatalog(), cart=FakeCart(), orders=FakeOrders(), points=FakePoints())
    html = render(await get(site, path, who="ADMIN"), request(path, who="ADMIN"))
    check(html, "ko")
    assert site.texts.by_lang["ko"][empty] in html
    assert site.texts.by_lang["ko"][f"{empty}_hint"] in html


async def test_what_people_wrote_is_escaped() -> None:
    site = make_site(catalog=FakeCatalog([fakes.product(1, "</script><script>alert(1)</script>")]))
    html = render(await get(site, "/live/demo"), request("/live/demo"))
    assert "<script>alert" not in html
    assert "가을 &lt;니트&gt; 라이브" in html


async def test_the_error_page_stands_without_the_bundle() -> None:
    pages = Pages([Templates(package="dorami_storefront")])
    assert pages.error_template == "dorami_storefront/error.html"
    context = {"code": "UNAVAILABLE", "sentence": "잠시 <쉬어요>", "status": 503, "details": {}, "nonce": "nonce"}
    html = pages.render(pages.error_template, "ko", {**context, "request": request("/store")})
    check(html, "ko")
    assert "잠시 &lt;쉬어요&gt;" in html
    assert "dist/" not in html


@pytest.mark.parametrize(
    ("base_url", "edge"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8080"),
        ("http://localhost:8000", "http://localhost:8080"),
        ("http://[::1]:8000", "http://[::1]:8080"),
        ("https://shop.example", "https://shop.example"),
        ("http://shop.example:9000", "http://shop.example:9000"),
    ],
)
def test_the_edge_is_beside_the_web_port_or_behind_the_same_proxy(base_url: str, edge: str) -> None:
    assert make_site().edge_origin(request("/", base_url=base_url)) == edge


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/cart", "/cart"),
        ("/live/demo?kpi=1", "/live/demo?kpi=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\nb", "/"),
        ("", "/"),
        ("/" + "a" * 600, "/"),
    ],
)
def test_after_signing_in_one_stays_on_this_site(text: str, path: str) -> None:
    assert same_site_path(text) == path


async def test_somebody_signed_in_needs_no_sign_in_page() -> None:
    assert await get(make_site(), "/login", args={"next": "/cart"}) == Redirect("/cart")


async def test_a_guest_signs_in_before_buying_and_comes_back_to_the_product() -> None:
    answer = await post(make_site(), "/cart/add", {"product_id": str(UUID(int=1))}, who=None)
    assert answer == Redirect(f"/login?next=/products/{UUID(int=1)}")


async def test_adding_goes_to_the_cart_and_a_refusal_back_to_the_product() -> None:
    site = make_site()
    form = {"product_id": str(UUID(int=1)), "quantity": "2", "color": "블랙", "size": "S"}
    assert await post(site, "/cart/add", form) == Redirect("/cart?added=1")
    assert isinstance(site.cart, FakeCart)
    [wish] = site.cart.said
    assert attrs.asdict(wish) == {  # type: ignore[call-overload]
        "product_id": UUID(int=1),
        "quantity": 2,
        "color": "블랙",
        "size": "S",
        "wait": False,
        "stream_key": None,
        "client_id": None,
    }
    site.cart.refuse = "INSUFFICIENT_STOCK"
    answer = await post(site, "/cart/add", form)
    assert answer == Redirect(f"/products/{UUID(int=1)}?problem=problem_insufficient_stock")
    page = await get(site, f"/products/{UUID(int=1)}", args={"problem": "problem_insufficient_stock"})
    assert site.texts.by_lang["ko"]["problem_insufficient_stock"] in render(page, request("/"))


async def test_only_known_problems_are_shown() -> None:
    page = await get(make_site(), "/cart", args={"problem": "nonsense"})
    assert isinstance(page, Page)
    assert page.context["problem"] is None


async def test_an_error_without_a_sentence_of_ours_becomes_the_error_page() -> None:
    site = make_site(cart=FakeCart(refuse="UNAVAILABLE"))
    with pytest.raises(DoramiError, match="UNAVAILABLE"):
        await post(site, f"/cart/items/{UUID(int=501)}", {"quantity": "2"})


FILLED = {
    "depositor_name": " 김도라 ",
    "payment_method": "ZELLE",
    "recipient": "김도라",
    "phone": "010",
    "postal_code": "04524",
    "country": "KR",
    "city": "서울시 중구",
    "line1": "세종대로 110",
}


async def test_an_order_is_placed_as_it_was_typed() -> None:
    site = make_site()
    assert await post(site, "/checkout", FILLED) == Redirect("/orders/ORD-20261123-00001?placed=1")
    assert isinstance(site.orders, FakeOrders)
    [wish] = site.orders.placed
    assert (wish.depositor_name, wish.payment_method) == ("김도라", "ZELLE")
    assert wish.shipping_address == {
        "recipient": "김도라",
        "phone": "010",
        "postalCode": "04524",
        "country": "KR",
        "city": "서울시 중구",
        "line1": "세종대로 110",
    }


@pytest.mark.parametrize("changes", [{"depositor_name": ""}, {"payment_method": "CASH"}, {"line1": " "}])
async def test_nothing_typed_is_lost_when_something_is_missing(changes: dict[str, str]) -> None:
    site = make_site()
    page = await post(site, "/checkout", {**FILLED, "memo": "문 앞에 놓아주세요", **changes})
    html = render(page, request("/checkout"))
    check(html, "ko")
    assert site.texts.by_lang["ko"]["problem_missing"] in html
    assert 'value="문 앞에 놓아주세요"' in html
    assert isinstance(site.orders, FakeOrders)
    assert site.orders.placed == []


async def test_a_cart_that_expired_meanwhile_is_told_and_the_rest_stays() -> None:
    site = make_site(orders=FakeOrders(refuse="CART_EXPIRED"))
    html = render(await post(site, "/checkout", FILLED), request("/checkout"))
    assert site.texts.by_lang["ko"]["problem_cart_expired"] in html
    assert isinstance(site.cart, FakeCart)
    assert len(site.cart.items) == 1


async def test_shipping_is_free_only_where_every_broadcast_grants_it() -> None:
    site = make_site()
    page = await get(site, "/checkout")
    assert isinstance(page, Page)
    assert page.context["fee"].minor == 0
    assert isinstance(site.cart, FakeCart)
    site.cart.items.append(fakes.cart_item(9, fakes.product(9, "다른 곳", stream_key=None)))
    page = await get(site, "/checkout")
    assert isinstance(page, Page)
    assert page.context["fee"].minor == 500
    assert page.context["total"].minor == page.context["cart"].subtotal.minor + 500


async def test_an_order_shows_account_amount_and_name_to_copy() -> None:
    html = render(await get(make_site(), "/orders/ORD-20261123-00001"), request("/"))
    for value in ("국민은행 123456-04-123456 도라미", "129.60", "김도라"):
        assert f'data-copy="{value}"' in html
    assert 'data-testid="order-total">$129.60' in html


async def test_another_ones_order_does_not_exist_but_staff_sees_it() -> None:
    site = make_site(orders=FakeOrders([fakes.order(user_id=UUID(int=99))]))
    with pytest.raises(DoramiError, match="ORDER_NOT_FOUND"):
        await get(site, "/orders/ORD-20261123-00001")
    assert isinstance(await get(site, "/orders/ORD-20261123-00001", who="ADMIN"), Page)


async def test_staff_confirms_a_payment_and_keeps_the_filter() -> None:
    site = make_site()
    form = {"back": "status=PENDING_PAYMENT&nonsense=1"}
    answer = await post(site, "/admin/orders/ORD-20261123-00001/confirm", form, who="ADMIN")
    assert answer == Redirect("/admin/orders?status=PENDING_PAYMENT&confirmed=ORD-20261123-00001")
    page = await get(site, "/admin/orders", who="ADMIN", args={"status": "PAID"})
    html = render(page, request("/admin/orders", who="ADMIN"))
    assert "ORD-20261122-00002" in html
    assert "ORD-20261123-00001" not in html


def test_staff_pages_are_for_staff_and_own_pages_for_users() -> None:
    for (_, path), route in routes(make_site()).items():
        expected = "admin" if path.startswith("/admin") else None
        if (
            path.startswith(("/orders", "/checkout", "/my"))
            or path == "/cart"
            or path.startswith(("/cart/items", "/waiting/{"))
        ):
            expected = "user"
        assert route.access.value == (expected or "public"), path


def test_without_the_bundle_the_start_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BundleMissing, match="run make build"):
        Assets.load(tmp_path)


async def test_what_is_sold_out_can_be_waited_for() -> None:
    site = make_site()
    path = f"/products/{UUID(int=2)}"
    html = render(await get(site, path), request(path))
    assert 'formaction="/waiting/add"' in html
    assert 'data-testid="add-to-cart"' not in html
    form = {"product_id": str(UUID(int=2)), "quantity": "2"}
    assert await post(site, "/waiting/add", form) == Redirect("/my?waiting=1")
    assert site.queue.said == [JoinQueue(product_id=UUID(int=2), quantity=2)]  # type: ignore[attr-defined]
    answer = await post(site, "/waiting/add", form, who=None)
    assert answer == Redirect(f"/login?next={path}")


@pytest.mark.parametrize("code", ["RESERVATION_EXISTS", "CONFLICT", "VALIDATION_FAILED"])
async def test_what_cannot_be_waited_for_is_said_at_the_product(code: str) -> None:
    site = make_site(queue=FakeQueue(refuse=code))
    answer = await post(site, "/waiting/add", {"product_id": str(UUID(int=2)), "quantity": "1"})
    assert isinstance(answer, Redirect)
    problem = "problem_option" if code == "VALIDATION_FAILED" else f"problem_{code.lower()}"
    assert answer.location == f"/products/{UUID(int=2)}?problem={problem}"


@pytest.mark.parametrize(("refuse", "target"), [(None, "/my"), ("CONFLICT", "/my?problem=problem_conflict")])
async def test_my_page_shows_the_waiting_list_and_how_to_leave_it(refuse: str | None, target: str) -> None:
    site = make_site()
    html = render(await get(site, "/my"), request("/my"))
    assert "대기 4번째" in html
    assert "차례예요!" in html
    assert f'action="/waiting/{UUID(int=901)}/leave"' in html
    refusing = make_site(queue=FakeQueue(refuse=refuse))
    assert await post(refusing, f"/waiting/{UUID(int=901)}/leave", {}) == Redirect(target)


async def test_orders_are_searched_and_taken_away_as_a_table() -> None:
    site = make_site()
    asked = {"q": "00002", "status": "PAID"}
    html = render(await get(site, "/admin/orders", who="ADMIN", args=asked), request("/admin/orders", who="ADMIN"))
    assert "ORD-20261122-00002" in html
    assert "ORD-20261123-00001" not in html
    assert 'data-export="/api/admin/orders/export?status=PAID&amp;q=00002"' in html
    assert 'value="00002"' in html
