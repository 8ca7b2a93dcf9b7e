"""Checkout on one page, and the order afterwards: what to pay, where, until when, and what happens next."""

from __future__ import annotations

from typing import Any, get_args

import attrs
from dorami_cart.api import CartView
from dorami_orders.api import OrderView, PaymentMethod, PlaceOrder

from dorami_core.hooks import Access, DoramiError, Money, Page, Redirect, Request, Router
from dorami_storefront.pages.cart import EmptyForm
from dorami_storefront.pages.points import minor_of
from dorami_storefront.site import Site

METHODS: tuple[PaymentMethod, ...] = get_args(PaymentMethod)
ADDRESS_FIELDS = ("recipient", "phone", "country", "postalCode", "state", "city", "line1", "line2", "memo")
COUNTRIES = ("KR", "US", "CA", "JP")
_FIELD_LENGTH = 200


@attrs.frozen
class CheckoutForm:
    depositor_name: str = ""
    payment_method: str = ""
    recipient: str = ""
    phone: str = ""
    country: str = ""
    postal_code: str = ""
    state: str = ""
    city: str = ""
    line1: str = ""
    line2: str = ""
    memo: str = ""
    points_to_use: str = ""
    """Major units."""
    shown: str = ""
    """What the page named as price of goods and shipping together, in major units."""

    def address(self) -> dict[str, str]:
        """Named as the saved address of a user, so that either can fill the other."""
        values = (
            self.recipient,
            self.phone,
            self.country,
            self.postal_code,
            self.state,
            self.city,
            self.line1,
            self.line2,
            self.memo,
        )
        return {name: value.strip() for name, value in zip(ADDRESS_FIELDS, values, strict=True) if value.strip()}

    def missing(self) -> list[str]:
        needed = {
            "depositorName": self.depositor_name,
            "recipient": self.recipient,
            "phone": self.phone,
            "postalCode": self.postal_code,
            "country": self.country,
            "city": self.city,
            "line1": self.line1,
        }
        return [name for name, value in needed.items() if not value.strip() or len(value) > _FIELD_LENGTH]


def register(router: Router, site: Site) -> None:
    pages = CheckoutPages(site)
    router.page("GET", "/checkout", pages.show, access=Access.USER)
    router.page("POST", "/checkout", pages.place, access=Access.USER, form=CheckoutForm)
    router.page("GET", "/orders/{orderId}", pages.order, access=Access.USER)
    router.page("POST", "/orders/{orderId}/cancel", pages.cancel, access=Access.USER, form=EmptyForm)


class CheckoutPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def show(self, request: Request) -> Page | Redirect:
        cart = await self._site.cart.view(request.user.id)
        if not cart.items:
            return Redirect("/cart")
        user = await self._site.host.users.find(request.user.id)
        saved = (user.shipping_address if user else None) or {}
        filled = CheckoutForm(
            depositor_name=user.name if user else "",
            recipient=_text(saved.get("recipient")) or (user.name if user else ""),
            phone=_text(saved.get("phone")),
            postal_code=_text(saved.get("postalCode")),
            country=_text(saved.get("country")) or ("KR" if request.lang == "ko" else "US"),
            state=_text(saved.get("state")),
            city=_text(saved.get("city")),
            line1=_text(saved.get("line1")),
            line2=_text(saved.get("line2")),
        )
        return await self._form(request, cart, filled)

    async def place(self, request: Request, form: CheckoutForm) -> Page | Redirect:
        """On any refusal the same page comes back with everything that was typed."""
        cart = await self._site.cart.view(request.user.id)
        if missing := form.missing():
            return await self._form(request, cart, form, problem="problem_missing", wrong=missing)
        method = next((one for one in METHODS if one == form.payment_method), None)
        if method is None:
            return await self._form(request, cart, form, problem="problem_missing", wrong=["paymentMethod"])
        try:
            points = minor_of(form.points_to_use, cart.currency)
        except DoramiError:
            return await self._form(request, cart, form, problem="problem_validation_failed", wrong=["pointsToUse"])
        if form.shown and (cart.subtotal + await self._fee(cart, form)).minor > _typed(form.shown, cart.currency):
            # The address, or another tab, made it more: nobody orders for more than was read.
            return await self._form(request, cart, form, problem="problem_sum_changed")
        wish = PlaceOrder(
            depositor_name=form.depositor_name.strip(),
            payment_method=method,
            points_to_use=points,
            shipping_address=dict(form.address()),
        )
        try:
            order = await self._site.orders.create(request.user, wish)
        except DoramiError as error:
            problem = self._site.problem_key(error)
            if error.code == "CART_EXPIRED":
                await self._site.cart.tell_expired(request.user.id)
                cart = await self._site.cart.view(request.user.id)
            if not cart.items:
                return Redirect(f"/cart?problem={problem}")
            return await self._form(request, cart, form, problem=problem)
        return Redirect(f"/orders/{order.id}?placed=1")

    async def _form(
        self,
        request: Request,
        cart: CartView,
        form: CheckoutForm,
        problem: str | None = None,
        wrong: list[str] | None = None,
    ) -> Page:
        if not cart.items:
            return self._site.page(request, "cart.html", cart=cart, problem=problem, added=False, max_quantity=1)
        info = self._site.orders.shop_info()
        fee = await self._fee(cart, form)
        balance = max(0, (await self._site.points.balance(request.user.id)).current_balance)
        usable = min(balance, cart.subtotal.minor)
        used = min(usable, _typed(form.points_to_use, cart.currency))
        return self._site.page(
            request,
            "checkout.html",
            http_status=409 if problem else 200,
            cart=cart,
            form=form,
            info=info,
            fee=fee,
            balance=balance,
            usable=Money(usable, cart.currency),
            used=Money(used, cart.currency),
            unreduced=cart.subtotal + fee,
            total=cart.subtotal + fee - Money(used, cart.currency),
            problem=problem,
            wrong=wrong or [],
            countries=[*COUNTRIES, *({form.country} - {*COUNTRIES, ""})],
        )

    async def _fee(self, cart: CartView, form: CheckoutForm) -> Money:
        if await self._ships_free(cart):
            return Money(0, cart.currency)
        return self._site.orders.shipping_fee(cart.subtotal, dict(form.address()))

    async def _ships_free(self, cart: CartView) -> bool:
        """As the order will decide: every item's broadcast grants it."""
        keys = {item.stream_key for item in cart.items}
        streams = [await self._site.host.streams.find(key) if key else None for key in keys]
        return all(stream is not None and stream.free_shipping_enabled for stream in streams)

    async def order(self, request: Request) -> Page:
        order = await self._find(request)
        return self._site.page(
            request,
            "order.html",
            order=order,
            placed=request.args.get("placed") == "1",
            points=Money(order.points_used, order.currency),
            address_lines=address_lines(order.shipping_address),
            step=step_of(order),
            mine=order.user_id == request.user.id,
        )

    async def _find(self, request: Request) -> OrderView:
        order_id = request.path_params["orderId"]
        if request.principal.is_admin:
            return await self._site.orders.get(order_id)
        return await self._site.orders.get_for(request.user.id, order_id)

    async def cancel(self, request: Request, form: EmptyForm) -> Redirect:
        order = await self._site.orders.cancel(request.user, request.path_params["orderId"])
        return Redirect(f"/orders/{order.id}")


def _typed(text: str, currency: str) -> int:
    """In minor units; 0 where it is no amount."""
    try:
        return minor_of(text, currency)
    except DoramiError:
        return 0


def step_of(order: OrderView) -> int:
    """How far an order is: 0 to be paid, 1 paid, 2 sent, 3 arrived; -1 where it ended before."""
    if order.status in ("CANCELLED", "EXPIRED"):
        return -1
    if order.status == "PENDING_PAYMENT":
        return 0
    return {"SHIPPED": 2, "DELIVERED": 3}.get(order.shipping_status, 1)


def address_lines(address: dict[str, Any]) -> list[str]:
    """Name and telephone, then the address, then the note; other fields than ours follow as they are."""
    get = {name: _text(address.get(name)) for name in ADDRESS_FIELDS}
    postal = f"({get['postalCode']})" if get["postalCode"] else ""
    lines = [
        " · ".join(filter(None, (get["recipient"], get["phone"]))),
        " ".join(filter(None, (postal, get["country"], get["state"], get["city"], get["line1"], get["line2"]))),
        get["memo"],
        *(_text(value) for name, value in address.items() if name not in ADDRESS_FIELDS),
    ]
    return [line for line in lines if line]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
