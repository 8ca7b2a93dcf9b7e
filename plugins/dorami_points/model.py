"""Settings of points, what they take from outside, and how many an order earns."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from typing import Any
from uuid import UUID

import attrs

from dorami_core.hooks import positive

MAX_REASON = 200
MAX_ADJUSTMENT = 10**12
MAX_VALID_DAYS = 36_500


def _at_most(limit: float) -> Any:
    def check(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
        if not value <= limit:
            raise ValueError(f"'{attribute.name}' must be at most {limit}")

    return check


def _not_negative(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value >= 0:
        raise ValueError(f"'{attribute.name}' must be 0 or more")


@attrs.frozen
class PointSettings:
    """`earn_rate`: the share of what was paid for goods, 0 to 1. `valid_days`: how long earned points last."""

    earn_rate: float = attrs.field(default=0.01, validator=[_not_negative, _at_most(1)])
    valid_days: float = attrs.field(default=365.0, validator=[positive, _at_most(MAX_VALID_DAYS)])


def earned(rate: float, paid_minor: int) -> int:
    """floor(rate x paid), where the rate is the decimal number that was written: 0.29 of 100 is 29, not 28."""
    return int((Decimal(repr(rate)) * paid_minor).to_integral_value(ROUND_FLOOR))


@attrs.frozen(kw_only=True)
class AdjustBody:
    """`POST /api/admin/points/adjust`."""

    user_id: UUID
    amount: int
    reason: str


def _limit(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
    if not 1 <= value <= 100:
        raise ValueError("must be 1 to 100", attribute)


@attrs.frozen(kw_only=True)
class TransactionQuery:
    cursor: str | None = None
    limit: int = attrs.field(default=20, validator=_limit)
