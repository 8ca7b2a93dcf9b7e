"""Hooks that the waitlist fires. Policies of a shop are plugins that implement them."""

from __future__ import annotations

from dorami_core.hooks import EventMeta, Tx, UserIdentity, hookspec
from dorami_reservation.api import JoinQueue, ServeFirst, WaitingPlace
from dorami_reservation.model import QueueMoved, ReservationPromoted, ReservationUpdated


class ReservationHooks:
    """Implement the ones you need; `requires = ("dorami_reservation",)`."""

    @hookspec
    async def validate_reservation(self, tx: Tx, user: UserIdentity, wish: JoinQueue) -> None:
        """Somebody wants a place; raise DoramiError to refuse it (who lets holds expire, see
        `ReservationApi.count_expired`). Nothing is locked yet."""

    @hookspec
    async def choose_served_first(self, tx: Tx, head: WaitingPlace) -> ServeFirst | None:
        """Units are free and `head` is next. Name another who waits for the same variant, and the rule (first paid,
        first served); it is kept with his place for all to see. Nobody answers: the head. The product is locked."""

    @hookspec
    async def choose_promotion_hold_s(self, tx: Tx, place: WaitingPlace) -> float | None:
        """How many seconds this one gets to order; nobody answers: `reservation.hold_s`. The product is locked."""

    @hookspec
    async def on_reservation_promoted(self, event: ReservationPromoted, meta: EventMeta) -> None:
        """Somebody who waited got units."""

    @hookspec
    async def on_reservation_updated(self, event: ReservationUpdated, meta: EventMeta) -> None:
        """A place ended. Not sent for a promotion: that is an event of its own."""

    @hookspec
    async def on_queue_moved(self, event: QueueMoved, meta: EventMeta) -> None:
        """Somebody joined a queue, or left it, served or not, so that others moved up."""
