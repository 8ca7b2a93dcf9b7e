"""The one rule of queues: what comes free goes to the head, in the transaction that frees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import attrs
from dorami_cart.api import CartApi, CartItemView, EndOfLine, PromotedLine
from dorami_catalog.api import CatalogApi, QueuePlace, StockView

from dorami_core.hooks import Host, Row, Tx
from dorami_reservation import store
from dorami_reservation.api import ReservationStatus, ServeFirst, WaitingPlace
from dorami_reservation.model import (
    MAX_RULE,
    QueueMoved,
    ReservationPromoted,
    ReservationSettings,
    ReservationUpdated,
)

AT_ONCE = 500
"""So many who wait are served by one statement of each kind."""

_ENDS: dict[EndOfLine, ReservationStatus] = {
    "COMPLETED": "FULFILLED",
    "EXPIRED": "EXPIRED",
    "RELEASED": "CANCELLED",
}


@attrs.frozen
class _Served:
    """Who is given how many units, for how many seconds, and by which rule where he is not the head."""

    place: WaitingPlace
    quantity: int
    hold_s: float
    rule: str | None


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
            while await self._serve_next(tx, variant_id):
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
            await self._catalog.leave_queue(tx, row["product_id"], _queue_places([row]))
            self._tell(tx, [row], "CANCELLED")
            await self._moved(tx, row["variant_id"])
            await self.serve(tx, [row["variant_id"]])
        return bool(rows)

    async def close(self, tx: Tx, product_id: UUID, variant_ids: Sequence[UUID] | None = None) -> None:
        """Nobody can be served any more: a product, or some of its variants, left the shop."""
        rows = await store.end_waiting(tx, product_id, variant_ids)
        await self._catalog.leave_queue(tx, product_id, _queue_places(rows))
        self._tell(tx, rows, "CANCELLED")

    async def _serve_next(self, tx: Tx, variant_id: UUID) -> bool:
        """Serves many at once, and says whether there may be more."""
        stock = (await self._catalog.lock_variants(tx, [variant_id])).get(variant_id)
        # Sold out by hand, and a deleted product, show nothing available: promotion pauses.
        if stock is None or stock.available == 0:
            return False
        # A policy looks at the queue: what was decided before is written by then.
        at_once = 1 if self._host.hooks.subscribers("choose_served_first") else AT_ONCE
        heads = await store.waiting(tx, variant_id, min(at_once, stock.available))
        served = await self._choose(tx, heads, stock.available)
        if served:
            await self._promote(tx, stock, served)
        return len(served) == len(heads) > 0

    async def _choose(self, tx: Tx, heads: Sequence[WaitingPlace], free: int) -> list[_Served]:
        """Who of the heads is served with what is free, up to the first that cannot be."""
        served: list[_Served] = []
        for head in heads:
            place, rule = await self._next(tx, head)
            quantity = min(place.quantity, free)
            if quantity == 0 or (quantity < place.quantity and not place.accept_partial):
                break
            chosen: float | None = await self._host.hooks.choose("choose_promotion_hold_s", tx=tx, place=place)
            served.append(_Served(place, quantity, self._hold_s if chosen is None else chosen, rule))
            free -= quantity
        return served

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

    async def _promote(self, tx: Tx, stock: StockView, served: Sequence[_Served]) -> None:
        places = [
            QueuePlace(variant_id=stock.variant_id, number=one.place.number, quantity=one.quantity, rule=one.rule)
            for one in served
        ]
        await self._catalog.serve_queue(tx, stock.product_id, places)
        lines = [
            PromotedLine(
                user_id=one.place.user_id,
                color=one.place.color,
                size=one.place.size,
                quantity=one.quantity,
                hold_s=one.hold_s,
                reservation_id=one.place.id,
            )
            for one in served
        ]
        items = await self._cart.put_promoted(tx, stock, lines)
        await store.promote(
            tx,
            [
                (one.place.id, one.quantity, items[one.place.id].id, items[one.place.id].expires_at, one.rule)
                for one in served
            ],
        )
        for one in served:
            tx.emit(
                ReservationPromoted(
                    reservation_id=one.place.id,
                    user_id=one.place.user_id,
                    product_id=one.place.product_id,
                    variant_id=one.place.variant_id,
                    status="PROMOTED",
                    quantity=one.quantity,
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


def _queue_places(rows: Sequence[Row]) -> list[QueuePlace]:
    """As the ledger of their product names them."""
    return [QueuePlace(variant_id=row["variant_id"], number=row["number"]) for row in rows]
