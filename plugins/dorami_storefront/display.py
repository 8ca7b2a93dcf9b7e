"""Numbers, money and times as people read them, in the page's language and the shop's time zone."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import attrs

from dorami_core.hooks import Lang, Money

_SIGN = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_WEEKDAYS = {"ko": "월화수목금토일", "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_GRADIENTS = 6


@attrs.frozen
class Display:
    """One language, zone and currency."""

    lang: Lang
    timezone: str
    currency: str

    def money(self, amount: Money) -> str:
        """`12,500원`, `$12.50`."""
        text = str(amount).removeprefix("-")
        whole, dot, rest = text.partition(".")
        number = f"{int(whole):,}{dot}{rest}"
        shown = f"{number}원" if amount.currency == "KRW" else f"{_SIGN[amount.currency]}{number}"
        return f"-{shown}" if amount.minor < 0 else shown

    def points(self, minor: int) -> str:
        return self.money(Money(minor, self.currency))

    def count(self, number: int) -> str:
        return f"{number:,}"

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(ZoneInfo(self.timezone))

    def day_and_time(self, moment: datetime) -> str:
        """`11월 24일 (월) 20:00`, `Mon 24 Nov, 20:00`."""
        at = self.local(moment)
        weekday = _WEEKDAYS[self.lang][at.weekday()]
        if self.lang == "ko":
            return f"{at.month}월 {at.day}일 ({weekday}) {at:%H:%M}"
        return f"{weekday} {at.day} {_MONTHS[at.month - 1]}, {at:%H:%M}"

    def day(self, moment: datetime) -> str:
        at = self.local(moment)
        return (
            f"{at.year}. {at.month}. {at.day}." if self.lang == "ko" else f"{at.day} {_MONTHS[at.month - 1]} {at.year}"
        )

    def time(self, moment: datetime) -> str:
        """`20:41:07`."""
        return f"{self.local(moment):%H:%M:%S}"

    def minute(self, moment: datetime) -> str:
        """`20:41`."""
        return f"{self.local(moment):%H:%M}"

    def length(self, ms: int) -> str:
        """`1:02:03`, `2:03`."""
        seconds = ms // 1000
        hours, minutes = divmod(seconds // 60, 60)
        return f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"

    def gradient(self, identity: object) -> str:
        """A colour class for what has no picture: always the same one (`dom.ts` counts alike)."""
        return f"g{sum(map(ord, str(identity))) % _GRADIENTS}"
