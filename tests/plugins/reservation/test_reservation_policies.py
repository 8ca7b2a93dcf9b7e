"""Policies are plugins: who may wait, who is served first, and for how long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from dorami_catalog.verify import verify
from dorami_reservation.api import JoinQueue, ReservationApi, ServeFirst, WaitingPlace

from dorami_core.hooks import DoramiError, Host, Plugin, Tx, UserId, UserIdentity, hookimpl
from dorami_core.testing.host import open_bench
from tests.plugins.reservation.conftest import Queueing, plugins


class HouseRules(Plugin):
    """Who let two promotions expire waits no more; regulars are served first, and get ten seconds."""

    name = "house_rules"
    requires = ("dorami_reservation",)

    def __init__(self) -> None:
        self.regulars: set[UserId] = set()

    @hookimpl
    def register_services(self, host: Host) -> None:
        self._queue = host.api(ReservationApi)

    @hookimpl
    async def validate_reservation(self, tx: Tx, user: UserIdentity, wish: JoinQueue) -> None:
        if await self._queue.count_expired(tx, user.id, days=30) >= 2:
            raise DoramiError("FORBIDDEN", reason="expired twice")

    @hookimpl
    async def choose_served_first(self, tx: Tx, head: WaitingPlace) -> ServeFirst | None:
        for place in await self._queue.waiting(tx, head.variant_id):
            if place.user_id in self.regulars:
                return ServeFirst(reservation_id=place.id, rule="regulars first")
        return None

    @hookimpl
    async def choose_promotion_hold_s(self, place: WaitingPlace) -> float | None:
        return 10.0 if place.user_id in self.regulars else None


@pytest.fixture
def rules() -> HouseRules:
    return HouseRules()


@pytest.fixture
async def strict(database_url: str, selling_settings: dict[str, Any], rules: HouseRules) -> AsyncIterator[Queueing]:
    async with open_bench(database_url, [*plugins(), rules], settings=selling_settings) as bench:
        bench.streams.put("live-show")
        shop = Queueing(bench)
        yield shop
        await shop.check_invariants()
        await shop.check_queues()


async def test_a_policy_serves_another_and_its_rule_is_kept(strict: Any, rules: HouseRules) -> None:
    product, holder = await strict.sold_out(2)
    head = await strict.wait(strict.user(), product)
    regular = strict.user()
    rules.regulars.add(regular.id)
    second = await strict.wait(regular, product)
    line = (await strict.cart.view(holder.id)).items[0]
    await strict.cart.change(holder.id, line.id, 1)
    assert [await strict.state(one) for one in (head, second)] == ["WAITING", "PROMOTED"]
    rows = await strict.bench.db.fetch("SELECT rule FROM reservation.places ORDER BY number")
    assert [row["rule"] for row in rows] == [None, "regulars first"]
    report = verify(await strict.catalog.export_show("live-show"))
    assert report.problems == []
    assert len(report.exceptions) == 1
    assert report.exceptions[0].endswith("number 2 before number 1: regulars first")
    await strict.pass_time(11)
    await strict.bench.fire_deadlines()
    assert [await strict.state(one) for one in (head, second)] == ["PROMOTED", "EXPIRED"]


async def test_who_lets_holds_expire_may_be_refused(strict: Any) -> None:
    buyer = strict.user()
    for _ in range(2):
        product, holder = await strict.sold_out(1)
        await strict.wait(buyer, product)
        await strict.give_back(holder)
        await strict.pass_time(301)
        await strict.bench.fire_deadlines()
    product, _ = await strict.sold_out(1)
    with pytest.raises(DoramiError) as caught:
        await strict.wait(buyer, product)
    assert caught.value.code == "FORBIDDEN"
    await strict.wait(strict.user(), product)
