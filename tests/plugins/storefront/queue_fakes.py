"""The waitlist of the small shop in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
from dorami_catalog.api import ProductView
from dorami_reservation.api import Ahead, JoinQueue, ReservationView
from shop_fakes import NOW, USER

from dorami_core.hooks import DoramiError, Paged, UserId, UserIdentity


def place(number: int, of: ProductView, **changes: Any) -> ReservationView:
    values: dict[str, Any] = {
        "id": UUID(int=900 + number),
        "user_id": USER,
        "product_id": of.id,
        "variant_id": UUID(int=1000 + number),
        "stream_key": of.stream_key,
        "product_name": of.name,
        "image_url": of.image_url,
        "color": None,
        "size": None,
        "quantity": 1,
        "accept_partial": True,
        "reservation_number": 7,
        "status": "WAITING",
        "position": 4,
        "ahead": [Ahead(quantity=1, expires_at=NOW + timedelta(minutes=3))],
        "promoted_quantity": None,
        "item_id": None,
        "promoted_at": None,
        "expires_at": None,
        "created_at": NOW,
        "server_time": NOW,
    }
    return ReservationView(**{**values, **changes})


@attrs.define
class FakeQueue:
    places: list[ReservationView] = attrs.Factory(list)
    refuse: str | None = None
    said: list[object] = attrs.Factory(list)

    async def list_for(self, user_id: UserId, **_: object) -> Paged:
        return Paged(list(self.places), None)

    async def join(self, user: UserIdentity, wish: JoinQueue) -> None:
        if self.refuse:
            raise DoramiError(self.refuse)
        self.said.append(wish)

    async def leave(self, user_id: UserId, reservation_id: UUID) -> None:
        if self.refuse:
            raise DoramiError(self.refuse)
        self.said.append(reservation_id)
