"""AMF0: golden bytes, round trips, and what is refused."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorami_core.ingest.amf0 import UNDEFINED, Amf0Error, Amf0Value, Date, Decoder, EcmaArray, decode, encode

_NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
_LEAVES: st.SearchStrategy[Amf0Value] = st.one_of(
    st.none(),
    st.just(UNDEFINED),
    st.booleans(),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=50),
    st.builds(Date, st.floats(allow_nan=False), st.integers(-32768, 32767)),
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(_NAMES, inner, max_size=4),
        st.dictionaries(_NAMES, inner, max_size=4).map(EcmaArray),
    ),
    max_leaves=12,
)


@given(st.lists(_VALUES, max_size=4))
def test_values_come_back(values: list[Amf0Value]) -> None:
    back = decode(encode(*values))
    assert back == values
    assert [type(value) for value in back] == [type(value) for value in values]


@given(st.binary(max_size=200))
def test_any_bytes_are_values_or_an_error(data: bytes) -> None:
    with contextlib.suppress(Amf0Error):
        decode(data)


@given(_VALUES, st.data())
def test_cut_off_values_are_errors(value: Amf0Value, data: st.DataObject) -> None:
    whole = encode(value)
    end = data.draw(st.integers(1, max(1, len(whole) - 1)))
    if end < len(whole):
        with pytest.raises(Amf0Error):
            decode(whole[:end])


@pytest.mark.parametrize(
    ("value", "golden"),
    [
        (1, "003ff0000000000000"),
        (True, "0101"),
        ("live", "0200046c697665"),
        ({"app": "live"}, "0300036170700200046c697665000009"),
        (None, "05"),
        (UNDEFINED, "06"),
        (EcmaArray(a=None), "080000000100016105000009"),
        ([None, False], "0a00000002050100"),
        (Date(0.0), "0b00000000000000000000"),
        ("a" * 65536, "0c00010000" + "61" * 65536),
    ],
)
def test_golden_bytes(value: Amf0Value, golden: str) -> None:
    assert encode(value).hex() == golden
    assert decode(bytes.fromhex(golden)) == [value]


def test_ecma_array_count_is_no_promise() -> None:
    assert decode(bytes.fromhex("08ffffffff00016105000009")) == [{"a": None}]


def test_typed_object_and_xml() -> None:
    assert decode(b"\x10\x00\x01C\x00\x01a\x05\x00\x00\x09") == [{"a": None}]
    assert decode(b"\x0f\x00\x00\x00\x03<a>") == ["<a>"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x07\x00\x00",  # a reference
        b"\x11\x01",  # AMF3
        b"\x04",
        b"\x09",
        b"\x0a\xff\xff\xff\xff",  # four thousand million values
        b"\x0a\x00\x00\x00\x01" * 40 + b"\x05",  # forty levels
        b"\x0c\xff\xff\xff\xffabc",
        b"\x02\x00\x02\xc3\x28",  # not UTF-8
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(Amf0Error):
        decode(data)


def test_too_many_values() -> None:
    with pytest.raises(Amf0Error, match="more than"):
        decode(b"\x0a" + struct.pack(">I", 4096) + b"\x05" * 4096)


def test_unwritable() -> None:
    nested: Amf0Value = None
    for _ in range(30):
        nested = [nested]
    for value in (nested, {"k" * 70_000: None}, 10**400, b"bytes", object()):
        with pytest.raises(Amf0Error):
            encode(value)  # type: ignore[arg-type]


def test_decoder_stops_between_values() -> None:
    decoder = Decoder(encode("@setDataFrame", "onMetaData"))
    assert decoder.string() == "@setDataFrame"
    assert decoder.remaining == 13
    assert decoder.string() == "onMetaData"
    with pytest.raises(Amf0Error):
        decoder.value()
