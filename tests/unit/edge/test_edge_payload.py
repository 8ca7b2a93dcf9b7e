"""Payloads of long polling against the specification's examples, and the session table."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorami_core.edge import payload
from dorami_core.edge.engineio import EngineError
from dorami_core.edge.websocket import Opcode, encode_close, encode_frame


def test_the_examples_of_the_specification() -> None:
    assert list(payload.split(b"4hello\x1e2\x1e4world")) == ["4hello", "2", "4world"]
    assert list(payload.split(b"4hello\x1ebAQIDBA==")) == ["4hello", b"\x01\x02\x03\x04"]
    frames = encode_frame(Opcode.TEXT, b"4hello") + encode_frame(Opcode.BINARY, b"\x01\x02\x03\x04")
    assert payload.from_frames(frames) == b"4hello\x1ebAQIDBA=="


def test_empty_parts_are_left_to_the_packet_reader() -> None:
    assert list(payload.split(b"")) == [""]
    assert list(payload.split(b"3\x1e")) == ["3", ""]


@pytest.mark.parametrize("body", [b"\xff", b"bAQ", b"b!!!!", "b가".encode(), b"4a\x1ebA"])
def test_what_is_no_payload(body: bytes) -> None:
    with pytest.raises(EngineError):
        list(payload.split(body))


def test_control_frames_have_no_packet() -> None:
    frames = encode_close(1000) + encode_frame(Opcode.TEXT, b"2") + encode_frame(Opcode.PONG, b"x")
    assert payload.from_frames(frames) == b"2"


texts = st.text(alphabet=st.characters(exclude_characters="\x1e", exclude_categories=["Cs"]), max_size=300)


@given(st.lists(texts.map(lambda text: "4" + text) | st.binary(max_size=70_000), min_size=1, max_size=6))
def test_frames_become_the_packets_that_were_in_them(messages: list[str | bytes]) -> None:
    frames = b"".join(
        encode_frame(Opcode.BINARY, message)
        if isinstance(message, bytes)
        else encode_frame(Opcode.TEXT, message.encode())
        for message in messages
    )
    assert list(payload.split(payload.from_frames(frames))) == messages


@given(st.binary(max_size=60))
def test_noise_is_packets_or_an_error(noise: bytes) -> None:
    try:
        found = list(payload.split(noise))
    except EngineError:
        return
    assert b"\x1e".join(
        b"b" + base64.b64encode(part) if isinstance(part, bytes) else part.encode() for part in found
    ) in (noise, noise.replace(b"\n", b""))
