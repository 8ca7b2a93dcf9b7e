"""The grammar of orders that are said in the chat. Pure; README.md has it in words.

order    = number (option | quantity | filler)*     with at least one option or quantity
number   = "3번" | "#3" | "A3"                      the place of the product in the broadcast's list, from 1
quantity = "2개" | "x2" | "×2" | "2장" | "2벌"       1 if not said
option   = a colour or size of that product, or the other language's word for a common colour
filler   = "주세요" | "주문" | "구매" | "please" ...
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import attrs

MAX_WORDS = 12
_SAID_NUMBER = re.compile(r"([0-9]{1,3})번|[#a-z]([0-9]{1,3})")
_QUANTITY = re.compile(r"([0-9]{1,3})(?:개|장|벌|ea)|[x×*]([0-9]{1,3})|([0-9]{1,3})x")
_FILLER = frozenset(
    [
        "주세요",
        "주세용",
        "주문",
        "주문요",
        "주문이요",
        "주문할게요",
        "구매",
        "구매요",
        "구매할게요",
        "담아주세요",
        "please",
        "pls",
        "order",
        "buy",
    ]
)
_COLORS = (
    ("블랙", "검정", "black"),
    ("화이트", "흰색", "white"),
    ("그레이", "회색", "gray", "grey"),
    ("네이비", "남색", "navy"),
    ("베이지", "beige"),
    ("아이보리", "ivory"),
    ("브라운", "갈색", "brown"),
    ("레드", "빨강", "red"),
    ("핑크", "분홍", "pink"),
    ("블루", "파랑", "blue"),
    ("그린", "초록", "green"),
    ("옐로우", "노랑", "yellow"),
)


@attrs.frozen
class SpokenOrder:
    """`number` counts from 1; `words` are what may be options, as they were said."""

    number: int
    quantity: int
    words: tuple[str, ...]


def parse(message: str) -> SpokenOrder | None:
    """None where the message is no order by its form. Whether its words are options only the product can tell."""
    said = plain(message)
    if not any(map(str.isdigit, said)):
        return None
    said = re.sub(r"([0-9]) +(번|개|장|벌)(?= |$)", r"\1\2", said)
    first, *rest = said.replace(",", " ").split() or [""]
    number = _SAID_NUMBER.fullmatch(first)
    if number is None or len(rest) > MAX_WORDS:
        return None
    quantity: int | None = None
    words = []
    for word in rest:
        match = _QUANTITY.fullmatch(word)
        if match is not None:
            if quantity is not None:
                return None
            quantity = int(next(group for group in match.groups() if group))
        elif word not in _FILLER:
            words.append(word)
    if quantity is None and not words:
        return None
    return SpokenOrder(int(number[1] or number[2]), 1 if quantity is None else quantity, tuple(words))


def choose(words: Sequence[str], colors: Sequence[str], sizes: Sequence[str]) -> tuple[str | None, str | None] | None:
    """The colour and the size that the words name; None where some word names neither, so that it was just talk.
    Options of several words are found too."""
    left = list(words)
    found: list[str | None] = []
    for options in (colors, sizes):
        chosen = None
        for option in sorted(options, key=len, reverse=True):
            parts = next((parts for parts in _names(option) if _within(parts, left)), None)
            if parts is not None:
                chosen = option
                for part in parts:
                    left.remove(part)
                break
        found.append(chosen)
    return None if left else (found[0], found[1])


def plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _names(option: str) -> list[list[str]]:
    own = plain(option)
    others = next((group for group in _COLORS if own in group), ())
    return [own.split(), *([name] for name in others if name != own)]


def _within(parts: list[str], words: list[str]) -> bool:
    return bool(parts) and all(part in words for part in parts)
