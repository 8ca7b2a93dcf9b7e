"""What the waitlist takes from outside, its settings and its events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import attrs

from dorami_core.hooks import ErrorCode, Event, plain_maker, positive, to_json
from dorami_reservation.api import ReservationStatus, ReservationView

MAX_WANTED = 99
MAX_RULE = 100

CODES = (
    ErrorCode("RESERVATION_NOT_FOUND", 404, "대기 내역을 찾을 수 없어요.", "This place in the queue does not exist."),
    ErrorCode(
        "RESERVATION_EXISTS",
        409,
        "이미 이 상품을 기다리고 있어요. 순서는 그대로예요.",
        "You are already waiting for this; your place is unchanged.",
    ),
)


@attrs.frozen
class ReservationSettings:
    """`hold_s`: how long what was given to somebody who waited is held for him. `told_every_s`: how often at most the
    waiting of one queue hear their position."""

    hold_s: float = attrs.field(default=300.0, validator=positive)
    told_every_s: float = attrs.field(default=1.0, validator=positive)


@attrs.frozen(kw_only=True)
class ReservationBody:
    """`POST /api/reservations`."""

    product_id: UUID
    quantity: int
    color: str | None = None
    size: str | None = None
    accept_partial: bool = True


def _limit(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
    if not 1 <= value <= 100:
        raise ValueError("must be 1 to 100", attribute)


@attrs.frozen(kw_only=True)
class ReservationQuery:
    """`active`: WAITING and PROMOTED alone."""

    cursor: str | None = None
    limit: int = attrs.field(default=20, validator=_limit)
    active: bool = False


@attrs.frozen(kw_only=True)
class ReservationEvent(Event):
    reservation_id: UUID
    user_id: UUID
    product_id: UUID
    variant_id: UUID
    status: ReservationStatus

    @property
    def aggregate(self) -> str:
        return f"reservation:{self.reservation_id}"


@attrs.frozen(kw_only=True)
class ReservationPromoted(ReservationEvent):
    quantity: int


@attrs.frozen(kw_only=True)
class ReservationUpdated(ReservationEvent):
    pass


@attrs.frozen(kw_only=True)
class QueueMoved(Event):
    product_id: UUID
    variant_id: UUID

    @property
    def aggregate(self) -> str:
        return f"queue:{self.variant_id}"


_without_ahead = plain_maker(ReservationView, omit=["ahead"])


def places_to_json(places: Iterable[ReservationView]) -> list[dict[str, Any]]:
    """`to_plain` of each. Who waits for the same variant has the same ahead of him, so that is made once for all."""
    ahead: dict[UUID, Any] = {}
    found: list[dict[str, Any]] = []
    for place in places:
        told = _without_ahead(place)
        if not place.ahead:
            told["ahead"] = []
        else:
            if place.variant_id not in ahead:
                ahead[place.variant_id] = to_json(place.ahead)
            told["ahead"] = ahead[place.variant_id]
        found.append(told)
    return found


RESERVATION_EVENTS: tuple[type[Event], ...] = (ReservationPromoted, ReservationUpdated, QueueMoved)
