"""The one rule of queues: what comes free goes to the head, in the transaction that frees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from dorami_cart.api import CartApi, CartItemView, EndOfLine, PromotedLine
from dorami_catalog.api import CatalogApi, StockView

from dorami_core.hooks import Host, Tx
from dorami_reservation import store
from dorami_reservation.api import ReservationStatus, ServeFirst, WaitingPlace
from dorami_reservation.model import (
    MAX_RULE,
    QueueMoved,
    ReservationPromoted,
    ReservationSettings,
    ReservationUpdated,
)

_ENDS: dict[EndOfLine, ReservationStatus] = {
    "COMPLETED": "FULFILLED",
    "EXPIRED": "EXPIRED",
    "RELEASED": "CANCELLED",
}


class Queue:
    """What happens to places inside other plugins' transactions. The product is locked in all of it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._catalog: CatalogApi = host.api(CatalogApi)  # type: ignore[type-abstract]
        self._cart: CartApi = host.api(CartApi)  # type: ignore[type-abstract]
        self._hold_s = host.settings(ReservationSettings).hold_s

    async def serve(self, tx: Tx, variant_ids: Sequence[UUID]) -> None:
        """Gives free units of these variants to who waits, the head first, until the next one cannot be served."""
        for variant_id in await store.with_waiters(tx, variant_ids):
            served = False
            while await self._serve_one(tx, variant_id):
                served = True
            if served:
                await self._moved(tx, variant_id)

    async def lines_ended(self, tx: Tx, items: Sequence[CartItemView], how: EndOfLine, order_id: str | None) -> None:
        """Lines that had been given to somebody who waited were ordered, expired or given back."""
        ended = [item.reservation_id for item in items if item.reservation_id is not None]
        if ended:
            status = _ENDS[how]
            self._tell(tx, await store.end(tx, ended, "PROMOTED", status, order_id), status)

    async def leave(self, tx: Tx, reservation_id: UUID) -> bool:
        """False where it no longer waits. Who comes next may be content with what the one who left was not."""
        rows = await store.end(tx, [reservation_id], "WAITING", "CANCELLED", None)
        for row in rows:
            await self._catalog.leave_queue(tx, store.queue_place(row))
            self._tell(tx, [row], "CANCELLED")
            await self._moved(tx, row["variant_id"])
            await self.serve(tx, [row["variant_id"]])
        return bool(rows)

    async def close(self, tx: Tx, product_id: UUID, variant_ids: Sequence[UUID] | None = None) -> None:
        """Nobody can be served any more: a product, or some of its variants, left the shop."""
        rows = await store.end_waiting(tx, product_id, variant_ids)
        for row in rows:
            await self._catalog.leave_queue(tx, store.queue_place(row))
        self._tell(tx, rows, "CANCELLED")

    async def _serve_one(self, tx: Tx, variant_id: UUID) -> bool:
        stock = (await self._catalog.lock_variants(tx, [variant_id])).get(variant_id)
        # Sold out by hand, and a deleted product, show nothing available: promotion pauses.
        if stock is None or stock.available == 0:
            return False
        heads = await store.waiting(tx, variant_id, 1)
        if not heads:
            return False
        place, rule = await self._next(tx, heads[0])
        if stock.available < place.quantity and not place.accept_partial:
            return False
        await self._promote(tx, place, stock, min(place.quantity, stock.available), rule)
        return True

    async def _next(self, tx: Tx, head: WaitingPlace) -> tuple[WaitingPlace, str | None]:
        first: ServeFirst | None = await self._host.hooks.choose("choose_served_first", tx=tx, head=head)
        if first is None or first.reservation_id == head.id:
            return head, None
        if not 1 <= len(first.rule) <= MAX_RULE:
            raise ValueError(f"a rule is named in 1 to {MAX_RULE} characters")
        place = await store.waiting_one(tx, head.variant_id, first.reservation_id)
        if place is None:
            raise ValueError(f"{first.reservation_id} does not wait for this variant")
        return place, first.rule

    async def _promote(self, tx: Tx, place: WaitingPlace, stock: StockView, quantity: int, rule: str | None) -> None:
        chosen: float | None = await self._host.hooks.choose("choose_promotion_hold_s", tx=tx, place=place)
        await self._catalog.serve_queue(tx, store.queue_place(place), quantity, rule)
        item = await self._cart.put_promoted(
            tx,
            PromotedLine(
                user_id=place.user_id,
                stock=stock,
                color=place.color,
                size=place.size,
                quantity=quantity,
                hold_s=self._hold_s if chosen is None else chosen,
                reservation_id=place.id,
            ),
        )
        await store.promote(tx, place.id, quantity, item.id, item.expires_at, rule)
        tx.emit(
            ReservationPromoted(
                reservation_id=place.id,
                user_id=place.user_id,
                product_id=place.product_id,
                variant_id=place.variant_id,
                status="PROMOTED",
                quantity=quantity,
            )
        )

    async def _moved(self, tx: Tx, variant_id: UUID) -> None:
        heads = await store.waiting(tx, variant_id, 1)
        if heads:
            tx.emit(QueueMoved(product_id=heads[0].product_id, variant_id=variant_id))

    def _tell(self, tx: Tx, rows: Sequence[Any], status: ReservationStatus) -> None:
        for row in rows:
            tx.emit(
                ReservationUpdated(
                    reservation_id=row["id"],
                    user_id=row["user_id"],
                    product_id=row["product_id"],
                    variant_id=row["variant_id"],
                    status=status,
                )
            )
