"""What those who wait hear, on their own sockets alone."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import trio

from dorami_core.hooks import Host, UserId, ViewerId, to_json
from dorami_reservation import store
from dorami_reservation.model import ReservationEvent, ReservationSettings, places_to_json
from dorami_reservation.service import Reservations

TOLD_AT_ONCE = 50
"""Of a queue, before others have a turn: about 5 ms."""


class ReservationSockets:
    """Emits `reservation:promoted` and `reservation:updated`; a place is sent as it is now, not as it was."""

    def __init__(self, host: Host, reservations: Reservations) -> None:
        self._host = host
        self._reservations = reservations
        self._every_s = host.settings(ReservationSettings).told_every_s
        self._moved: dict[UUID, None] = {}
        self._wake = trio.Event()

    async def tell(self, event: ReservationEvent) -> None:
        """A change of one place, to its owner."""
        place = await self._reservations.get(UserId(event.user_id), event.reservation_id)
        name = "promoted" if event.status == place.status == "PROMOTED" else "updated"
        self._emit(name, place.user_id, to_json(place))

    def note(self, variant_id: UUID) -> None:
        """A queue moved, or what it waits for is held until another time. That is told at most once in `told_every_s`
        for each queue, however often it happens."""
        self._moved[variant_id] = None
        self._wake.set()

    async def tell_positions_forever(self) -> None:
        while True:
            await self._wake.wait()
            # First the rush that moves a queue, then those who look at it.
            await self._host.clock.sleep(self._every_s)
            self._wake = trio.Event()
            await self.tell_positions()

    async def tell_positions(self) -> None:
        """To all who wait in the queues that have moved."""
        moved = list(self._moved)
        self._moved.clear()
        for variant_id in moved:
            places = await store.in_line(self._host.db, variant_id)
            places = await self._reservations.with_ahead(self._host.db, places)
            for first in range(0, len(places), TOLD_AT_ONCE):
                some = places[first : first + TOLD_AT_ONCE]
                for place, told in zip(some, places_to_json(some), strict=True):
                    self._emit("updated", place.user_id, told)
                await trio.lowlevel.checkpoint()

    def _emit(self, name: str, user_id: UUID, told: dict[str, Any]) -> None:
        self._host.rooms.emit_to_viewer("/", ViewerId(f"u:{user_id}"), f"reservation:{name}", told)
