"""Orders that are said in the chat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from dorami_cart.model import CartSettings
from dorami_cart.plugin import CartPlugin
from dorami_cart.spoken import SpokenOrder, choose, parse
from dorami_catalog.model import VariantInput
from dorami_catalog.plugin import CatalogPlugin
from dorami_orders.plugin import OrdersPlugin

from dorami_core.base.ids import GuestId
from dorami_core.base.principal import Principal
from dorami_core.testing.host import open_bench
from tests.plugins.conftest import Selling


@pytest.mark.parametrize(
    ("message", "number", "quantity", "words"),
    [
        ("3번 블랙 M 2개", 3, 2, ("블랙", "m")),
        ("A3 black m x2", 3, 2, ("black", "m")),
        ("  ３번　２개 ", 3, 2, ()),
        ("3 번 2 개 주세요", 3, 2, ()),
        ("#12 x1", 12, 1, ()),
        ("1번 아이보리", 1, 1, ("아이보리",)),
        ("1번, M, 3장 구매요", 1, 3, ("m",)),
        ("b2 2x please", 2, 2, ()),
    ],
)
def test_what_is_an_order(message: str, number: int, quantity: int, words: tuple[str, ...]) -> None:
    assert parse(message) == SpokenOrder(number, quantity, words)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "3번",
        "3번 주세요",
        "안녕하세요",
        "3 2개",
        "2개 3번",
        "3번 2개 3개",
        "오늘 3번 2개",
        "3번째 2개",
        "A3",
        "x2",
        "1234번 2개",
    ],
)
def test_what_is_talk(message: str) -> None:
    assert parse(message) is None


def test_words_are_options_or_it_is_talk() -> None:
    colors, sizes = ["블랙", "Sky Blue"], ["S", "M"]
    assert choose(["블랙", "m"], colors, sizes) == ("블랙", "M")
    assert choose(["black"], colors, sizes) == ("블랙", None)
    assert choose(["m", "sky", "blue"], colors, sizes) == ("Sky Blue", "M")
    assert choose([], colors, sizes) == (None, None)
    assert choose(["블랙", "예뻐요"], colors, sizes) is None
    assert choose(["블랙", "블랙"], colors, sizes) is None


async def say(selling: Any, user: Any, message: str, message_id: str = "m1") -> dict[str, Any]:
    principal = Principal(user) if user else Principal(guest_id=GuestId("g"))
    answer: dict[str, Any] = await selling.bench.hooks.filter(
        "filter_chat_receipt", {"id": message_id}, principal=principal, stream_key="live-show", message=message
    )
    return answer


async def test_it_goes_into_the_writers_cart_once(selling: Any) -> None:
    await selling.product(5, name="머그", sort_order=1)
    variants = [VariantInput(color="블랙", size=size, quantity=3) for size in ("S", "M")]
    knit = await selling.product(None, variants=variants, sort_order=2)
    buyer = selling.user()
    for _ in range(2):
        answer = await say(selling, buyer, "2번 블랙 M 2개")
        assert (answer["id"], answer["cart"]["ok"]) == ("m1", True)
    (line,) = (await selling.cart.view(buyer.id)).items
    assert (line.product_id, line.color, line.size, line.quantity) == (knit.id, "블랙", "M", 2)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("1번 9개", "INSUFFICIENT_STOCK"),
        ("7번 1개", "PRODUCT_NOT_FOUND"),
        ("1번 0개", "VALIDATION_FAILED"),
        ("0번 1개", "PRODUCT_NOT_FOUND"),
    ],
)
async def test_what_cannot_be_had_is_told_to_the_writer(selling: Any, message: str, code: str) -> None:
    await selling.product(2)
    buyer = selling.user()
    answer = await say(selling, buyer, message)
    assert (answer["cart"]["ok"], answer["cart"]["errorCode"]) == (False, code)
    assert (await selling.cart.view(buyer.id)).items == []


async def test_talk_and_guests_change_nothing(selling: Any) -> None:
    await selling.product(2, color_options=["블랙"])
    assert await say(selling, selling.user(), "1번 블랙 예뻐요") == {"id": "m1"}
    assert await say(selling, None, "1번 블랙 1개") == {"id": "m1"}


@pytest.fixture
async def quiet(database_url: str) -> AsyncIterator[Selling]:
    settings = {"cart": CartSettings(chat_orders=False)}
    async with open_bench(database_url, [CatalogPlugin(), CartPlugin(), OrdersPlugin()], settings=settings) as bench:
        bench.streams.put("live-show")
        yield Selling(bench)


async def test_the_seller_may_turn_it_off(quiet: Selling) -> None:
    await quiet.product(2)
    assert await say(quiet, quiet.user(), "1번 1개") == {"id": "m1"}
