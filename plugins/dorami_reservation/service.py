"""The rules of joining a queue, looking at it and leaving it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs
from dorami_cart.api import CartApi
from dorami_catalog.api import CatalogApi, StockChange

from dorami_core.hooks import DoramiError, Gathering, Host, Paged, Queries, Tx, UserId, UserIdentity, invalid, new_uuid
from dorami_reservation import store
from dorami_reservation.api import Ahead, JoinQueue, ReservationView, WaitingPlace
from dorami_reservation.model import MAX_WANTED, QueueMoved
from dorami_reservation.queue import Queue

Joiner = tuple[UserIdentity, JoinQueue]
_GONE = ("CART_ITEM_NOT_FOUND", "CART_EXPIRED")


class Reservations:
    """Implements `ReservationApi`."""

    def __init__(self, host: Host, queue: Queue) -> None:
        self._host = host
        self._queue = queue
        self._catalog: CatalogApi = host.api(CatalogApi)  # type: ignore[type-abstract]
        self._cart: CartApi = host.api(CartApi)  # type: ignore[type-abstract]
        self._gathering: Gathering[Joiner, ReservationView] = Gathering(self._join_gathered)

    async def join(self, user: UserIdentity, wish: JoinQueue) -> ReservationView:
        return await self._gathering.ask(wish.product_id, None, (user, wish))

    async def _join_gathered(self, take: Callable[[], Sequence[Joiner]]) -> list[ReservationView | DoramiError]:
        async with self._host.db.transaction() as tx:
            asked = take()
            return await self.join_many(tx, asked[0][1].product_id, asked)

    async def join_many(self, tx: Tx, product_id: UUID, asked: Sequence[Joiner]) -> list[ReservationView | DoramiError]:
        """Wishes for one product, in order; each gets a place, or an error that leaves nothing behind."""
        answers: list[ReservationView | DoramiError | None] = [await self._refused(tx, *one) for one in asked]
        open_ = {new_uuid(): index for index, answer in enumerate(answers) if answer is None}
        if not open_:
            return [answer for answer in answers if answer is not None]
        rows = await store.join(tx, product_id, [(place, *asked[index]) for place, index in open_.items()])
        moved = {row["variant_id"]: row for row in rows if row["outcome"] == "OK"}
        held = await self._held(tx, moved)
        for (place_id, index), row in zip(open_.items(), rows, strict=True):
            user, wish = asked[index]
            if row["outcome"] == "OK":
                answers[index] = store.joined(row, place_id, user, wish, held.get(row["variant_id"], []))
            else:
                answers[index] = _refusal(row, wish)
        if moved:
            # Who asked is answered; his other screens hear with all who wait, not each by an event of his own.
            self._announce(tx, product_id, next(iter(moved.values())))
            for variant_id in moved:
                tx.emit(QueueMoved(product_id=product_id, variant_id=variant_id))
        return [answer for answer in answers if answer is not None]

    async def _refused(self, tx: Tx, user: UserIdentity, wish: JoinQueue) -> DoramiError | None:
        if not 1 <= wish.quantity <= MAX_WANTED:
            return invalid("quantity", f"must be 1 to {MAX_WANTED}")
        try:
            await self._host.hooks.authorize("validate_reservation", tx=tx, user=user, wish=wish)
        except DoramiError as refusal:
            return refusal
        return None

    def _announce(self, tx: Tx, product_id: UUID, row: Any) -> None:
        """Who waits is part of a product as it is shown."""
        self._catalog.announce(
            tx,
            StockChange(
                product_id=product_id,
                stream_key=row["stream_key"],
                version=row["version"],
                available_before=0,
                available_after=0,
            ),
        )

    async def get(self, user_id: UserId, reservation_id: UUID) -> ReservationView:
        return await self._found(self._host.db, reservation_id, user_id)

    async def list_for(
        self, user_id: UserId, *, active: bool = False, cursor: str | None = None, limit: int = 20
    ) -> Paged:
        after = None if cursor is None else _parse_cursor(cursor)
        found = await store.list_page(self._host.db, user_id, active, after, limit + 1)
        shown = await self.with_ahead(self._host.db, found[:limit])
        return Paged(list(shown), _format_cursor(shown[-1]) if len(found) > limit else None)

    async def leave(self, user_id: UserId, reservation_id: UUID) -> None:
        place = await self._found(self._host.db, reservation_id, user_id)
        if place.status == "WAITING":
            async with self._host.db.transaction() as tx:
                await self._catalog.lock_variants(tx, [place.variant_id])
                if await self._queue.leave(tx, reservation_id):
                    return
            # Served, or left by another tap, while this one waited for the lock.
            place = await self._found(self._host.db, reservation_id, user_id)
        if place.status == "PROMOTED" and place.item_id is not None:
            try:
                await self._cart.remove(user_id, place.item_id)
            except DoramiError as error:
                if error.code not in _GONE:
                    raise
                place = await self._found(self._host.db, reservation_id, user_id)
                status = "EXPIRED" if place.status == "PROMOTED" else place.status
                place = attrs.evolve(place, status=status)
            else:
                return
        if place.status != "CANCELLED":
            raise DoramiError("CONFLICT", status=place.status)

    async def waiting(self, tx: Tx, variant_id: UUID, limit: int = 1000) -> list[WaitingPlace]:
        return await store.waiting(tx, variant_id, limit)

    async def count_expired(self, tx: Tx, user_id: UUID, days: float) -> int:
        return await store.count_expired(tx, user_id, days)

    async def with_ahead(self, db: Queries, places: Sequence[ReservationView]) -> list[ReservationView]:
        """Says of each that waits who holds what it waits for, and until when."""
        held = await self._held(db, {place.variant_id for place in places if place.status == "WAITING"})
        return [
            attrs.evolve(place, ahead=held.get(place.variant_id, [])) if place.status == "WAITING" else place
            for place in places
        ]

    async def _held(self, db: Queries, variant_ids: Collection[UUID]) -> dict[UUID, list[Ahead]]:
        held: dict[UUID, list[Ahead]] = {}
        if variant_ids:
            for holder in await self._cart.holders(db, list(variant_ids)):
                ahead = Ahead(quantity=holder.quantity, expires_at=holder.expires_at)
                held.setdefault(holder.variant_id, []).append(ahead)
        return held

    async def _found(self, db: Queries, reservation_id: UUID, user_id: UUID | None = None) -> ReservationView:
        place = await store.find(db, reservation_id, user_id)
        if place is None:
            raise DoramiError("RESERVATION_NOT_FOUND")
        return (await self.with_ahead(db, [place]))[0]


def _refusal(row: Any, wish: JoinQueue) -> DoramiError:
    match row["outcome"]:
        case "NOT_FOUND":
            return DoramiError("PRODUCT_NOT_FOUND")
        case "EXISTS":
            return DoramiError("RESERVATION_EXISTS", reservationId=str(row["existing"]))
        case "FREE":
            return DoramiError("CONFLICT", productId=str(wish.product_id), available=row["available"])
        case "LIMIT":
            return DoramiError("BUYER_LIMIT", productId=str(wish.product_id), left=row["available"])
        case problem:
            return invalid("size" if problem == "BAD_SIZE" else "color", "choose one of the options")


def _format_cursor(place: ReservationView) -> str:
    return base64.urlsafe_b64encode(f"{place.created_at.isoformat()}|{place.id}".encode()).decode()


def _parse_cursor(text: str) -> store.Cursor:
    try:
        created, place_id = base64.urlsafe_b64decode(text).decode().split("|")
        after = store.Cursor(datetime.fromisoformat(created), UUID(place_id))
    except (ValueError, binascii.Error):
        raise invalid("cursor", "is not one of ours") from None
    if after.created_at.tzinfo is None:
        raise invalid("cursor", "is not one of ours")
    return after
