"""What the catalogue takes from outside, and its events."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

import attrs

from dorami_core.hooks import ErrorCode, Event

MAX_UNITS = 1_000_000
MAX_OPTIONS = 50
MAX_VARIANTS = 200
MAX_BROADCASTS = 50
MAX_HOLD_S = 7 * 86_400

UNSET: Any = type("Unset", (), {"__repr__": lambda self: "UNSET"})()
"""A field of a PATCH that was not sent. Given by a factory, so that no schema shows it as a default."""


def _unset() -> Any:
    return UNSET


CODES = (
    ErrorCode("PRODUCT_NOT_FOUND", 404, "상품을 찾을 수 없어요.", "This product does not exist."),
    ErrorCode(
        "INSUFFICIENT_STOCK",
        409,
        "아쉽지만 남은 수량이 부족해요. 담은 상품은 그대로예요.",
        "There is not enough stock left; your cart is unchanged.",
    ),
    ErrorCode(
        "BUYER_LIMIT",
        409,
        "한 분이 살 수 있는 수량을 넘었어요. 담은 상품은 그대로예요.",
        "This is more than one buyer may have; your cart is unchanged.",
    ),
)


def _option(_: Any, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and not 0 < len(value.strip()) <= 50:
        raise ValueError("must have 1 to 50 characters", attribute)


def in_range(low: int, high: int) -> Any:
    """A validator; lets None and what was not sent pass."""

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not UNSET and value is not None and not low <= value <= high:
            raise ValueError(f"must be {low} to {high}", attribute)

    return check


def _name(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not UNSET and not 0 < len(value.strip()) <= 200:
        raise ValueError("must have 1 to 200 characters", attribute)


def _options(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is UNSET or value is None:
        return
    if len(value) > MAX_OPTIONS or len(set(value)) != len(value):
        raise ValueError(f"must be at most {MAX_OPTIONS} different ones", attribute)
    for text in value:
        _option(_, attribute, text)


def _variants(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is UNSET or value is None:
        return
    if not 1 <= len(value) <= MAX_VARIANTS:
        raise ValueError(f"must be 1 to {MAX_VARIANTS}", attribute)
    if len({(variant.color, variant.size) for variant in value}) != len(value):
        raise ValueError("names one colour and size twice", attribute)
    if any(variant.color is None and variant.size is None for variant in value):
        raise ValueError("needs a color or a size in each", attribute)


def _streams(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not UNSET and value is not None and (len(value) > MAX_BROADCASTS or len(set(value)) != len(value)):
        raise ValueError(f"must be at most {MAX_BROADCASTS} different ones", attribute)


def _image(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is UNSET or value is None:
        return
    inside = value.startswith("/") and not value.startswith("//")
    if len(value) > 2000 or not (inside or value.startswith(("https://", "http://"))):
        raise ValueError("must be an http address or a path of this site", attribute)


@attrs.frozen(kw_only=True)
class VariantInput:
    quantity: int = attrs.field(validator=in_range(0, MAX_UNITS))
    color: str | None = attrs.field(default=None, validator=_option)
    size: str | None = attrs.field(default=None, validator=_option)


@attrs.frozen(kw_only=True)
class NewProduct:
    """`quantity` or `variants`, one of them. `price` is a decimal string in the shop's currency. `stream_key` or
    `stream_keys` (in the order in which it comes to them), or none. `max_per_buyer` None: no limit."""

    name: str = attrs.field(validator=_name)
    price: str
    stream_key: str | None = None
    stream_keys: list[str] | None = attrs.field(default=None, validator=_streams)
    quantity: int | None = attrs.field(default=None, validator=in_range(0, MAX_UNITS))
    variants: list[VariantInput] | None = attrs.field(default=None, validator=_variants)
    color_options: list[str] | None = attrs.field(default=None, validator=_options)
    size_options: list[str] | None = attrs.field(default=None, validator=_options)
    discount_rate: int = attrs.field(default=0, validator=in_range(0, 100))
    image_url: str | None = attrs.field(default=None, validator=_image)
    sort_order: int = attrs.field(default=0, validator=in_range(-1_000_000, 1_000_000))
    timer_enabled: bool = True
    hold_seconds: int | None = attrs.field(default=None, validator=in_range(1, MAX_HOLD_S))
    max_per_buyer: int | None = attrs.field(default=None, validator=in_range(1, MAX_UNITS))


@attrs.frozen(kw_only=True)
class ProductPatch:
    """What is not sent stays. `variants` is the whole list: one that is missing is taken out of the shop. So is
    `stream_keys`; `stream_key` puts the product into this broadcast alone."""

    name: str = attrs.field(factory=_unset, validator=_name)
    price: str = attrs.field(factory=_unset)
    stream_key: str | None = attrs.field(factory=_unset)
    stream_keys: list[str] = attrs.field(factory=_unset, validator=_streams)
    quantity: int = attrs.field(factory=_unset, validator=in_range(0, MAX_UNITS))
    variants: list[VariantInput] = attrs.field(factory=_unset, validator=_variants)
    color_options: list[str] = attrs.field(factory=_unset, validator=_options)
    size_options: list[str] = attrs.field(factory=_unset, validator=_options)
    discount_rate: int = attrs.field(factory=_unset, validator=in_range(0, 100))
    image_url: str | None = attrs.field(factory=_unset, validator=_image)
    sort_order: int = attrs.field(factory=_unset, validator=in_range(-1_000_000, 1_000_000))
    timer_enabled: bool = attrs.field(factory=_unset)
    hold_seconds: int | None = attrs.field(factory=_unset, validator=in_range(1, MAX_HOLD_S))
    max_per_buyer: int | None = attrs.field(factory=_unset, validator=in_range(1, MAX_UNITS))
    status: Literal["AVAILABLE", "SOLD_OUT"] = attrs.field(factory=_unset)


@attrs.frozen(kw_only=True)
class ProductEvent(Event):
    """`version` is the product's after the change; the present product may be newer. `stream_key` is the broadcast it
    came to last, where the event does not say otherwise."""

    product_id: UUID
    stream_key: str | None
    version: int

    @property
    def aggregate(self) -> str:
        return f"product:{self.product_id}"


@attrs.frozen(kw_only=True)
class ProductAdded(ProductEvent):
    """`stream_key` is the broadcast that it came to."""


@attrs.frozen(kw_only=True)
class ProductUpdated(ProductEvent):
    pass


@attrs.frozen(kw_only=True)
class ProductSoldOut(ProductEvent):
    pass


@attrs.frozen(kw_only=True)
class ProductMoved(ProductEvent):
    """`stream_key` is the broadcast that it left."""


@attrs.frozen(kw_only=True)
class ProductDeleted(ProductEvent):
    pass


@attrs.frozen(kw_only=True)
class ProductPinned(Event):
    """`product_id` None: nothing is shown now."""

    stream_key: str
    product_id: UUID | None

    @property
    def aggregate(self) -> str:
        return f"pin:{self.stream_key}"


@attrs.frozen(kw_only=True)
class ImportBody:
    """`POST /api/products/import`: the text of `table.py`."""

    csv: str
    stream_key: str | None = None


@attrs.frozen(kw_only=True)
class BulkBody:
    """`PATCH /api/products`: one change of up to 200 products."""

    ids: list[UUID]
    patch: ProductPatch


@attrs.frozen(kw_only=True)
class PinBody:
    """`PUT /api/streams/{streamKey}/pin`; null shows nothing."""

    product_id: UUID | None


PRODUCT_EVENTS: tuple[type[Event], ...] = (
    ProductAdded,
    ProductUpdated,
    ProductSoldOut,
    ProductMoved,
    ProductDeleted,
    ProductPinned,
)
