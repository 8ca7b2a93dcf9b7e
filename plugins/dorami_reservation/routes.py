"""The waitlist over HTTP."""

from __future__ import annotations

from dorami_core.hooks import Paged, Request, Router
from dorami_reservation.api import JoinQueue, ReservationView
from dorami_reservation.model import ReservationBody, ReservationQuery
from dorami_reservation.service import Reservations


class ReservationRoutes:
    def __init__(self, reservations: Reservations) -> None:
        self._reservations = reservations

    def register(self, router: Router) -> None:
        path = "/api/reservations"
        router.api(
            "POST",
            path,
            self.join,
            body=ReservationBody,
            response=ReservationView,
            status=201,
            summary="Wait for a product that is sold out",
        )
        router.api("GET", path, self.index, query=ReservationQuery, summary="One's own places, newest first")
        one = "/api/reservations/{id}"
        router.api("GET", one, self.show, response=ReservationView, summary="One place: its number and position")
        router.api("DELETE", one, self.leave, summary="Leave a queue, or give back what one was given")

    async def join(self, request: Request, body: ReservationBody) -> ReservationView:
        wish = JoinQueue(
            product_id=body.product_id,
            quantity=body.quantity,
            color=body.color,
            size=body.size,
            accept_partial=body.accept_partial,
        )
        return await self._reservations.join(request.user, wish)

    async def index(self, request: Request, query: ReservationQuery) -> Paged:
        return await self._reservations.list_for(
            request.user.id, active=query.active, cursor=query.cursor, limit=query.limit
        )

    async def show(self, request: Request) -> ReservationView:
        return await self._reservations.get(request.user.id, request.uuid("id", "RESERVATION_NOT_FOUND"))

    async def leave(self, request: Request) -> None:
        await self._reservations.leave(request.user.id, request.uuid("id", "RESERVATION_NOT_FOUND"))
