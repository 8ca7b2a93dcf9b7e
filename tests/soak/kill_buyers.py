"""Buyers of a sale in which something is killed: whoever gets no answer says the same again, under the same name."""

from __future__ import annotations

import random
from typing import Any

import attrs
import httpx
import trio

from bench.shoppers import Shopper, connect_shopper
from dorami_core.testing.server import RunningDorami

PATIENCE_S = 60.0
ADDRESS = {
    "recipient": "김민지",
    "line1": "1 Main St",
    "city": "Irvine",
    "state": "CA",
    "postalCode": "92602",
    "country": "US",
}
REFUSALS = {"INSUFFICIENT_STOCK", "RESERVATION_EXISTS", "CART_EMPTY", "CART_EXPIRED", "CART_ITEM_NOT_FOUND"}


@attrs.define
class Sale:
    """What all buyers share. `server` changes when another one is started; `is_up` is set while one is there."""

    server: RunningDorami
    client: httpx.AsyncClient
    products: list[str]
    answers: int = 0
    unavailable: int = 0
    """Answers that said so."""
    unheard: int = 0
    """Questions whose answer never came."""
    is_over: bool = False
    is_up: trio.Event = attrs.Factory(trio.Event)
    heard: trio.Event = attrs.Factory(trio.Event)

    def count(self) -> None:
        self.answers += 1
        self.heard.set()
        self.heard = trio.Event()

    async def wait_answers(self, more: int) -> None:
        until = self.answers + more
        while self.answers < until:
            await self.heard.wait()


class Buyer:
    """Adds, waits, orders and gives back at random, and keeps what he was told."""

    def __init__(self, sale: Sale, user_id: str, token: str, seed: int) -> None:
        self.sale, self.user_id, self._token = sale, user_id, token
        self.added: dict[tuple[str, str], int] = {}
        """Units, by line and product."""
        self.places: dict[str, int] = {}
        """Numbers, by place."""
        self.orders: set[str] = set()
        self.given_back: set[str] = set()
        self._random = random.Random(seed)
        self._said = 0
        self._prefix = f"{seed}"
        self._shopper: Shopper | None = None

    async def shop(self) -> None:
        """Until the sale is over."""
        while not self.sale.is_over:
            match self._random.choice(["add", "add", "add", "order", "give back"]):
                case "add":
                    await self._add()
                case "order":
                    await self._order()
                case _:
                    await self._give_back()
        self._hang_up()

    async def _add(self) -> None:
        wish = {
            "productId": self._random.choice(self.sale.products),
            "quantity": self._random.randint(1, 2),
            "wait": self._random.random() < 0.7,
            "clientId": self._name(),
        }
        answer = await self._ask(wish)
        if not answer["ok"]:
            assert answer["errorCode"] in REFUSALS, answer
        elif "item" in answer["data"]:
            line = (answer["data"]["item"]["id"], wish["productId"])
            self.added[line] = self.added.get(line, 0) + wish["quantity"]
        else:
            place = answer["data"]["reservation"]
            self.places[place["id"]] = place["reservationNumber"]

    async def _order(self) -> None:
        body = {"depositorName": "김민지", "paymentMethod": "ZELLE", "shippingAddress": ADDRESS}
        answer = await self._call("POST", "/api/orders", json=body, headers={"Idempotency-Key": self._name()})
        if answer.status_code == 201:
            self.orders.add(answer.json()["data"]["id"])

    async def _give_back(self) -> None:
        ours = [line for line, _ in self.added if line not in self.given_back]
        if ours:
            line = self._random.choice(ours)
            if (await self._call("DELETE", f"/api/cart/{line}")).status_code == 200:
                self.given_back.add(line)

    def _name(self) -> str:
        self._said += 1
        return f"{self._prefix}-{self._said}"

    async def _ask(self, wish: dict[str, Any]) -> dict[str, Any]:
        """By socket; the answer to this wish, however often it has to be said."""
        with trio.fail_after(PATIENCE_S):
            while True:
                try:
                    if self._shopper is None:
                        await self.sale.is_up.wait()
                        self._shopper = await connect_shopper(self.sale.server.edge, self._token)
                    answer = await self._shopper.ask("cart:add", wish)
                except OSError:
                    await self._went_unheard()
                    continue
                if answer["ok"] or answer["errorCode"] != "UNAVAILABLE":
                    self.sale.count()
                    return answer
                await self._told_unavailable()

    async def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        """By HTTP; a status below 500, and no 409 for a request that is still being answered."""
        headers = {"Authorization": f"Bearer {self._token}", **request.pop("headers", {})}
        with trio.fail_after(PATIENCE_S + 60):
            while True:
                await self.sale.is_up.wait()
                try:
                    url = self.sale.server.web + path
                    answer = await self.sale.client.request(method, url, headers=headers, **request)
                except httpx.TransportError:
                    await self._went_unheard()
                    continue
                assert answer.status_code in (200, 201, 503) or answer.status_code < 500, answer.text
                if answer.status_code < 500 and "in_progress" not in answer.text:
                    self.sale.count()
                    if answer.status_code >= 400:
                        assert answer.json()["errorCode"] in REFUSALS, answer.text
                    return answer
                await self._told_unavailable()

    async def _went_unheard(self) -> None:
        self.sale.unheard += 1
        self._hang_up()
        await trio.sleep(0.05)

    def _hang_up(self) -> None:
        if self._shopper is not None:
            self._shopper.close()
            self._shopper = None

    async def _told_unavailable(self) -> None:
        self.sale.unavailable += 1
        await trio.sleep(0.05)
