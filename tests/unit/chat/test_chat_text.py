from __future__ import annotations

import pytest

from dorami_core.base.errors import DoramiError
from dorami_core.chat.model import check_text

FAMILY = "👨‍👩‍👧‍👦"  # seven code points, one character
HANGUL = "각"  # three jamo, one character


@pytest.mark.parametrize("text", ["a", " a ", "가" * 500, FAMILY * 500, HANGUL * 500, "e\u0301" * 500, "🇰🇷" * 500])
def test_five_hundred_characters_pass_whatever_they_are_made_of(text: str) -> None:
    check_text(text, 500)


@pytest.mark.parametrize("text", ["", " ", "\n\t\u3000", "가" * 501, FAMILY * 501, HANGUL * 501, "a" + "\u0301" * 8000])
def test_nothing_and_too_much_do_not(text: str) -> None:
    with pytest.raises(DoramiError, match="VALIDATION_FAILED") as refused:
        check_text(text, 500)
    assert refused.value.details["fields"][0]["field"] == "message"
