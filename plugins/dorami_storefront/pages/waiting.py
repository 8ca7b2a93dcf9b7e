"""Waiting for what is sold out, and leaving the queue again, without scripts too."""

from __future__ import annotations

from urllib.parse import quote

from dorami_reservation.api import JoinQueue

from dorami_core.hooks import Access, DoramiError, Redirect, Request, Router
from dorami_storefront.pages.cart import AddForm, EmptyForm, number_of, product_id_of
from dorami_storefront.site import Site, sign_in


def register(router: Router, site: Site) -> None:
    pages = WaitingPages(site)
    router.page("POST", "/waiting/add", pages.join, form=AddForm)
    router.page("POST", "/waiting/{id}/leave", pages.leave, access=Access.USER, form=EmptyForm)


class WaitingPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def join(self, request: Request, form: AddForm) -> Redirect:
        """A guest signs in first and comes back to the product; what cannot be waited for is told at the product."""
        product_id = product_id_of(form.product_id)
        here = f"/products/{product_id}"
        if request.principal.user is None:
            return sign_in(here)
        try:
            wish = JoinQueue(
                product_id=product_id,
                quantity=number_of(form.quantity),
                color=form.color or None,
                size=form.size or None,
            )
            await self._site.queue.join(request.principal.user, wish)
        except DoramiError as error:
            return Redirect(f"{here}?problem={quote(self._problem(error))}")
        return Redirect("/my?waiting=1")

    async def leave(self, request: Request, form: EmptyForm) -> Redirect:
        try:
            await self._site.queue.leave(request.user.id, request.uuid("id", "RESERVATION_NOT_FOUND"))
        except DoramiError as error:
            return Redirect(f"/my?problem={self._site.problem_key(error)}")
        return Redirect("/my")

    def _problem(self, error: DoramiError) -> str:
        return "problem_option" if error.code == "VALIDATION_FAILED" else self._site.problem_key(error)
