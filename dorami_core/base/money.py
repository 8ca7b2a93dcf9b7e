"""Money is an integer of minor units with its currency; outside it is a decimal string of major units."""

from __future__ import annotations

import re

import attrs

_EXPONENT = {"USD": 2, "EUR": 2, "GBP": 2, "KRW": 0, "JPY": 0}
CURRENCIES = tuple(_EXPONENT)
MAX_MINOR = 10**12


@attrs.frozen(order=False)
class Money:
    """`minor` units of `currency`; sums of two currencies are refused with ValueError."""

    minor: int
    currency: str

    def __attrs_post_init__(self) -> None:
        if self.currency not in _EXPONENT:
            raise ValueError(f"unknown currency {self.currency}")

    @classmethod
    def parse(cls, text: str, currency: str) -> Money:
        """A decimal string such as "12.50"; ValueError where it has a sign, too many decimals, or passes 10**12."""
        exponent = _EXPONENT[currency]
        match = re.fullmatch(r"([0-9]{1,13})(?:\.([0-9]{1,4}))?", text)
        if match is None or len(match[2] or "") > exponent:
            raise ValueError(f"not an amount of {currency}: {text[:32]!r}")
        minor = int(match[1]) * 10**exponent + int((match[2] or "").ljust(exponent, "0") or 0)
        if minor > MAX_MINOR:
            raise ValueError("amount too large")
        return cls(minor, currency)

    def __str__(self) -> str:
        exponent = _EXPONENT[self.currency]
        sign, units = ("-" if self.minor < 0 else ""), abs(self.minor)
        if not exponent:
            return f"{sign}{units}"
        major, rest = divmod(units, 10**exponent)
        return f"{sign}{major}.{rest:0{exponent}d}"

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __mul__(self, count: int) -> Money:
        return Money(self.minor * count, self.currency)

    def discounted(self, percent: int) -> Money:
        """This price less `percent` (0..100), half up to the minor unit."""
        return Money((self.minor * (100 - percent) + 50) // 100, self.currency)
