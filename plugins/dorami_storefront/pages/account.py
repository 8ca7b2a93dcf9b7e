"""Who I am and what I ordered."""

from __future__ import annotations

from dorami_core.hooks import Access, Page, Redirect, Request, Router
from dorami_storefront.site import Site, same_site_path


def register(router: Router, site: Site) -> None:
    pages = AccountPages(site)
    router.page("GET", "/login", pages.login)
    router.page("GET", "/my", pages.my, access=Access.USER)


class AccountPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def login(self, request: Request) -> Page | Redirect:
        following = same_site_path(request.args.get("next", "/"))
        if request.principal.user is not None:
            return Redirect(following)
        return self._site.page(request, "login.html", following=following)

    async def my(self, request: Request) -> Page:
        site = self._site
        orders = await site.orders.list_for(request.user.id, request.args.get("cursor") or None)
        return site.page(
            request,
            "my.html",
            orders=orders,
            user_view=await site.host.users.find(request.user.id),
            points=await site.points.balance(request.user.id),
            cart=await site.cart.view(request.user.id),
            places=(await site.queue.list_for(request.user.id, active=True, limit=100)).items,
            added=request.args.get("waiting") == "1",
            problem=site.problem_asked(request),
        )
