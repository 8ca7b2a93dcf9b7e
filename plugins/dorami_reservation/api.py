"""What other plugins may use of the waitlist."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import attrs

from dorami_core.hooks import Paged, Tx, UserId, UserIdentity

ReservationStatus = Literal["WAITING", "PROMOTED", "FULFILLED", "EXPIRED", "CANCELLED"]


@attrs.frozen(kw_only=True)
class Ahead:
    """Units that others hold now, and until when: what comes free goes to the head of the queue."""

    quantity: int
    expires_at: datetime | None
    """None: held until ordered or removed."""


@attrs.frozen(kw_only=True)
class ReservationView:
    """One's own place in a queue; `to_json` of it is the reservation of the HTTP API."""

    id: UUID
    user_id: UUID
    product_id: UUID
    variant_id: UUID
    stream_key: str | None
    product_name: str
    image_url: str | None
    color: str | None
    size: str | None
    quantity: int
    accept_partial: bool
    """Whether fewer units than wanted will do."""
    reservation_number: int
    """1, 2, 3, ... per product, in the order of commit."""
    status: ReservationStatus
    position: int | None
    """1 is the head; None unless WAITING."""
    ahead: list[Ahead]
    """The soonest first, at most ten; empty unless WAITING."""
    promoted_quantity: int | None
    """How many units were given; the part not served was given up."""
    item_id: UUID | None
    """The line of the cart that they are in."""
    promoted_at: datetime | None
    expires_at: datetime | None
    """Until when the line holds its units."""
    created_at: datetime
    server_time: datetime


@attrs.frozen(kw_only=True)
class JoinQueue:
    """What somebody wants to wait for. `quantity` is 1..99."""

    product_id: UUID
    quantity: int
    color: str | None = None
    size: str | None = None
    accept_partial: bool = True


@attrs.frozen(kw_only=True)
class WaitingPlace:
    """A place as policies see it."""

    id: UUID
    user_id: UUID
    product_id: UUID
    variant_id: UUID
    number: int
    quantity: int
    accept_partial: bool
    color: str | None
    size: str | None


@attrs.frozen(kw_only=True)
class ServeFirst:
    """An exception from the order of a queue. `rule` names why, for everybody to read, in at most 100 characters."""

    reservation_id: UUID
    rule: str


class ReservationApi(Protocol):
    """`host.api(ReservationApi)`."""

    async def join(self, user: UserIdentity, wish: JoinQueue) -> ReservationView:
        """PRODUCT_NOT_FOUND, VALIDATION_FAILED, RESERVATION_EXISTS with `details.reservationId`, CONFLICT with
        `details.available` where units are free and nobody waits, BUYER_LIMIT with `details.left`."""
        ...

    async def get(self, user_id: UserId, reservation_id: UUID) -> ReservationView:
        """RESERVATION_NOT_FOUND where it is not theirs."""
        ...

    async def list_for(
        self, user_id: UserId, *, active: bool = False, cursor: str | None = None, limit: int = 20
    ) -> Paged:
        """ReservationViews, newest first; `active`: WAITING and PROMOTED alone."""
        ...

    async def leave(self, user_id: UserId, reservation_id: UUID) -> None:
        """Gives a place, or what was given for it, back. Twice: the same. CONFLICT where it is FULFILLED or EXPIRED."""
        ...

    async def waiting(self, tx: Tx, variant_id: UUID, limit: int = 1000) -> list[WaitingPlace]:
        """Who waits for a variant, the head first."""
        ...

    async def count_expired(self, tx: Tx, user_id: UUID, days: float) -> int:
        """How many promotions a user let expire in so many days: what a limit may go by."""
        ...
