"""A sale as a state machine: whatever people do, in whatever order and at once, the rules of selling hold."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar

import trio
from dorami_catalog.verify import verify
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sale_engine import Engine, Shop

from dorami_core.base.errors import DoramiError

EXPECTED = {
    "BUYER_LIMIT",
    "CART_EMPTY",
    "CART_EXPIRED",
    "CART_ITEM_NOT_FOUND",
    "CONFLICT",
    "INSUFFICIENT_POINTS",
    "INSUFFICIENT_STOCK",
    "PRODUCT_NOT_FOUND",
    "RESERVATION_EXISTS",
    "VALIDATION_FAILED",
}
USERS, PRODUCTS = 8, 3
who, what = st.integers(0, USERS - 1), st.integers(0, PRODUCTS - 1)
some = st.integers(1, 4)

CHECKS = {
    "counters are what lines and orders add up to": """
        SELECT v.id FROM catalog.variants v WHERE v.product_id = ANY($1) AND (v.held, v.committed) <>
            (coalesce((SELECT sum(quantity) FROM cart.items i WHERE i.variant_id = v.id AND i.status = 'ACTIVE'), 0),
             coalesce((SELECT sum(i.quantity) FROM orders.items i JOIN orders.orders o ON o.id = i.order_id
                       WHERE i.variant_id = v.id AND o.status IN ('PENDING_PAYMENT', 'PAID')
                         AND o.shipping_status IN ('NONE', 'PREPARING')), 0))""",
    "who waits is counted, and no head waits for what it could have": """
        SELECT v.id FROM catalog.variants v JOIN catalog.products c ON c.id = v.product_id
        LEFT JOIN LATERAL (SELECT * FROM reservation.places WHERE variant_id = v.id AND status = 'WAITING'
                           ORDER BY number LIMIT 1) p ON true
        WHERE v.product_id = ANY($1) AND (
            v.waiting <> (SELECT count(*) FROM reservation.places w WHERE w.variant_id = v.id AND w.status = 'WAITING')
            OR (NOT c.sold_out_by_hand AND c.deleted_at IS NULL AND v.on_hand - v.held - v.committed >=
                CASE WHEN p.accept_partial THEN 1 ELSE p.quantity END))""",
    "numbers are dense": """
        SELECT product_id FROM reservation.places WHERE product_id = ANY($1)
        GROUP BY product_id HAVING max(number) <> count(*) OR min(number) <> 1""",
    "a promotion is a line of a cart": """
        SELECT p.id FROM reservation.places p LEFT JOIN cart.items i
               ON i.id = p.item_id AND i.reservation_id = p.id AND i.status = 'ACTIVE'
        WHERE p.product_id = ANY($1) AND (p.status = 'PROMOTED') <> (i.id IS NOT NULL)""",
    "the parts of an order add up": """
        SELECT o.id FROM orders.orders o JOIN (SELECT order_id, sum(quantity * unit_price_minor) AS goods
                                               FROM orders.items
                                               WHERE product_id = ANY($1) GROUP BY 1) i ON i.order_id = o.id
        WHERE o.subtotal_minor <> i.goods OR o.total_minor <> i.goods - o.points_used + o.shipping_fee_minor
           OR o.points_used > i.goods""",
    "nobody has more than one buyer may": """
        SELECT c.id FROM catalog.products c CROSS JOIN LATERAL (
            SELECT user_id, sum(quantity) AS units FROM (
                SELECT user_id, quantity FROM cart.items WHERE product_id = c.id AND status = 'ACTIVE'
                    AND (expires_at IS NULL OR expires_at > core.now())
                UNION ALL SELECT user_id, quantity FROM reservation.places
                    WHERE product_id = c.id AND status = 'WAITING'
                UNION ALL SELECT o.user_id, i.quantity FROM orders.items i JOIN orders.orders o ON o.id = i.order_id
                    WHERE i.product_id = c.id AND o.status IN ('PENDING_PAYMENT', 'PAID')
                      AND NOT coalesce(o.paid_at > o.expires_at, false)) h
            GROUP BY user_id) b
        WHERE c.id = ANY($1) AND b.units > c.max_per_buyer""",
}
"""SQL that finds what is wrong; $1 are the machine's products."""
ALL_CHECKS = " UNION ALL ".join(
    f"SELECT '{name}' AS rule, id::text FROM ({sql}) AS x (id)" for name, sql in CHECKS.items()
)
CHECK_EVERY = 24
"""Operations; between two looks what went wrong stays wrong, and the ledger has every step in between."""


class Sale(RuleBasedStateMachine):
    """Operations gather into waves; those of a wave run at once, each on a connection of its own."""

    engine: Engine
    operations = 0
    """Of all machines of this class; a test counts by it."""
    broken: ClassVar[list[str]] = []
    """Names of rules that did not hold."""
    numbers = itertools.count(1)
    """Of broadcasts: each sale has one of its own."""

    @property
    def shop(self) -> Shop:
        return self.engine.shop

    @initialize(
        wave=st.sampled_from([1, 6, 16]), stock=st.lists(st.integers(0, 5), min_size=PRODUCTS, max_size=PRODUCTS)
    )
    def begin(self, wave: int, stock: list[int]) -> None:
        self.wave, self.unchecked = wave, 0
        self.pending: list[Callable[[], Awaitable[Any]]] = []
        self.orders: list[str] = []
        self.users = [self.shop.user(f"손님{number}") for number in range(USERS)]
        self.staff = self.shop.user("주인", role="ADMIN")
        self.stream = f"live-{next(self.numbers)}"
        self.products = self.engine.call(self._open, stock)

    async def _open(self, stock: list[int]) -> list[Any]:
        for user in self.users[:4]:
            await self.shop.give(user, 1500)
        self.shop.bench.streams.put(self.stream)
        # One with a limit, one with such a high one that it is only counted, one without.
        limits = [3, 1000, None]
        return [
            await self.shop.product(quantity, hold_seconds=120, max_per_buyer=limit, stream_key=self.stream)
            for quantity, limit in zip(stock, limits, strict=True)
        ]

    @rule(product=what, wishes=st.lists(st.tuples(who, some, st.booleans()), min_size=8, max_size=24))
    def rush(self, product: int, wishes: list[tuple[int, int, bool]]) -> None:
        """All at the same moment after the same thing."""
        for user, quantity, is_ready_to_wait in wishes:
            add = self.shop.add_or_wait if is_ready_to_wait else self.shop.add
            self.pending.append(partial(add, self.users[user], self.products[product].id, quantity))
        self._run()

    @rule(users=st.lists(who, min_size=2, max_size=4, unique=True))
    def rush_to_the_checkout(self, users: list[int]) -> None:
        for user in users:
            self.pending.append(partial(self._order, self.users[user], 0))
        self._run()

    @rule(user=who, product=what, quantity=some)
    def add_or_wait(self, user: int, product: int, quantity: int) -> None:
        self._do(lambda: self.shop.add_or_wait(self.users[user], self.products[product].id, quantity))

    @rule(user=who, product=what, quantity=some)
    def add(self, user: int, product: int, quantity: int) -> None:
        self._do(lambda: self.shop.add(self.users[user], self.products[product], quantity))

    @rule(user=who, product=what, quantity=some, partial=st.booleans())
    def wait(self, user: int, product: int, quantity: int, partial: bool) -> None:
        self._do(lambda: self.shop.join(self.users[user], self.products[product].id, quantity, partial))

    @rule(user=who, nth=st.integers(0, 2))
    def leave(self, user: int, nth: int) -> None:
        async def leave() -> None:
            places = (await self.shop.queue.list_for(self.users[user].id, active=True)).items
            if places:
                await self.shop.queue.leave(self.users[user].id, places[nth % len(places)].id)

        self._do(leave)

    @rule(user=who, nth=st.integers(0, 2), quantity=st.integers(0, 5))
    def change_or_remove(self, user: int, nth: int, quantity: int) -> None:
        async def change() -> None:
            lines = (await self.shop.cart.view(self.users[user].id)).items
            if not lines:
                return
            line = lines[nth % len(lines)]
            if quantity == 0:
                await self.shop.cart.remove(self.users[user].id, line.id)
            else:
                await self.shop.cart.change(self.users[user].id, line.id, quantity)

        self._do(change)

    @rule(user=who, points=st.sampled_from([0, 0, 300, 1000]))
    def order(self, user: int, points: int) -> None:
        self._do(lambda: self._order(self.users[user], points))

    async def _order(self, user: Any, points: int) -> None:
        self.orders.append((await self.shop.order(user, points_to_use=points)).id)

    @rule(nth=st.integers(0, 30), step=st.sampled_from(["confirm", "confirm", "cancel", "shop", "ship"]))
    def go_on_with_an_order(self, nth: int, step: str) -> None:
        async def go_on() -> None:
            if not self.orders:
                return
            order_id = self.orders[-1 - nth % len(self.orders)]
            match step:
                case "confirm":
                    await self.shop.orders.confirm_payment(order_id)
                case "ship":
                    await self.shop.orders.set_shipping(order_id, "SHIPPED")
                case "shop":
                    await self.shop.orders.cancel(self.staff, order_id)
                case _:
                    owner = (await self.shop.orders.get(order_id)).user_id
                    await self.shop.orders.cancel(next(one for one in self.users if one.id == owner), order_id)

        self._do(go_on)

    @rule(product=what, quantity=st.integers(0, 12))
    def restock(self, product: int, quantity: int) -> None:
        self._do(lambda: self.shop.patch(self.products[product], quantity=quantity))

    @rule(product=what, status=st.sampled_from(["SOLD_OUT", "AVAILABLE", "AVAILABLE"]))
    def open_or_close(self, product: int, status: str) -> None:
        self._do(lambda: self.shop.patch(self.products[product], status=status))

    @rule(product=what, seconds=st.sampled_from([30, 600]))
    def give_more_time(self, product: int, seconds: int) -> None:
        self._do(lambda: self.shop.more_time(self.products[product].id, seconds))

    @rule(seconds=st.sampled_from([1, 50, 130, 310, 3700]))
    def let_time_pass(self, seconds: int) -> None:
        async def sweep() -> None:
            await self.shop.pass_time(seconds)
            await self.shop.bench.fire_deadlines()

        self._do(sweep)

    def teardown(self) -> None:
        if hasattr(self, "products"):
            self._run()
            self.engine.call(self._check_at_the_end)

    def _do(self, operation: Callable[[], Awaitable[Any]]) -> None:
        self.pending.append(operation)
        if len(self.pending) >= self.wave:
            self._run()

    def _run(self) -> None:
        wave, self.pending = self.pending, []
        type(self).operations += len(wave)
        self.engine.call(self._run_wave, wave)

    async def _run_wave(self, wave: list[Callable[[], Awaitable[Any]]]) -> None:
        async with trio.open_nursery() as nursery:
            for operation in wave:
                nursery.start_soon(_try, operation)
        self.unchecked += len(wave)
        if self.unchecked >= CHECK_EVERY:
            await self._check()

    async def _check(self) -> None:
        self.unchecked = 0
        wrong = await self.shop.bench.db.fetch(ALL_CHECKS, [product.id for product in self.products])
        self.broken += [str(row[0]) for row in wrong]
        assert not wrong, [tuple(row) for row in wrong]

    async def _check_at_the_end(self) -> None:
        await self._check()
        assert self.shop.bench.deadlines.statistics().failed == 0
        report = verify(await self.shop.catalog.export_show(self.stream))
        assert (report.problems, report.exceptions) == ([], [])
        assert await self.shop.points.prove() == []


async def _try(operation: Callable[[], Awaitable[Any]]) -> None:
    try:
        await operation()
    except DoramiError as error:
        assert error.code in EXPECTED, error
