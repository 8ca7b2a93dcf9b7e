"""The cart: what is held, until when, and the forms that change it."""

from __future__ import annotations

from urllib.parse import quote
from uuid import UUID

import attrs
from dorami_cart.api import AddToCart

from dorami_core.hooks import Access, DoramiError, Page, Redirect, Request, Router, invalid
from dorami_storefront.site import Site, sign_in

MAX_QUANTITY = 99


@attrs.frozen
class AddForm:
    """Without a choice the fields of colour and size are not sent at all."""

    product_id: str
    quantity: str = "1"
    color: str = ""
    size: str = ""


@attrs.frozen
class QuantityForm:
    quantity: str


@attrs.frozen
class EmptyForm:
    """Nothing but the token."""


def register(router: Router, site: Site) -> None:
    pages = CartPages(site)
    router.page("GET", "/cart", pages.show, access=Access.USER)
    router.page("POST", "/cart/add", pages.add, form=AddForm)
    router.page("POST", "/cart/items/{id}", pages.change, access=Access.USER, form=QuantityForm)
    router.page("POST", "/cart/items/{id}/remove", pages.remove, access=Access.USER, form=EmptyForm)


class CartPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def show(self, request: Request) -> Page:
        return self._site.page(
            request,
            "cart.html",
            cart=await self._site.cart.view(request.user.id),
            problem=self._site.problem_asked(request),
            added=request.args.get("added") == "1",
            max_quantity=MAX_QUANTITY,
        )

    async def add(self, request: Request, form: AddForm) -> Redirect:
        """A guest signs in first and comes back to the product; what cannot be had is told at the product."""
        product_id = product_id_of(form.product_id)
        here = f"/products/{product_id}"
        if request.principal.user is None:
            return sign_in(here)
        wish = AddToCart(
            product_id=product_id,
            quantity=number_of(form.quantity),
            color=form.color or None,
            size=form.size or None,
        )
        try:
            await self._site.cart.add(request.principal.user, wish)
        except DoramiError as error:
            return Redirect(f"{here}?problem={quote(self._problem_of_adding(error))}")
        return Redirect("/cart?added=1")

    def _problem_of_adding(self, error: DoramiError) -> str:
        # On this form the one thing that can be missing is an option that was not chosen.
        return "problem_option" if error.code == "VALIDATION_FAILED" else self._site.problem_key(error)

    async def change(self, request: Request, form: QuantityForm) -> Redirect:
        try:
            item = request.uuid("id", "CART_ITEM_NOT_FOUND")
            await self._site.cart.change(request.user.id, item, number_of(form.quantity))
        except DoramiError as error:
            return Redirect(f"/cart?problem={self._site.problem_key(error)}")
        return Redirect("/cart")

    async def remove(self, request: Request, form: EmptyForm) -> Redirect:
        try:
            await self._site.cart.remove(request.user.id, request.uuid("id", "CART_ITEM_NOT_FOUND"))
        except DoramiError as error:
            return Redirect(f"/cart?problem={self._site.problem_key(error)}")
        return Redirect("/cart")


def product_id_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise DoramiError("PRODUCT_NOT_FOUND") from None


def number_of(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise invalid("quantity", "expected a number")
    return int(text)
