"""The hooks of the waitlist."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from dorami_cart.api import AskToWait, CartItemView, EndOfLine, WaitingAnswer
from dorami_cart.hookspecs import CartItemExtended

from dorami_core.hooks import (
    BackgroundTask,
    DoramiError,
    ErrorCode,
    Event,
    EventMeta,
    Host,
    Plugin,
    Router,
    Tx,
    hookimpl,
)
from dorami_reservation.api import JoinQueue, ReservationApi, ReservationView
from dorami_reservation.hookspecs import ReservationHooks
from dorami_reservation.model import (
    CODES,
    RESERVATION_EVENTS,
    QueueMoved,
    ReservationPromoted,
    ReservationSettings,
    ReservationUpdated,
    places_to_json,
)
from dorami_reservation.queue import Queue
from dorami_reservation.routes import ReservationRoutes
from dorami_reservation.service import Reservations
from dorami_reservation.sockets import ReservationSockets


class ReservationPlugin(Plugin):
    """Queues for what is sold out."""

    name = "dorami_reservation"
    requires = ("dorami_catalog", "dorami_cart")

    @hookimpl
    def register_settings(self) -> tuple[str, type]:
        return "reservation", ReservationSettings

    @hookimpl
    def register_error_codes(self) -> Iterable[ErrorCode]:
        return CODES

    @hookimpl
    def register_migrations(self) -> str:
        return "dorami_reservation"

    @hookimpl
    def register_events(self) -> Iterable[type[Event]]:
        return RESERVATION_EVENTS

    @hookimpl
    def register_hookspecs(self) -> type:
        return ReservationHooks

    @hookimpl
    def register_services(self, host: Host) -> None:
        self._queue = Queue(host)
        self._reservations = Reservations(host, self._queue)
        self._sockets = ReservationSockets(host, self._reservations)
        host.provide(ReservationApi, self._reservations)  # type: ignore[type-abstract]

    @hookimpl
    def register_routes(self, router: Router) -> None:
        ReservationRoutes(self._reservations).register(router)

    @hookimpl
    def register_tasks(self) -> Iterable[BackgroundTask]:
        return [self._sockets.tell_positions_forever]

    @hookimpl
    async def choose_waiting_places(self, tx: Tx, asked: list[AskToWait]) -> list[WaitingAnswer]:
        wishes = [
            (
                one.user,
                JoinQueue(
                    product_id=one.wish.product_id,
                    quantity=one.wish.quantity,
                    color=one.wish.color,
                    size=one.wish.size,
                ),
            )
            for one in asked
        ]
        answers = await self._reservations.join_many(tx, asked[0].wish.product_id, wishes)
        places = iter(places_to_json(answer for answer in answers if isinstance(answer, ReservationView)))
        return [
            WaitingAnswer(refusal=answer) if isinstance(answer, DoramiError) else WaitingAnswer(place=next(places))
            for answer in answers
        ]

    @hookimpl
    async def stock_released_in_tx(self, tx: Tx, variant_ids: list[UUID]) -> None:
        await self._queue.serve(tx, variant_ids)

    @hookimpl
    async def cart_lines_ended_in_tx(
        self, tx: Tx, items: list[CartItemView], how: EndOfLine, order_id: str | None
    ) -> None:
        await self._queue.lines_ended(tx, items, how, order_id)

    @hookimpl
    async def variants_removed_in_tx(self, tx: Tx, product_id: UUID, variant_ids: list[UUID]) -> None:
        await self._queue.close(tx, product_id, variant_ids)

    @hookimpl
    async def product_deleted_in_tx(self, tx: Tx, product_id: UUID) -> None:
        await self._queue.close(tx, product_id)

    @hookimpl
    async def on_reservation_promoted(self, event: ReservationPromoted, meta: EventMeta) -> None:
        await self._sockets.tell(event)

    @hookimpl
    async def on_reservation_updated(self, event: ReservationUpdated, meta: EventMeta) -> None:
        await self._sockets.tell(event)

    @hookimpl
    async def on_cart_item_extended(self, event: CartItemExtended, meta: EventMeta) -> None:
        self._sockets.note(event.variant_id)

    @hookimpl
    async def on_queue_moved(self, event: QueueMoved, meta: EventMeta) -> None:
        self._sockets.note(event.variant_id)
