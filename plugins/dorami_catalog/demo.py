"""Six products for `dorami up --demo`."""

from __future__ import annotations

from uuid import UUID, uuid5

from dorami_catalog.model import NewProduct, VariantInput
from dorami_catalog.service import Catalog
from dorami_core.hooks import Host, Money, StreamKey

_SPACE = UUID("5f0f1d3a-7d0e-4a55-9a64-2f6f3c6a9b10")
_PICTURES = "/static/dorami_catalog/demo"


def _sizes(color: str, **quantities: int) -> list[VariantInput]:
    return [VariantInput(color=color, size=size, quantity=quantity) for size, quantity in quantities.items()]


def demo_products(stream_key: str) -> list[tuple[str, int, NewProduct]]:
    """Slug, price in minor units of a currency with two decimals, and the rest."""
    return [
        (
            "knit",
            3900,
            NewProduct(
                name="포근 라운드 니트",
                price="0",
                discount_rate=20,
                variants=[*_sizes("아이보리", S=6, M=8, L=4), *_sizes("세이지", S=3, M=5, L=0)],
                stream_key=stream_key,
                sort_order=1,
            ),
        ),
        (
            "bag",
            5400,
            NewProduct(
                name="데일리 캔버스 숄더백",
                price="0",
                variants=[VariantInput(color="베이지", quantity=9), VariantInput(color="블랙", quantity=7)],
                stream_key=stream_key,
                sort_order=2,
            ),
        ),
        (
            "mug",
            1850,
            NewProduct(name="손그림 도자기 머그", price="0", quantity=12, stream_key=stream_key, sort_order=3),
        ),
        (
            "candle",
            2600,
            NewProduct(
                name="소이 캔들 (무화과)",
                price="0",
                quantity=15,
                discount_rate=10,
                stream_key=stream_key,
                sort_order=4,
            ),
        ),
        (
            "scarf",
            3200,
            NewProduct(
                name="캐시미어 블렌드 머플러",
                price="0",
                quantity=10,
                color_options=["로즈", "그레이", "네이비"],
                stream_key=stream_key,
                sort_order=5,
            ),
        ),
        (
            "earrings",
            1500,
            NewProduct(
                name="담수진주 귀걸이 (라방 한정 3점)",
                price="0",
                quantity=3,
                discount_rate=30,
                hold_seconds=300,
                stream_key=stream_key,
                sort_order=6,
            ),
        ),
    ]


async def seed_products(host: Host, catalog: Catalog, stream_key: StreamKey) -> None:
    """Makes what is missing; a product that was ever made, deleted ones too, stays as it is."""
    for slug, cents, product in demo_products(stream_key):
        product_id = uuid5(_SPACE, f"{stream_key}/{slug}")
        if await host.db.fetchval("SELECT 1 FROM catalog.products WHERE id = $1", product_id) is None:
            await catalog.create(_priced(product, slug, cents, host.currency), product_id)


def _priced(product: NewProduct, slug: str, cents: int, currency: str) -> NewProduct:
    # A currency without decimals has units of about a thousandth: 39.00 USD is shown as 39000 KRW.
    money = Money(cents, currency) if "." in str(Money(0, currency)) else Money(cents * 10, currency)
    return NewProduct(
        name=product.name,
        price=str(money),
        stream_key=product.stream_key,
        quantity=product.quantity,
        variants=product.variants,
        color_options=product.color_options,
        discount_rate=product.discount_rate,
        image_url=f"{_PICTURES}/{slug}.svg",
        sort_order=product.sort_order,
        hold_seconds=product.hold_seconds,
    )
