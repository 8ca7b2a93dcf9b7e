"""Banned words, seen through the ways in which people hide them.

A text is compared as a row of letters: NFKC (full-width becomes plain), case folded, marks and everything that is no
letter or digit taken out, Hangul syllables taken apart into their simplest jamo. What keeps harmless texts harmless is
that a hit begins and ends where letters of the text begin and end (`보지` is not in `보직`), and that one which spans
a blank begins at the beginning of a word (`시발` is not in `다시 발표`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import attrs
import regex  # type: ignore[import-untyped]

MAX_WORD_CHARS = 50
SHORT_LETTERS = 4
"""A word without Hangul that is shorter is found at the beginning of a word only (`ass` is not in `class`)."""

_LEADS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_TAILS = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_PARTS = {
    **dict(zip("ㄲㄸㅃㅆㅉ", ("ㄱㄱ", "ㄷㄷ", "ㅂㅂ", "ㅅㅅ", "ㅈㅈ"), strict=True)),
    **dict(
        zip(
            "ㄳㄵㄶㄺㄻㄼㄽㄾㄿㅀㅄ",
            ["ㄱㅅ", "ㄴㅈ", "ㄴㅎ", "ㄹㄱ", "ㄹㅁ", "ㄹㅂ", "ㄹㅅ", "ㄹㅌ", "ㄹㅍ", "ㄹㅎ", "ㅂㅅ"],
            strict=True,
        )
    ),
    **dict(zip("ㅘㅙㅚㅝㅞㅟㅢ", ["ㅗㅏ", "ㅗㅐ", "ㅗㅣ", "ㅜㅓ", "ㅜㅔ", "ㅜㅣ", "ㅡㅣ"], strict=True)),
}
_JAMO = {
    **{chr(0x1100 + number): jamo for number, jamo in enumerate(_LEADS)},
    **{chr(0x1161 + number): jamo for number, jamo in enumerate(_VOWELS)},
    **{chr(0x11A8 + number): jamo for number, jamo in enumerate(_TAILS)},
}
_SIMPLE = {conjoining: _PARTS.get(jamo, jamo) for conjoining, jamo in _JAMO.items()}
_MARKS = regex.compile(r"[\p{M}\p{Cf}]+")
_HANGUL = frozenset("".join(_SIMPLE.values()))


@attrs.frozen
class _Letters:
    """A text as letters, and of each letter: whether a character begins or ends with it, whether a word begins with
    it, and how many blanks came before it in the text."""

    text: str
    begins: tuple[bool, ...]
    ends: tuple[bool, ...]
    heads: tuple[bool, ...]
    blanks: tuple[int, ...]


def normal(word: str) -> str:
    """A banned word as texts are compared; empty where it has neither letter nor digit."""
    return _letters(word).text


class BannedWords:
    """`normals` are what `normal` made of the words."""

    def __init__(self, normals: Iterable[str] = ()) -> None:
        self._normals = tuple(dict.fromkeys(filter(None, normals)))
        self._has_plain = any(not _has_digit(word) for word in self._normals)

    def __len__(self) -> int:
        return len(self._normals)

    def are_in(self, text: str) -> bool:
        """Whether any of the words is in the text. Digits between letters hide a word that has none itself."""
        if not self._normals:
            return False
        letters = _letters(text)
        if any(_is_in(word, letters) for word in self._normals):
            return True
        if not self._has_plain or not _has_digit(letters.text):
            return False
        letters = _letters(text, without_digits=True)
        return any(_is_in(word, letters) for word in self._normals if not _has_digit(word))


def _is_in(word: str, letters: _Letters) -> bool:
    at = letters.text.find(word)
    while at >= 0:
        last = at + len(word) - 1
        if letters.begins[at] and letters.ends[last]:
            spans = letters.blanks[last] > letters.blanks[at]
            is_short = len(word) < SHORT_LETTERS and _HANGUL.isdisjoint(word)
            if letters.heads[at] or not (spans or is_short):
                return True
        at = letters.text.find(word, at + 1)
    return False


def _letters(text: str, *, without_digits: bool = False) -> _Letters:
    found: list[str] = []
    begins: list[bool] = []
    ends: list[bool] = []
    heads: list[bool] = []
    blanks: list[int] = []
    blank_count, is_head = 0, True
    # Marks go first: thousands of them on one letter are slow to put in order.
    for character in unicodedata.normalize("NFC", unicodedata.normalize("NFKC", _MARKS.sub("", text))):
        if character.isspace():
            blank_count += 1
            is_head = True
            continue
        simple = _simple(character, without_digits)
        for number, letter in enumerate(simple):
            found.append(letter)
            begins.append(number == 0)
            ends.append(number == len(simple) - 1)
            heads.append(is_head and number == 0)
            blanks.append(blank_count)
        if simple:
            is_head = False
    return _Letters("".join(found), tuple(begins), tuple(ends), tuple(heads), tuple(blanks))


@lru_cache(8192)
def _simple(character: str, without_digits: bool) -> str:
    """The letters of one character; empty for a separator, a mark, a sign."""
    return "".join(
        _SIMPLE.get(part, part)
        for part in unicodedata.normalize("NFD", character.casefold())
        if (kind := unicodedata.category(part)[0]) == "L" or (kind == "N" and not without_digits)
    )


def _has_digit(text: str) -> bool:
    return any(unicodedata.category(letter)[0] == "N" for letter in text)
