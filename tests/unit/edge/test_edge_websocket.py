"""RFC 6455's rules, one by one, and any way of cutting the bytes."""

from __future__ import annotations

from itertools import product

import pytest
from edge_harness import client_frame
from hypothesis import given
from hypothesis import strategies as st

from dorami_core.edge import websocket
from dorami_core.edge.websocket import Binary, Close, FrameParser, Ping, Pong, Text, WebSocketError


def events_of(data: bytes, max_bytes: int = 1000) -> list[websocket.Event]:
    parser = FrameParser(max_bytes)
    parser.feed(data)
    return drain(parser)


def drain(parser: FrameParser) -> list[websocket.Event]:
    found = []
    while (event := parser.next_event()) is not None:
        found.append(event)
    return found


def test_the_accept_key_of_the_rfc() -> None:
    assert websocket.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("key", ["", "short", "dGhlIHNhbXBsZSBub25jZQ", "!" * 24, "AAAA"])
def test_a_key_that_is_not_16_bytes_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="not"):
        websocket.check_key(key)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", [Text("Hello")]),  # RFC 6455, 5.7
        (b"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", [Ping(b"Hello")]),
        (client_frame(1, b""), [Text("")]),
        (client_frame(2, bytes(range(256))), [Binary(bytes(range(256)))]),
        (client_frame(10, b"x"), [Pong(b"x")]),
        (client_frame(8, b""), [Close(1005, "")]),
        (client_frame(8, b"\x03\xe8bye"), [Close(1000, "bye")]),
        (client_frame(8, b"\x0f\xa0"), [Close(4000, "")]),
        (client_frame(1, "방송".encode()), [Text("방송")]),
        (client_frame(8, b"") + client_frame(1, b"late"), [Close(1005, "")]),
    ],
)
def test_what_frames_say(data: bytes, expected: list[websocket.Event]) -> None:
    assert events_of(data) == expected


def test_control_frames_come_between_fragments() -> None:
    data = (
        client_frame(1, b"Hel", final=False)
        + client_frame(9, b"?")
        + client_frame(0, b"", final=False)
        + client_frame(0, b"lo")
        + client_frame(1, b"next")
    )
    assert events_of(data) == [Ping(b"?"), Text("Hello"), Text("next")]


def test_a_character_may_be_cut_by_a_fragment() -> None:
    raw = "가".encode()
    assert events_of(client_frame(1, raw[:1], final=False) + client_frame(0, raw[1:])) == [Text("가")]


VIABLE = [  # Unicode 15, table 3-7: what may follow a first byte
    (range(0x00, 0x80), []),
    (range(0xC2, 0xE0), [range(0x80, 0xC0)]),
    (range(0xE0, 0xE1), [range(0xA0, 0xC0), range(0x80, 0xC0)]),
    (range(0xE1, 0xED), [range(0x80, 0xC0)] * 2),
    (range(0xED, 0xEE), [range(0x80, 0xA0), range(0x80, 0xC0)]),
    (range(0xEE, 0xF0), [range(0x80, 0xC0)] * 2),
    (range(0xF0, 0xF1), [range(0x90, 0xC0)] + [range(0x80, 0xC0)] * 2),
    (range(0xF1, 0xF4), [range(0x80, 0xC0)] * 3),
    (range(0xF4, 0xF5), [range(0x80, 0x90)] + [range(0x80, 0xC0)] * 2),
]


def could_be_utf8(data: bytes) -> bool:
    at = 0
    while at < len(data):
        tail = next((tail for firsts, tail in VIABLE if data[at] in firsts), None)
        if tail is None or any(byte not in allowed for byte, allowed in zip(data[at + 1 :], tail, strict=False)):
            return False
        at += 1 + len(tail)
    return True


def is_refused(wire: bytes) -> bool:
    parser = FrameParser(1000)
    parser.feed(wire)
    try:
        assert drain(parser) == []
    except WebSocketError as error:
        assert error.code == 1007
        return True
    return False


def begun_frame(data: bytes) -> bytes:
    """The head of a text frame of 100 bytes, and the first of them."""
    return b"\x81\xe4\0\0\0\0" + data


BORDERS = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF]
BORDERS += [0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]


@pytest.mark.parametrize("first", range(256))
def test_text_fails_at_the_first_byte_that_makes_it_no_utf8(first: int) -> None:
    for tail in [(), *product(BORDERS), *product([0x41, 0x80, 0xA0, 0xC0], BORDERS), *product([0x80, 0xBF], repeat=3)]:
        data = bytes((first, *tail))
        assert is_refused(begun_frame(data)) is not could_be_utf8(data), data
        assert is_refused(client_frame(1, data, final=False)) is not could_be_utf8(data), data


@given(text=st.text(max_size=40), noise=st.binary(max_size=4), cut=st.integers(0, 90))
def test_any_beginning_of_a_text_is_refused_only_if_it_cannot_go_on(text: str, noise: bytes, cut: int) -> None:
    data = (text.encode()[:90] + noise)[: 90 - cut]
    assert is_refused(begun_frame(data)) is not could_be_utf8(data)


def test_a_message_that_ends_within_a_character_is_refused() -> None:
    assert is_refused(client_frame(1, "가".encode()[:2]))
    assert is_refused(client_frame(1, "가".encode()[:2], final=False) + client_frame(0, b""))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x05Hello", 1002),  # not masked
        (b"\xc1\x80\0\0\0\0", 1002),  # reserved bit
        (b"\x83\x80\0\0\0\0", 1002),  # reserved opcode
        (b"\x8b\x80\0\0\0\0", 1002),
        (b"\x89\xfe\x00\x7e", 1002),  # long ping
        (b"\x09\x80\0\0\0\0", 1002),  # fragmented ping
        (client_frame(0, b"x"), 1002),  # nothing to continue
        (client_frame(1, b"x", final=False) + client_frame(1, b"y"), 1002),
        (b"\x81\xfe\x00\x05", 1002),  # length not minimal
        (b"\x81\xff" + (65535).to_bytes(8, "big"), 1002),
        (b"\x81\xff" + b"\xff" * 8, 1002),
        (client_frame(8, b"\x03"), 1002),
        (client_frame(8, b"\x03\xed"), 1002),  # 1005 is never sent
        (client_frame(8, b"\x03\xe7"), 1002),  # 999
        (client_frame(8, b"\x13\x88"), 1002),  # 5000
        (client_frame(8, b"\x03\xe8\xff"), 1007),
        (client_frame(1, b"\xc3\x28"), 1007),
        (client_frame(1, b"\xed\xa0\x80"), 1007),  # a surrogate
        (b"\x82\xfe\x03\xe9", 1009),  # 1001 bytes, refused before they are there
        (client_frame(2, b"x" * 600, final=False) + client_frame(0, b"x" * 401), 1009),
    ],
)
def test_what_breaks_the_protocol(data: bytes, code: int) -> None:
    parser = FrameParser(1000)
    parser.feed(data)
    with pytest.raises(WebSocketError) as caught:
        drain(parser)
    assert caught.value.code == code
    parser.feed(client_frame(1, b"after"))
    assert parser.next_event() is None


def test_the_limit_itself_is_allowed() -> None:
    assert events_of(client_frame(2, b"x" * 1000)) == [Binary(b"x" * 1000)]
    halves = client_frame(2, b"x" * 500, final=False) + client_frame(0, b"x" * 500)
    assert events_of(halves) == [Binary(b"x" * 1000)]


messages = st.one_of(st.text(max_size=300), st.binary(max_size=300))


@given(
    said=st.lists(st.tuples(messages, st.lists(st.integers(0, 900), max_size=4)), max_size=5),
    reads=st.lists(st.integers(1, 60), min_size=1, max_size=20),
)
def test_any_fragmentation_and_any_reads_give_the_same_messages(
    said: list[tuple[str | bytes, list[int]]], reads: list[int]
) -> None:
    wire, expected = b"", []
    for message, cuts in said:
        raw = message.encode() if isinstance(message, str) else message
        expected.append(Text(message) if isinstance(message, str) else Binary(message))
        borders = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
        parts = [raw[a:b] for a, b in zip(borders, borders[1:], strict=False)]
        for number, part in enumerate(parts):
            opcode = 0 if number else (1 if isinstance(message, str) else 2)
            wire += client_frame(opcode, part, final=number == len(parts) - 1)
    parser, found, at, turn = FrameParser(10_000), [], 0, 0
    while at < len(wire):
        size = reads[turn % len(reads)]
        parser.feed(wire[at : at + size])
        found += drain(parser)
        at, turn = at + size, turn + 1
    assert found == expected


@given(st.binary(max_size=200))
def test_noise_never_does_more_than_break_the_protocol(noise: bytes) -> None:
    parser = FrameParser(100)
    parser.feed(noise)
    try:
        drain(parser)
    except WebSocketError as error:
        assert error.code in (1002, 1007, 1009)


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f" + (65536).to_bytes(8, "big")),
    ],
)
def test_lengths_of_server_frames(size: int, head: bytes) -> None:
    assert websocket.encode_frame(2, b"x" * size) == head + b"x" * size


def test_close_frames_fit_a_control_frame() -> None:
    assert websocket.encode_close(1001, "bye") == b"\x88\x05\x03\xe9bye"
    assert websocket.encode_close(1005) == b"\x88\x00"
    long = websocket.encode_close(1001, "가" * 100)
    assert long[1] <= 125
    assert long[4:].decode() == "가" * 41


@given(st.binary(max_size=50), st.binary(min_size=4, max_size=4))
def test_the_mask_is_the_plain_xor(data: bytes, mask: bytes) -> None:
    assert websocket.apply_mask(data, mask) == bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
