"""The rules of carts. A line changes only while its product is locked: the catalogue's lock is always taken first."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from dorami_catalog.api import CatalogApi, StockView, Units

from dorami_cart import store
from dorami_cart.adding import ITEM_TIMER, Adding
from dorami_cart.api import (
    AddAnswer,
    AddToCart,
    AskToWait,
    CartItemView,
    CartView,
    EndOfLine,
    Holder,
    PromotedLine,
)
from dorami_cart.extending import Extending
from dorami_cart.model import (
    MAX_ADD,
    MAX_CLIENT_ID,
    MAX_LINE,
    CartItemExpired,
    CartSettings,
    ExtendedView,
)
from dorami_core.hooks import (
    DoramiError,
    Gathering,
    Host,
    Money,
    Queries,
    Row,
    StreamView,
    Tx,
    UserId,
    UserIdentity,
    invalid,
    new_uuid,
    to_json,
)

STREAM_TIMER = "cart_stream"
REHEARSED = 10
FORGET_EVERY_S = 3600.0
ATTEMPTS = 3


class Cart:
    """Implements `CartApi`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._catalog: CatalogApi = host.api(CatalogApi)  # type: ignore[type-abstract]
        settings = host.settings(CartSettings)
        self._adding = Adding(host, settings.hold_s)
        self._extending = Extending(host, settings.extend_max_s)
        self._gathering: Gathering[AskToWait, AddAnswer] = Gathering(self._adding.decide)

    async def view(self, user_id: UserId) -> CartView:
        items = await store.alive(self._host.db, user_id)
        expiries = [item.expires_at for item in items if item.expires_at is not None]
        return CartView(
            items=items,
            subtotal=sum((item.line_total for item in items), Money(0, self._host.currency)),
            currency=self._host.currency,
            server_time=items[0].server_time if items else await self._host.db.fetchval("SELECT core.now()"),
            next_expires_at=min(expiries, default=None),
        )

    async def add(self, user: UserIdentity, wish: AddToCart) -> AddAnswer:
        if not 1 <= wish.quantity <= MAX_ADD:
            raise invalid("quantity", f"must be 1 to {MAX_ADD}")
        if wish.client_id is not None and not 1 <= len(wish.client_id) <= MAX_CLIENT_ID:
            raise invalid("clientId", f"must have 1 to {MAX_CLIENT_ID} characters")
        key = None if wish.client_id is None else (user.id, wish.client_id)
        for _ in range(ATTEMPTS):
            try:
                return await self._gathering.ask(wish.product_id, key, AskToWait(user=user, wish=wish))
            except DoramiError as error:
                available = error.details.get("available", 0)
                if error.code != "CONFLICT" or not available:
                    raise
                # Units became free before the queue could be joined: enough of them are taken, too few are an answer.
                if available < wish.quantity:
                    break
        raise DoramiError("INSUFFICIENT_STOCK", productId=str(wish.product_id), available=available)

    async def rehearse(self, tx: Tx) -> None:
        """A small rush for a product that nobody sees: some get it, some wait."""
        product_id = await self._catalog.stage(tx, REHEARSED // 2)
        await self._adding.decide_in(tx, [_rehearsed(product_id) for _ in range(REHEARSED)])

    async def change(self, user_id: UserId, item_id: UUID, quantity: int) -> CartItemView:
        if not 1 <= quantity <= MAX_LINE:
            raise invalid("quantity", f"must be 1 to {MAX_LINE}")
        async with self._host.db.transaction() as tx:
            item = await self._lock_line(tx, user_id, item_id)
            more = quantity - item.quantity
            if more > 0:
                await self._catalog.check_limit(tx, user_id, item.product_id, more)
                await self._catalog.hold(tx, [Units(item.variant_id, more)])
            elif more < 0:
                await self._catalog.release(tx, [Units(item.variant_id, -more)])
            await store.set_quantity(tx, item_id, quantity)
            found = await store.find(tx, item_id, user_id)
            assert found is not None
        return found[0]

    async def remove(self, user_id: UserId, item_id: UUID) -> None:
        async with self._host.db.transaction() as tx:
            item = await self._lock_line(tx, user_id, item_id)
            await store.release(tx, item_id)
            await self._tell_ended(tx, [item], "RELEASED")
            await self._catalog.release(tx, [Units(item.variant_id, item.quantity)])
            await self._host.deadlines.clear(tx, ITEM_TIMER, str(item_id))

    async def lock_active(self, tx: Tx, user_id: UserId) -> list[CartItemView]:
        variants = await store.active_variants(tx, user_id)
        locked = await self._catalog.lock_variants(tx, variants) if variants else {}
        lines = await store.lock_lines(tx, user_id, [stock.product_id for stock in locked.values()])
        dead = [item for item, is_dead in lines if is_dead] + await store.untold(tx, user_id)
        if dead:
            raise DoramiError("CART_EXPIRED", items=[to_json(item) for item in dead])
        if not lines:
            raise DoramiError("CART_EMPTY")
        return [item for item, _ in lines]

    async def tell_expired(self, user_id: UserId) -> None:
        await store.mark_told(self._host.db, user_id)

    async def complete(self, tx: Tx, items: Sequence[CartItemView], order_id: str) -> None:
        # Their timers stay: they find nothing to do and go by themselves, cheaper than a statement for each here.
        if await store.complete(tx, [item.id for item in items], order_id) != len(items):
            raise RuntimeError("a line of a locked cart was no longer active")
        await self._tell_ended(tx, items, "COMPLETED", order_id)

    async def put_promoted(self, tx: Tx, stock: StockView, lines: Sequence[PromotedLine]) -> dict[UUID, CartItemView]:
        items = await store.put_promoted(tx, stock, lines)
        await self._host.deadlines.set_many(
            tx, ITEM_TIMER, [(str(item.id), item.expires_at) for item in items if item.expires_at is not None]
        )
        return {item.reservation_id: item for item in items if item.reservation_id is not None}

    async def extend(self, tx: Tx, product_id: UUID, seconds: float) -> list[CartItemView]:
        return await self._extending.extend(tx, product_id, seconds)

    async def extend_now(self, product_id: UUID, seconds: float) -> ExtendedView:
        """What the seller does: PRODUCT_NOT_FOUND, VALIDATION_FAILED."""
        async with self._host.db.transaction() as tx:
            await self._catalog.lock_product(tx, product_id)
            items = await self.extend(tx, product_id, seconds)
        return ExtendedView(
            product_id=product_id, extended=len(items), next_expires_at=items[0].expires_at if items else None
        )

    async def holders(self, db: Queries, variant_ids: Sequence[UUID]) -> list[Holder]:
        return await store.holders(db, variant_ids)

    async def expire(self, tx: Tx, keys: Sequence[str]) -> None:
        """Deadline `cart_item`: keys are ids of items."""
        await self._expire(tx, [UUID(key) for key in keys])

    async def expire_after_streams(self, tx: Tx, keys: Sequence[str]) -> None:
        """Deadline `cart_stream`: keys are `streamKey/time of its end`."""
        found: list[UUID] = []
        for key in keys:
            found += await store.without_timer(tx, key.partition("/")[0])
        await self._expire(tx, found)

    async def release_product(self, tx: Tx, product_id: UUID) -> None:
        """The product is locked and marked deleted."""
        rows = await store.release_product(tx, product_id)
        await self._give_back(tx, rows, "product_deleted")

    async def end_stream(self, tx: Tx, stream: StreamView) -> None:
        await self._catalog.lock_stream_products(tx, stream.stream_key)
        over = await store.end_stream(tx, stream.stream_key)
        await self._host.deadlines.set(tx, STREAM_TIMER, f"{stream.stream_key}/{over.isoformat()}", over)

    async def forget_answers(self) -> None:
        """Runs for ever: named wishes are remembered for 24 h."""
        while True:
            await store.forget_answers(self._host.db)
            await self._host.clock.sleep(FORGET_EVERY_S)

    async def _lock_line(self, tx: Tx, user_id: UserId, item_id: UUID) -> CartItemView:
        found = await store.find(tx, item_id, user_id)
        if found is None:
            raise DoramiError("CART_ITEM_NOT_FOUND")
        await self._catalog.lock_variants(tx, [found[0].variant_id])
        locked = await store.find(tx, item_id, user_id, lock=True)
        if locked is None or locked[0].status in ("COMPLETED", "RELEASED"):
            raise DoramiError("CART_ITEM_NOT_FOUND")
        if locked[1]:
            raise DoramiError("CART_EXPIRED", items=[to_json(locked[0])])
        return locked[0]

    async def _expire(self, tx: Tx, item_ids: Sequence[UUID]) -> None:
        variants = await store.variants_of(tx, item_ids)
        if variants:
            await self._catalog.lock_variants(tx, variants)
            await self._give_back(tx, await store.expire(tx, item_ids), "time")

    async def _give_back(self, tx: Tx, rows: Sequence[Row], reason: str) -> None:
        how: EndOfLine = "EXPIRED" if reason == "time" else "RELEASED"
        await self._tell_ended(tx, [store.view_of(row) for row in rows], how)
        await self._catalog.release(tx, [Units(row["variant_id"], row["quantity"]) for row in rows])
        for row in rows:
            tx.emit(
                CartItemExpired(
                    user_id=row["user_id"],
                    item_id=row["item_id"],
                    product_id=row["product_id"],
                    stream_key=row["stream_key"],
                    product_name=row["product_name"],
                    color=row["color"],
                    size=row["size"],
                    quantity=row["quantity"],
                    reason=reason,
                )
            )

    async def _tell_ended(
        self, tx: Tx, items: Sequence[CartItemView], how: EndOfLine, order_id: str | None = None
    ) -> None:
        if items:
            await self._host.hooks.in_tx("cart_lines_ended_in_tx", tx, items=list(items), how=how, order_id=order_id)


def _rehearsed(product_id: UUID) -> AskToWait:
    user = UserIdentity(id=UserId(new_uuid()), role="USER", display_name="rehearsal")
    return AskToWait(user=user, wish=AddToCart(product_id=product_id, quantity=1, client_id="rehearsal", wait=True))
