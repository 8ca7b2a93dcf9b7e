"""Wrong input to everything that sells, by HTTP and by socket: the right code, and nothing in any table changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import simple_websocket

from dorami_core import runtime
from dorami_core.events.codec import EventCodec
from dorami_core.events.outbox import OutboxWriter
from dorami_core.store.embedded.postgres import database_url
from dorami_core.store.postgres import open_database
from dorami_core.testing.clock import move_database_clock
from dorami_core.testing.server import RunningDorami, eventually, running_dorami

NOWHERE = "00000000-0000-4000-8000-000000000000"
SCHEMAS = ("catalog", "cart", "reservation", "orders", "points")
BAD = "VALIDATION_FAILED"
ADDRESS = {"recipient": "민수", "line1": "세종대로 110", "city": "서울", "country": "KR", "postalCode": "04524"}
ORDER = {"depositorName": "민수", "paymentMethod": "BANK_TRANSFER", "shippingAddress": ADDRESS}

WISHES: list[tuple[str, dict[str, Any], str]] = [
    ("quantity 0", {"productId": "plain", "quantity": 0}, BAD),
    ("quantity -1", {"productId": "plain", "quantity": -1}, BAD),
    ("quantity 10**9", {"productId": "plain", "quantity": 10**9}, BAD),
    ("quantity 10**40", {"productId": "plain", "quantity": 10**40}, BAD),
    ("quantity 1.5", {"productId": "plain", "quantity": 1.5}, BAD),
    ("quantity as text", {"productId": "plain", "quantity": "1"}, BAD),
    ("quantity true", {"productId": "plain", "quantity": True}, BAD),
    ("no quantity", {"productId": "plain"}, BAD),
    ("more than there are", {"productId": "plain", "quantity": 50}, "INSUFFICIENT_STOCK"),
    ("a colour that does not exist", {"productId": "coloured", "quantity": 1, "color": "무지개"}, BAD),
    ("no colour where one is to be chosen", {"productId": "coloured", "quantity": 1}, BAD),
    ("a colour where there are none", {"productId": "plain", "quantity": 1, "color": "블랙"}, BAD),
    ("a size where there are none", {"productId": "coloured", "quantity": 1, "color": "블랙", "size": "M"}, BAD),
    ("a product that never was", {"productId": NOWHERE, "quantity": 1}, "PRODUCT_NOT_FOUND"),
    ("a product that is no id", {"productId": "가방", "quantity": 1}, BAD),
    ("a deleted product", {"productId": "deleted", "quantity": 1}, "PRODUCT_NOT_FOUND"),
    (
        "a broadcast that does not show it",
        {"productId": "plain", "quantity": 1, "streamKey": "x" * 8},
        "PRODUCT_NOT_FOUND",
    ),
    ("more than one buyer may have", {"productId": "limited", "quantity": 2}, "BUYER_LIMIT"),
    ("an unknown field", {"productId": "plain", "quantity": 1, "price": "0.01"}, BAD),
]

Case = tuple[str, str, str, dict[str, Any] | None, int, str]
CALLS: list[Case] = [
    ("a line to 0", "PATCH", "/api/cart/{line}", {"quantity": 0}, 400, BAD),
    ("a line to -1", "PATCH", "/api/cart/{line}", {"quantity": -1}, 400, BAD),
    ("a line to 10**9", "PATCH", "/api/cart/{line}", {"quantity": 10**9}, 400, BAD),
    ("a line to more than there are", "PATCH", "/api/cart/{line}", {"quantity": 50}, 409, "INSUFFICIENT_STOCK"),
    ("a line to more than one may have", "PATCH", "/api/cart/{limited_line}", {"quantity": 2}, 409, "BUYER_LIMIT"),
    ("someone else's line", "PATCH", "/api/cart/{others_line}", {"quantity": 1}, 404, "CART_ITEM_NOT_FOUND"),
    ("someone else's line, away", "DELETE", "/api/cart/{others_line}", None, 404, "CART_ITEM_NOT_FOUND"),
    ("a line that never was", "DELETE", f"/api/cart/{NOWHERE}", None, 404, "CART_ITEM_NOT_FOUND"),
    ("a line that is no id", "DELETE", "/api/cart/1", None, 404, "CART_ITEM_NOT_FOUND"),
    ("an expired line", "PATCH", "/api/cart/{expired_line}", {"quantity": 2}, 410, "CART_EXPIRED"),
    ("an expired line, away", "DELETE", "/api/cart/{expired_line}", None, 410, "CART_EXPIRED"),
    ("a line of a deleted product", "PATCH", "/api/cart/{deleted_line}", {"quantity": 2}, 404, "CART_ITEM_NOT_FOUND"),
    ("a deleted product, to wait for", "POST", "/api/reservations", {"productId": "deleted", "quantity": 1}, 404,
     "PRODUCT_NOT_FOUND"),
    ("to wait for 0", "POST", "/api/reservations", {"productId": "sold_out", "quantity": 0}, 400, BAD),
    ("to wait for -1", "POST", "/api/reservations", {"productId": "sold_out", "quantity": -1}, 400, BAD),
    ("to wait for 10**9", "POST", "/api/reservations", {"productId": "sold_out", "quantity": 10**9}, 400, BAD),
    ("to wait for no such colour", "POST", "/api/reservations",
     {"productId": "coloured", "quantity": 1, "color": "무지개"}, 400, BAD),
    ("to wait for what is there", "POST", "/api/reservations", {"productId": "plain", "quantity": 1}, 409, "CONFLICT"),
    ("to wait for more than one may have", "POST", "/api/reservations", {"productId": "limited", "quantity": 2}, 409,
     "BUYER_LIMIT"),
    ("to wait twice", "POST", "/api/reservations", {"productId": "sold_out", "quantity": 1}, 409, "RESERVATION_EXISTS"),
    ("someone else's place", "DELETE", "/api/reservations/{others_place}", None, 404, "RESERVATION_NOT_FOUND"),
    ("someone else's order", "GET", "/api/orders/{others_order}", None, 404, "ORDER_NOT_FOUND"),
    ("someone else's order, cancelled", "POST", "/api/orders/{others_order}/cancel", None, 404, "ORDER_NOT_FOUND"),
    ("an order that never was", "POST", "/api/orders/ORD-20260101-99999/cancel", None, 404, "ORDER_NOT_FOUND"),
    ("points below 0", "POST", "/api/orders", {**ORDER, "pointsToUse": -1}, 400, BAD),
    ("points that one has not", "POST", "/api/orders", {**ORDER, "pointsToUse": 5}, 409, "INSUFFICIENT_POINTS"),
    ("more points than it costs", "POST", "/api/orders", {**ORDER, "pointsToUse": 10**9}, 400, BAD),
    ("no such way to pay", "POST", "/api/orders", {**ORDER, "paymentMethod": "CARD"}, 400, BAD),
    ("nobody pays", "POST", "/api/orders", {**ORDER, "depositorName": " "}, 400, BAD),
    ("an address without anything", "POST", "/api/orders", {**ORDER, "shippingAddress": {}}, 400, BAD),
    ("a payment that a buyer confirms", "POST", "/api/admin/orders/{others_order}/confirm-payment", None, 403,
     "FORBIDDEN"),
    ("points that a buyer gives", "POST", "/api/admin/points/adjust",
     {"userId": NOWHERE, "amount": 5, "reason": "나"}, 403, "FORBIDDEN"),
]  # fmt: skip


@attrs.frozen
class Shop:
    """A Dorami with one of everything, a buyer, and the names of what is in it."""

    url: str
    buyer: httpx.Client
    guest: httpx.Client
    known: dict[str, str]
    socket: simple_websocket.Client

    def filled(self, body: dict[str, Any] | None) -> dict[str, Any] | None:
        if body is None or "productId" not in body:
            return body
        return {**body, "productId": self.known.get(body["productId"], body["productId"])}

    def say(self, event: str, data: Any) -> dict[str, Any]:
        self.socket.send(json.dumps({"ns": "/", "event": event, "data": data, "id": 7}))
        while True:
            heard = json.loads(self.socket.receive(timeout=60))
            if heard.get("ack") == 7:
                return dict(heard["data"])

    def dump(self) -> dict[str, list[str]]:
        """Every row of every table of selling, and how many events were ever written."""

        async def read() -> dict[str, list[str]]:
            async with open_database(self.url, min_size=1, max_size=1, outbox_writer=OutboxWriter(EventCodec())) as db:
                tables = await db.fetch(
                    """SELECT schemaname || '.' || tablename AS name FROM pg_tables
                       WHERE schemaname = ANY($1::text[]) ORDER BY 1""",
                    list(SCHEMAS),
                )
                found = {}
                for table in tables:
                    rows = await db.fetch(f"SELECT to_jsonb(t)::text AS row FROM {table['name']} t ORDER BY 1")
                    found[table["name"]] = [row["row"] for row in rows]
                aggregates = await db.fetch("SELECT to_jsonb(a)::text AS row FROM core.aggregates a ORDER BY 1")
                found["core.aggregates"] = [row["row"] for row in aggregates]
                return found

        return runtime.run(read)


def made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json()["data"])


def open_shop(server: RunningDorami, stack: ExitStack) -> Shop:
    client = server.client
    seller = stack.enter_context(client("seller@example.test", role="ADMIN"))
    buyer, other = (stack.enter_context(client(f"{name}@example.test")) for name in ("buyer", "other"))

    def product(name: str, **fields: Any) -> str:
        stock = {} if "variants" in fields else {"quantity": 5}
        body = {"name": name, "price": "10.00", **stock, **fields}
        return str(made(seller.post("/api/products", json=body))["id"])

    def line(who: httpx.Client, product_id: str) -> str:
        return str(made(who.post("/api/cart", json={"productId": product_id, "quantity": 1}))["id"])

    colours = [{"color": "블랙", "quantity": 3}, {"color": "아이보리", "quantity": 2}]
    known = {
        "plain": product("머그"),
        "sold_out": product("단 하나", quantity=1),
        "limited": product("한정", maxPerBuyer=1),
        "deleted": product("내린 상품"),
        "brief": product("잠깐", holdSeconds=5),
        "coloured": str(
            made(seller.post("/api/products", json={"name": "니트", "price": "9.00", "variants": colours}))["id"]
        ),
    }
    known["others_line"] = line(other, known["sold_out"])
    known["expired_line"], known["deleted_line"] = line(buyer, known["brief"]), line(buyer, known["deleted"])
    url = database_url(server.data)

    async def pass_six_seconds() -> None:
        async with open_database(url, min_size=1, max_size=1, outbox_writer=OutboxWriter(EventCodec())) as db:
            await move_database_clock(db, 6)

    runtime.run(pass_six_seconds)
    seller.delete(f"/api/products/{known['deleted']}").raise_for_status()
    eventually(lambda: seller.get(f"/api/products/{known['brief']}").json()["data"]["available"] == 5)
    # The cart has seen that something expired: an order is not refused for it again.
    buyer.post("/api/orders", json=ORDER)
    known["line"], known["limited_line"] = line(buyer, known["plain"]), line(buyer, known["limited"])
    waiting = {"productId": known["sold_out"], "quantity": 1}
    made(buyer.post("/api/reservations", json=waiting))
    third = stack.enter_context(client("third@example.test"))
    known["others_place"] = made(third.post("/api/reservations", json=waiting))["id"]
    line(third, known["plain"])
    known["others_order"] = made(third.post("/api/orders", json=ORDER))["id"]
    socket = simple_websocket.Client(
        f"{server.edge.replace('http', 'ws')}/ws",
        subprotocols=["dorami.v1.json"],
        headers={"Cookie": f"access_token={buyer.headers['Authorization'].removeprefix('Bearer ')}"},
    )
    stack.callback(socket.close)
    return Shop(url, buyer, stack.enter_context(client()), known, socket)


@pytest.fixture(scope="module")
def shop(short_tmp: Path) -> Iterator[Shop]:
    with running_dorami(short_tmp / "wrong") as server, ExitStack() as stack:
        yield open_shop(server, stack)


@pytest.mark.parametrize(("body", "code"), [case[1:] for case in WISHES], ids=[case[0] for case in WISHES])
def test_a_wrong_wish_changes_nothing(shop: Shop, body: dict[str, Any], code: str) -> None:
    """The same rule by `POST /api/cart` and by `cart:add`."""
    before = shop.dump()
    by_http = shop.buyer.post("/api/cart", json=shop.filled(body))
    assert (by_http.json()["errorCode"], by_http.status_code // 100) == (code, 4)
    by_socket = shop.say("cart:add", shop.filled(body))
    assert (by_socket["ok"], by_socket["errorCode"]) == (False, code)
    assert shop.dump() == before


def test_a_guest_buys_nothing(shop: Shop) -> None:
    before = shop.dump()
    wish = shop.filled({"productId": "plain", "quantity": 1})
    assert shop.guest.post("/api/cart", json=wish).json()["errorCode"] == "UNAUTHORIZED"
    assert shop.guest.post("/api/orders", json=ORDER).json()["errorCode"] == "UNAUTHORIZED"
    assert shop.dump() == before


@pytest.mark.parametrize("case", CALLS, ids=[case[0] for case in CALLS])
def test_a_wrong_call_changes_nothing(shop: Shop, case: Case) -> None:
    _, method, path, body, status, code = case
    before = shop.dump()
    answer = shop.buyer.request(method, path.format(**shop.known), json=shop.filled(body))
    assert (answer.status_code, answer.json()["errorCode"]) == (status, code)
    assert shop.dump() == before


def test_a_right_wish_changes_something(shop: Shop) -> None:
    """The control: the dump sees what is bought."""
    before = shop.dump()
    answer = shop.say("cart:add", shop.filled({"productId": "coloured", "quantity": 1, "color": "블랙"}))
    assert answer["ok"] is True
    after = shop.dump()
    assert {name for name in after if after[name] != before[name]} >= {
        "cart.items",
        "catalog.variants",
        "catalog.ledger",
    }
