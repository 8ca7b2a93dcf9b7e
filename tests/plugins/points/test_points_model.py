"""Many operations against a model that only counts: balance, ledger and lots agree after each."""

from __future__ import annotations

import random
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dorami_core.base.errors import DoramiError

STEPS = ("give", "take", "buy", "confirm", "cancel", "pass")
SEQUENCES = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(1, 1000), st.integers(0, 7)), min_size=60, max_size=60
)


@attrs.define
class Model:
    """Balance of one buyer in a time in which nothing expires."""

    balance: int = 0
    orders: list[list[Any]] = attrs.field(factory=list)
    """Id, points used, points earned, status."""


async def step(shop: Any, model: Model, buyer: Any, product: Any, kind: str, amount: int, pick: int) -> None:
    chosen = model.orders[pick % len(model.orders)] if model.orders else None
    if kind == "give":
        await shop.give(buyer, amount)
        model.balance += amount
    elif kind == "take":
        await shop.give(buyer, -amount)
        model.balance -= amount
    elif kind == "buy":
        if not (await shop.cart.view(buyer.id)).items:
            await shop.add(buyer, product, 1)
        try:
            order = await shop.order(buyer, points_to_use=amount)
        except DoramiError as error:
            assert error.code == "INSUFFICIENT_POINTS"
            assert amount > model.balance
            return
        assert amount <= model.balance
        model.balance -= amount
        model.orders.append([order.id, amount, 0, "PENDING"])
    elif kind == "confirm" and chosen is not None and chosen[3] != "CANCELLED":
        await shop.orders.confirm_payment(chosen[0])
        if chosen[3] == "PENDING":
            chosen[2], chosen[3] = (1000 - chosen[1]) // 10, "PAID"
            model.balance += chosen[2]
    elif kind == "cancel" and chosen is not None:
        await shop.orders.cancel(shop.user("주인", role="ADMIN"), chosen[0])
        if chosen[3] != "CANCELLED":
            model.balance += chosen[1] - chosen[2]
            chosen[3] = "CANCELLED"
    elif kind == "pass":
        await shop.pass_time(5)


async def test_a_model_of_one_buyer(shop: Any) -> None:
    sequences: list[list[tuple[str, int, int]]] = []

    # Hypothesis runs the body outside of Trio: it draws the sequences, which then run on one database.
    @settings(
        max_examples=5,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(SEQUENCES)
    def draw(steps: list[tuple[str, int, int]]) -> None:
        sequences.append(steps)

    draw()
    product = await shop.product(1000)
    assert sum(map(len, sequences)) >= 240
    for steps in sequences:
        model, buyer = Model(), shop.user()
        for kind, amount, pick in steps:
            await step(shop, model, buyer, product, kind, amount, pick)
            assert await shop.balance(buyer) == model.balance, (kind, amount, pick)
            assert await shop.points.prove() == []


@pytest.mark.parametrize("seed", range(3))
async def test_random_life_with_expiry_ends_at_nothing(shop: Any, seed: int) -> None:
    chance, product, buyer = random.Random(seed), await shop.product(1000), shop.user()
    orders: list[Any] = []
    for _ in range(60):
        kind = chance.choice(("give", "buy", "buy", "confirm", "cancel", "days"))
        try:
            if kind == "give":
                await shop.give(buyer, chance.randint(1, 500))
            elif kind == "buy":
                await shop.cart.view(buyer.id)
                orders.append(await shop.buy(buyer, product, 1, points=chance.randint(0, 300)))
            elif kind == "days":
                await shop.pass_time(chance.randint(1, 9) * 86_400)
                await shop.bench.fire_deadlines()
            elif orders:
                order = chance.choice(orders)
                await (shop.cancel(order) if kind == "cancel" else shop.orders.confirm_payment(order.id))
        except DoramiError as error:
            assert error.code in ("INSUFFICIENT_POINTS", "CONFLICT", "CART_EXPIRED")
        assert await shop.points.prove() == []
    await shop.pass_time(60 * 86_400)
    for _ in range(2):
        await shop.bench.fire_deadlines()
        await shop.pass_time(60 * 86_400)
    await shop.bench.fire_deadlines()
    assert await shop.balance(buyer) <= 0
