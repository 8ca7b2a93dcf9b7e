"""Points over HTTP."""

from __future__ import annotations

from dorami_core.hooks import Access, Paged, Request, Router
from dorami_points.api import Adjustment, BalanceView, ProofView, TransactionView
from dorami_points.model import AdjustBody, TransactionQuery
from dorami_points.service import Points


class PointRoutes:
    def __init__(self, points: Points) -> None:
        self._points = points

    def register(self, router: Router) -> None:
        router.api("GET", "/api/points/balance", self.balance, response=BalanceView, summary="One's own points")
        router.api(
            "GET",
            "/api/points/transactions",
            self.index,
            query=TransactionQuery,
            summary="What came and went, newest first",
        )
        router.api(
            "POST",
            "/api/admin/points/adjust",
            self.adjust,
            access=Access.ADMIN,
            body=AdjustBody,
            response=TransactionView,
            status=201,
            summary="Give points to a user, or take them",
        )

        path = "/api/admin/points/proofs"
        router.api("GET", path, self.proofs, access=Access.ADMIN, summary="What the nightly proof found, newest first")
        router.api(
            "POST",
            path,
            self.prove,
            access=Access.ADMIN,
            response=ProofView,
            status=201,
            summary="Prove now that balances and ledger agree",
        )

    async def proofs(self, request: Request) -> Paged:
        return Paged(list(await self._points.proofs()), None)

    async def prove(self, request: Request) -> ProofView:
        return await self._points.prove_now()

    async def balance(self, request: Request) -> BalanceView:
        return await self._points.balance(request.user.id)

    async def index(self, request: Request, query: TransactionQuery) -> Paged:
        return await self._points.transactions(request.user.id, query.cursor, query.limit)

    async def adjust(self, request: Request, body: AdjustBody) -> TransactionView:
        wish = Adjustment(user_id=body.user_id, amount=body.amount, reason=body.reason)
        return await self._points.adjust(request.user, wish)
