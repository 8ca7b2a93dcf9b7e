"""A shop on the project's own runtime, in a thread, for tests that are not asynchronous themselves."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import trio
from dorami_cart.api import AddToCart
from dorami_cart.model import CartSettings
from dorami_cart.plugin import CartPlugin
from dorami_catalog.plugin import CatalogPlugin
from dorami_orders.model import OrderSettings
from dorami_orders.plugin import OrdersPlugin
from dorami_points.api import Adjustment, PointsApi
from dorami_points.model import PointSettings
from dorami_points.plugin import PointsPlugin
from dorami_reservation.api import JoinQueue, ReservationApi
from dorami_reservation.plugin import ReservationPlugin

from dorami_core import runtime
from dorami_core.hooks.plugin import Plugin
from dorami_core.testing.host import open_bench
from tests.plugins.conftest import Selling


def plugins() -> list[Plugin]:
    return [CatalogPlugin(), CartPlugin(), ReservationPlugin(), OrdersPlugin(), PointsPlugin()]


class Shop(Selling):
    """All selling plugins."""

    @property
    def queue(self) -> ReservationApi:
        return self.bench.api(ReservationApi)

    @property
    def points(self) -> PointsApi:
        return self.bench.api(PointsApi)

    async def give(self, user: Any, amount: int) -> None:
        staff = self.user("주인", role="ADMIN")
        await self.points.adjust(staff, Adjustment(user_id=user.id, amount=amount, reason="시작"))

    async def add_or_wait(self, user: Any, product_id: Any, quantity: int) -> None:
        await self.cart.add(user, AddToCart(product_id=product_id, quantity=quantity, wait=True))

    async def more_time(self, product_id: Any, seconds: float) -> None:
        async with self.bench.db.transaction() as tx:
            await self.catalog.lock_product(tx, product_id)
            await self.cart.extend(tx, product_id, seconds)

    async def join(self, user: Any, product_id: Any, quantity: int, partial: bool) -> None:
        wish = JoinQueue(product_id=product_id, quantity=quantity, accept_partial=partial)
        await self.queue.join(user, wish)


@attrs.define
class Engine:
    """Runs what it is given in the shop's own thread, and waits for it."""

    shop: Shop
    token: trio.lowlevel.TrioToken

    def call(self, fn: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        return trio.from_thread.run(fn, *args, trio_token=self.token)


@contextmanager
def open_engine(database_url: str) -> Iterator[Engine]:
    """An error of the shop's thread is raised at the end."""
    started = threading.Event()
    found: list[Engine] = []
    failed: list[BaseException] = []

    async def main() -> None:
        settings = {
            "cart": CartSettings(hold_s=600),
            "orders": OrderSettings(unpaid_s=3600),
            "points": PointSettings(earn_rate=0.1, valid_days=1),
        }
        async with open_bench(database_url, plugins(), settings=settings) as bench:
            bench.streams.put("live-show")
            stop = trio.Event()
            engine = Engine(Shop(bench), trio.lowlevel.current_trio_token())
            engine_stop.append(stop)
            found.append(engine)
            started.set()
            await stop.wait()

    engine_stop: list[trio.Event] = []

    def run() -> None:
        try:
            runtime.run(main)
        except BaseException as error:
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="shop")
    thread.start()
    started.wait()
    try:
        if found:
            yield found[0]
    finally:
        for stop in engine_stop:
            trio.from_thread.run_sync(stop.set, trio_token=found[0].token)
        thread.join()
    if failed:
        raise failed[0]
