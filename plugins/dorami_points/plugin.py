"""The hooks of points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dorami_orders.api import OrderView
from dorami_orders.hookspecs import OrderDraft

from dorami_core.hooks import BackgroundTask, DeadlineHandler, Host, Plugin, Router, Tx, UserId, hookimpl
from dorami_points.api import PointsApi
from dorami_points.model import PointSettings
from dorami_points.routes import PointRoutes
from dorami_points.service import LOT_TIMER, Points


class PointsPlugin(Plugin):
    """Points that orders earn and use."""

    name = "dorami_points"
    requires = ("dorami_orders",)

    @hookimpl
    def register_settings(self) -> tuple[str, type]:
        return "points", PointSettings

    @hookimpl
    def register_migrations(self) -> str:
        return "dorami_points"

    @hookimpl
    def register_services(self, host: Host) -> None:
        self._points = Points(host)
        host.provide(PointsApi, self._points)  # type: ignore[type-abstract]

    @hookimpl
    def register_routes(self, router: Router) -> None:
        PointRoutes(self._points).register(router)

    @hookimpl
    def register_deadlines(self) -> Mapping[str, DeadlineHandler]:
        return {LOT_TIMER: self._points.expire}

    @hookimpl
    def register_tasks(self) -> Iterable[BackgroundTask]:
        return [self._points.prove_nightly]

    @hookimpl
    async def choose_points(self, tx: Tx, draft: OrderDraft) -> int:
        return await self._points.choose(tx, UserId(draft.user_id), draft.points_to_use, draft.subtotal.minor)

    @hookimpl
    async def order_created_in_tx(self, tx: Tx, order: OrderView) -> None:
        await self._points.use(tx, order)

    @hookimpl
    async def order_paid_in_tx(self, tx: Tx, order: OrderView) -> None:
        await self._points.settle(tx, order)

    @hookimpl
    async def order_ended_in_tx(self, tx: Tx, order: OrderView) -> None:
        await self._points.undo(tx, order)
