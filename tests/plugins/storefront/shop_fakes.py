"""A small shop in memory, behind the same protocols as the real one: what these tests render the pages from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
from dorami_cart.api import AddAnswer, AddToCart, CartItemView, CartView
from dorami_catalog.api import ProductVariant, ProductView, Showing
from dorami_orders.api import OrderFilter, OrderItemView, OrderView, PayAccount, PlaceOrder, ShopInfo
from dorami_orders.fees import shipping_fee, surcharges_of

from dorami_core.base.ids import GuestId
from dorami_core.hooks import (
    Announced,
    ClipView,
    DoramiError,
    Money,
    Paged,
    Principal,
    ReplayPart,
    ReplayView,
    Request,
    Span,
    StreamKey,
    StreamView,
    Timeline,
    UserId,
    UserIdentity,
    UserView,
    ViewerMinute,
)

NOW = datetime(2026, 11, 23, 11, 30, tzinfo=UTC)
USER = UserId(UUID(int=7))


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def product(
    number: int, name: str, *, price: int = 3900, rate: int = 0, available: int = 20, **changes: Any
) -> ProductView:
    values: dict[str, Any] = {
        "id": UUID(int=number),
        "stream_key": "demo",
        "name": name,
        "price": usd(price),
        "final_price": usd(price).discounted(rate),
        "currency": "USD",
        "discount_rate": rate,
        "quantity": available,
        "available": available,
        "variants": [],
        "color_options": [],
        "size_options": [],
        "status": "AVAILABLE" if available else "SOLD_OUT",
        "sold_out_by_hand": False,
        "image_url": None,
        "sort_order": number,
        "timer_enabled": True,
        "hold_seconds": None,
        "version": 1,
        "created_at": NOW,
    }
    values |= changes
    values.setdefault("stream_keys", [values["stream_key"]] if values["stream_key"] else [])
    return ProductView(**values)


def variant(number: int, color: str | None, size: str | None, available: int) -> ProductVariant:
    return ProductVariant(id=UUID(int=1000 + number), color=color, size=size, quantity=available, available=available)


def knit() -> ProductView:
    return product(
        1,
        "캐시미어 터틀넥 니트",
        price=8900,
        rate=30,
        available=3,
        variants=[
            variant(1, "아이보리", "S", 0),
            variant(2, "아이보리", "M", 2),
            variant(3, "블랙", "S", 1),
            variant(4, "블랙", "M", 0),
        ],
        color_options=["아이보리", "블랙", "버건디"],
        size_options=["S", "M"],
    )


def stream(key: str, title: str, status: str, **changes: Any) -> StreamView:
    values: dict[str, Any] = {
        "stream_key": StreamKey(key),
        "title": title,
        "status": status,
        "scheduled_at": None,
        "started_at": NOW - timedelta(minutes=20) if status == "LIVE" else None,
        "ended_at": None,
        "peak_viewers": 0,
        "free_shipping_enabled": False,
        "created_at": NOW - timedelta(days=1),
    }
    return StreamView(**{**values, **changes})


def cart_item(
    number: int, of: ProductView, *, quantity: int = 1, left_s: float | None = 521, **changes: Any
) -> CartItemView:
    values: dict[str, Any] = {
        "id": UUID(int=500 + number),
        "product_id": of.id,
        "variant_id": UUID(int=1000 + number),
        "stream_key": of.stream_key,
        "product_name": of.name,
        "image_url": of.image_url,
        "color": None,
        "size": None,
        "quantity": quantity,
        "unit_price": of.final_price,
        "line_total": of.final_price * quantity,
        "currency": "USD",
        "status": "ACTIVE",
        "timer_enabled": left_s is not None,
        "expires_at": None if left_s is None else NOW + timedelta(seconds=left_s),
        "created_at": NOW,
        "server_time": NOW,
    }
    return CartItemView(**{**values, **changes})


def order(order_id: str = "ORD-20261123-00001", **changes: Any) -> OrderView:
    of = knit()
    item = OrderItemView(
        product_id=of.id,
        variant_id=UUID(int=1),
        stream_key="demo",
        name=of.name,
        image_url=of.image_url,
        color="아이보리",
        size="M",
        quantity=2,
        unit_price=of.final_price,
        line_total=of.final_price * 2,
    )
    values: dict[str, Any] = {
        "id": order_id,
        "user_id": USER,
        "status": "PENDING_PAYMENT",
        "shipping_status": "NONE",
        "depositor_name": "김도라",
        "payment_method": "BANK_TRANSFER",
        "subtotal": usd(12460),
        "shipping_fee": usd(500),
        "points_used": 0,
        "total": usd(12960),
        "currency": "USD",
        "items": [item],
        "shipping_address": {
            "recipient": "김도라",
            "phone": "010-1234-5678",
            "postalCode": "04524",
            "country": "KR",
            "city": "서울시 중구",
            "line1": "세종대로 110",
        },
        "carrier": None,
        "tracking_number": None,
        "refund_due": False,
        "created_at": NOW,
        "paid_at": None,
        "cancelled_at": None,
        "expires_at": NOW + timedelta(hours=23, minutes=58),
        "server_time": NOW,
        "pay_to": "국민은행 123456-04-123456 도라미",
    }
    return OrderView(**{**values, **changes})


@attrs.define
class FakeStreams:
    all: list[StreamView] = attrs.Factory(list)

    async def find(self, stream_key: str) -> StreamView | None:
        return next((one for one in self.all if one.stream_key == stream_key), None)

    async def live(self) -> Sequence[StreamView]:
        return [one for one in self.all if one.status in ("LIVE", "INTERRUPTED")]

    async def upcoming(self) -> Sequence[StreamView]:
        return [one for one in self.all if one.status == "PENDING"]

    async def list_all(self, limit: int = 50) -> Sequence[StreamView]:
        return self.all[:limit]

    def viewer_count(self, stream_key: str) -> int:
        return 1204 if stream_key == "demo" else 0

    async def viewer_minutes(self, stream_key: str) -> Sequence[ViewerMinute]:
        if stream_key not in ("demo", "past"):
            return []
        start = NOW - timedelta(minutes=20)
        return [
            ViewerMinute(start + timedelta(minutes=number), 60 * number + 64, 60.0 * number + 30.5)
            for number in range(20)
            if number not in (7, 8)
        ]


@attrs.define
class FakeUsers:
    async def find(self, user_id: UserId, *, using: object = None) -> UserView | None:
        address = {
            "recipient": "김도라",
            "phone": "010-1234-5678",
            "postalCode": "04524",
            "country": "KR",
            "city": "서울시 중구",
            "line1": "세종대로 110",
        }
        return UserView(user_id, "dora@example.com", "김도라", "USER", "dora", address)


@attrs.define
class FakeClock:
    def now(self) -> datetime:
        return NOW


REPLAY = UUID(int=70)


def replay(**changes: Any) -> ReplayView:
    began = NOW - timedelta(days=1)
    unix_ms = round(began.timestamp() * 1000)
    values: dict[str, Any] = {
        "id": REPLAY,
        "stream_key": StreamKey("past"),
        "title": "지난 <방송>",
        "started_at": began,
        "duration_ms": 3_723_000,
        "public": True,
        "ended_at": began + timedelta(seconds=3800),
        "parts": [
            ReplayPart(number=1, starts_ms=0, duration_ms=3_600_000, video_url="/api/replays/x/parts/1"),
            ReplayPart(number=2, starts_ms=3_600_000, duration_ms=123_000, video_url="/api/replays/x/parts/2"),
        ],
        "timeline": Timeline([Span(0, unix_ms, 3_600_000), Span(3_600_000, unix_ms + 3_677_000, 123_000)]),
    }
    return ReplayView(**{**values, **changes})


@attrs.define
class FakeRecordings:
    """As `hooks.Recordings`: what is not public is for staff."""

    found: list[ReplayView] = attrs.Factory(list)
    cuts: list[ClipView] = attrs.Factory(list)
    soon_gone: Announced = attrs.Factory(lambda: Announced(0, None))

    async def replay(self, replay_id: UUID, *, staff: bool = False) -> ReplayView:
        for one in self.found:
            if one.id == replay_id and (one.public or staff):
                return one
        raise DoramiError("REPLAY_NOT_FOUND")

    async def replay_of(self, stream_key: str, *, staff: bool = False) -> ReplayView | None:
        return next((one for one in self.found if one.stream_key == stream_key and (one.public or staff)), None)

    async def replays(
        self, *, stream_key: str | None = None, after: UUID | None = None, limit: int = 50, staff: bool = False
    ) -> Sequence[ReplayView]:
        shown = [one for one in self.found if one.public or staff]
        begin = 0 if after is None else [one.id for one in shown].index(after) + 1
        return shown[begin : begin + limit]

    async def clips(self, subjects: Sequence[UUID], limit: int = 20, *, staff: bool = False) -> Sequence[ClipView]:
        return [one for one in self.cuts if one.subject in subjects][:limit]

    async def announced(self) -> Announced:
        return self.soon_gone


@attrs.define
class FakeHost:
    """What the pages use of a host."""

    streams: FakeStreams = attrs.Factory(FakeStreams)
    users: FakeUsers = attrs.Factory(FakeUsers)
    recordings: FakeRecordings = attrs.Factory(FakeRecordings)
    clock: FakeClock = attrs.Factory(FakeClock)
    currency: str = "USD"
    timezone: str = "Asia/Seoul"
    web_port: int = 8000
    edge_port: int = 8080


@attrs.define
class FakeCatalog:
    products: list[ProductView] = attrs.Factory(list)
    shown: list[Showing] = attrs.Factory(list)

    async def showings(self, stream_key: str, since: datetime, until: datetime) -> list[Showing]:
        return self.shown

    async def get(self, product_id: UUID) -> ProductView:
        for one in self.products:
            if one.id == product_id:
                return one
        raise DoramiError("PRODUCT_NOT_FOUND")

    async def list_for_stream(self, stream_key: str) -> list[ProductView]:
        return [one for one in self.products if stream_key in one.stream_keys]

    async def pinned(self, stream_key: str) -> UUID | None:
        return self.products[0].id if self.products else None

    async def list_store(self, limit: int = 100) -> list[ProductView]:
        return self.products[:limit]


@attrs.define
class FakeCart:
    items: list[CartItemView] = attrs.Factory(list)
    refuse: str | None = None
    said: list[object] = attrs.Factory(list)

    async def view(self, user_id: UserId) -> CartView:
        ends = [one.expires_at for one in self.items if one.expires_at]
        subtotal = usd(sum(one.line_total.minor for one in self.items))
        return CartView(
            items=self.items,
            subtotal=subtotal,
            currency="USD",
            server_time=NOW,
            next_expires_at=min(ends, default=None),
        )

    def _do(self, what: object) -> None:
        if self.refuse:
            raise DoramiError(self.refuse)
        self.said.append(what)

    async def add(self, user: UserIdentity, wish: AddToCart) -> AddAnswer:
        self._do(wish)
        return AddAnswer(item={})

    async def change(self, user_id: UserId, item_id: UUID, quantity: int) -> None:
        self._do((item_id, quantity))

    async def remove(self, user_id: UserId, item_id: UUID) -> None:
        self._do(item_id)

    async def tell_expired(self, user_id: UserId) -> None:
        self.items = [one for one in self.items if one.expires_at is None]


@attrs.define
class FakeOrders:
    found: list[OrderView] = attrs.Factory(list)
    refuse: str | None = None
    placed: list[PlaceOrder] = attrs.Factory(list)
    sent: list[tuple[object, ...]] = attrs.Factory(list)

    async def create(self, user: UserIdentity, wish: PlaceOrder) -> OrderView:
        if self.refuse:
            raise DoramiError(self.refuse)
        self.placed.append(wish)
        return order()

    async def get(self, order_id: str) -> OrderView:
        for one in self.found:
            if one.id == order_id:
                return one
        raise DoramiError("ORDER_NOT_FOUND")

    async def get_for(self, user_id: UserId, order_id: str) -> OrderView:
        one = await self.get(order_id)
        if one.user_id != user_id:
            raise DoramiError("ORDER_NOT_FOUND")
        return one

    async def list_for(self, user_id: UserId, cursor: str | None = None, limit: int = 20) -> Paged:
        return Paged([one for one in self.found if one.user_id == user_id], None)

    async def admin_list(self, which: OrderFilter | None = None, cursor: str | None = None, limit: int = 50) -> Paged:
        status, q = (which.status, which.q or "") if which else (None, "")
        return Paged([one for one in self.found if status in (None, one.status) and q in one.id], None)

    async def confirm_payment(self, order_id: str) -> OrderView:
        if self.refuse:
            raise DoramiError(self.refuse)
        return await self.get(order_id)

    async def cancel(self, user: UserIdentity, order_id: str) -> OrderView:
        if self.refuse:
            raise DoramiError(self.refuse)
        return await self.get_for(user.id, order_id)

    async def set_shipping(self, order_id: str, *sent: object) -> OrderView:
        self.sent.append(sent)
        return await self.confirm_payment(order_id)

    def shipping_fee(self, subtotal: Money, address: dict[str, Any]) -> Money:
        return shipping_fee(self.shop_info(), subtotal, address)

    def shop_info(self) -> ShopInfo:
        return ShopInfo(
            name="Dorami",
            currency="USD",
            accounts=[
                PayAccount(method="BANK_TRANSFER", account="국민은행 123456-04-123456 도라미"),
                PayAccount(method="ZELLE", account="pay@dorami.example"),
            ],
            shipping_fee=usd(500),
            free_shipping_from=None,
            surcharges=surcharges_of(["KR jeju 3.00", "US AK,HI 10.00"], "USD"),
            unpaid_seconds=86400,
            server_time=NOW,
        )


def request(
    path: str,
    *,
    who: str | None = "USER",
    lang: str = "ko",
    base_url: str = "http://127.0.0.1:8000",
    method: str = "GET",
    args: dict[str, str] | None = None,
    **path_params: str,
) -> Request:
    user = None if who is None else UserIdentity(USER, "ADMIN" if who == "ADMIN" else "USER", "dora")
    return Request(
        method=method,
        path=path,
        principal=Principal(user) if user else Principal(guest_id=GuestId("guest")),
        path_params=path_params,
        args=args or {},
        headers={},
        cookies={},
        lang="en" if lang == "en" else "ko",
        base_url=base_url,
        peer="127.0.0.1",
        csrf_token="token",
    )
