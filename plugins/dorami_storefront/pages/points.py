"""Points: what a buyer has and where it came from; at the desk the nightly proof, and giving or taking by hand."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

import attrs
from dorami_points.api import AccountView, Adjustment

from dorami_core.hooks import Access, DoramiError, Money, Page, Redirect, Request, Router, UserId, UserView, invalid
from dorami_storefront.pages.cart import EmptyForm
from dorami_storefront.site import Site

LISTED = 30
PROOFS = 7


@attrs.frozen
class AdjustForm:
    """`amount` in major units, above 0; `way` is give or take."""

    user: str
    amount: str = ""
    way: str = ""
    reason: str = ""


def register(router: Router, site: Site) -> None:
    pages = PointPages(site)
    router.page("GET", "/my/points", pages.mine, access=Access.USER)
    router.page("GET", "/admin/points", pages.desk, access=Access.ADMIN)
    router.page("POST", "/admin/points/adjust", pages.adjust, access=Access.ADMIN, form=AdjustForm)
    router.page("POST", "/admin/points/prove", pages.prove, access=Access.ADMIN, form=EmptyForm)


class PointPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def mine(self, request: Request) -> Page:
        site, user = self._site, request.user.id
        return site.page(
            request,
            "my_points.html",
            balance=await site.points.balance(user),
            entries=await site.points.transactions(user, request.args.get("cursor") or None, LISTED),
        )

    async def desk(self, request: Request) -> Page:
        """With `?user=` one buyer's points, else those of who had any last."""
        site, chosen = self._site, await self._user(request.args.get("user", ""))
        accounts: list[tuple[AccountView, UserView | None]] = []
        if chosen is None:
            accounts = [(one, await site.host.users.find(UserId(one.user_id))) for one in await site.points.accounts()]
        return site.page(
            request,
            "admin_points.html",
            proofs=await site.points.proofs(PROOFS),
            accounts=accounts,
            chosen=chosen,
            balance=await site.points.balance(chosen.id) if chosen else None,
            entries=await site.points.transactions(chosen.id, None, LISTED) if chosen else None,
            problem=site.problem_asked(request),
            done=request.args.get("done") == "1",
        )

    async def adjust(self, request: Request, form: AdjustForm) -> Redirect:
        user = await self._user(form.user)
        if user is None:
            raise DoramiError("USER_NOT_FOUND")
        after = {"user": str(user.id)}
        try:
            amount = minor_of(form.amount, self._site.host.currency)
            if form.way not in ("give", "take"):
                raise invalid("way", "must be give or take")
            wish = Adjustment(user_id=user.id, amount=amount if form.way == "give" else -amount, reason=form.reason)
            await self._site.points.adjust(request.user, wish)
        except DoramiError as error:
            after["problem"] = self._site.problem_key(error)
        else:
            after["done"] = "1"
        return Redirect(f"/admin/points?{urlencode(after)}")

    async def prove(self, request: Request, form: EmptyForm) -> Redirect:
        await self._site.points.prove_now()
        return Redirect("/admin/points")

    async def _user(self, text: str) -> UserView | None:
        try:
            return await self._site.host.users.find(UserId(UUID(text)))
        except ValueError:
            return None


def minor_of(text: str, currency: str) -> int:
    """What was typed as an amount ("1,250", "12.50", "" for nothing) in minor units; VALIDATION_FAILED."""
    plain = text.replace(",", "").strip()
    if not plain:
        return 0
    try:
        amount = Money.parse(plain, currency).minor
    except ValueError:
        raise invalid("amount", f"must be an amount of {currency}") from None
    if amount < 0:
        raise invalid("amount", "must be 0 or more")
    return amount
