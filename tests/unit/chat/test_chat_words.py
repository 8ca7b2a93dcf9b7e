from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorami_core.chat.words import BannedWords, normal

WORDS = BannedWords([normal(word) for word in ("시발", "바보", "보지", "꺼져", "BadWord", "ass", "18놈")])


@pytest.mark.parametrize(
    "text",
    [
        "시발",
        "아 시발 진짜",
        "시 발",
        "시  .  발",
        "시.발",
        "시~!발",
        "시\u200b발",
        "시\u0301발",
        "시1발",
        "시2024발",
        "ㅅㅣㅂㅏㄹ",
        "ㅅ ㅣ ㅂ ㅏ ㄹ",
        "ㅅㅣ발",
        "시바ㄹ",
        "ㅅ.ㅣ.발",
        "\u1109\u1175\u1107\u1161\u11af",  # conjoining jamo
        "ﾡ시발",
        "너 바 보야",
        "바보야",
        "꺼\n져",
        "badword",
        "BADWORD!",
        "ｂａｄｗｏｒｄ",
        "b a d w o r d",
        "b-a-d-w-o-r-d",
        "bádwörd",
        "xbadwordx",
        "𝐛𝐚𝐝𝐰𝐨𝐫𝐝",
        "ass",
        "a.s.s",
        "asshole",
        "18 놈",
        "１８놈",
    ],
)
def test_a_banned_word_is_seen_through_its_disguises(text: str) -> None:
    assert WORDS.are_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "안녕하세요",
        "다시 발표해 주세요",
        "보직 변경",
        "class",
        "시바견",
        "바 ㅂ",
        "",
        " ",
        "👍👍",
        "시",
        "놈 18",
        "3 < 5",
    ],
)
def test_what_only_looks_like_one_is_left_alone(text: str) -> None:
    assert not WORDS.are_in(text)


@given(st.text(max_size=600))
def test_no_text_breaks_it_and_what_is_normal_stays(text: str) -> None:
    plain = normal(text)
    assert normal(plain) == plain
    if plain and len(plain) >= 4:
        assert BannedWords([plain]).are_in(text)


@given(st.text(alphabet="가각힣ㄱㅏab1 .\u3000Ａ", min_size=1, max_size=30))
def test_a_word_is_in_itself_however_it_is_taken_apart(text: str) -> None:
    plain = normal(text)
    assert not plain or BannedWords([plain]).are_in(plain)


def test_there_is_nothing_in_no_words() -> None:
    assert len(BannedWords(["", ""])) == 0
    assert not BannedWords().are_in("시발")
