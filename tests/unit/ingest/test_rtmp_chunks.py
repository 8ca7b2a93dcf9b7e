"""The chunk stream against chunks written by the letter of the specification, in any order and any pieces."""

from __future__ import annotations

import contextlib
import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtmp_parts import SpecChunks, basic_header, cut_up

from dorami_core.ingest.chunks import MAX_CHUNK_STREAMS, ChunkReader, ChunkWriter
from dorami_core.ingest.messages import Message, RtmpProtocolError, acknowledgement

LIMIT = 1_000_000
_TIMES = st.one_of(st.sampled_from([0, 1, 0xFFFFFE, 0xFFFFFF, 0x1000000, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))
_MESSAGES = st.builds(
    Message,
    type_id=st.sampled_from([8, 9, 18, 20]),
    stream_id=st.sampled_from([0, 1, 2**32 - 1]),
    timestamp=_TIMES,
    payload=st.one_of(st.binary(max_size=20), st.integers(0, 2000).map(lambda size: b"\xff" * size)),
)
_QUEUES = st.dictionaries(st.sampled_from([3, 4, 63, 64, 319, 320, 65599]), st.lists(_MESSAGES, max_size=5), max_size=4)
_SIZES = st.lists(st.one_of(st.integers(1, 300), st.integers(1, 65536), st.just(0xFFFFFF)), max_size=4)


def read_all(pieces: list[bytes], reader: ChunkReader | None = None) -> list[Message]:
    reader = reader or ChunkReader(LIMIT)
    messages = []
    for piece in pieces:
        reader.feed(piece)
        while (message := reader.next_message()) is not None:
            messages.append(message)
    return messages


@given(_QUEUES, _SIZES, st.randoms(use_true_random=False))
def test_reads_what_the_specification_writes(
    queues: dict[int, list[Message]], sizes: list[int], random: Random
) -> None:
    data, expected = SpecChunks(random).interleave(queues, sizes)
    assert read_all(cut_up(data, random)) == expected


@given(
    st.lists(st.tuples(st.sampled_from([2, 3, 64, 70_00]), _MESSAGES), max_size=12), st.randoms(use_true_random=False)
)
def test_writer_is_read_back(messages: list[tuple[int, Message]], random: Random) -> None:
    writer = ChunkWriter()
    data = b""
    for number, message in messages:
        if random.random() < 0.3:
            data += writer.set_chunk_size(random.choice([1, 2, 128, 4096, 65536, 0xFFFFFF]))
        data += writer.write(message, number)
    assert read_all(cut_up(data, random)) == [message for _, message in messages]


def test_golden_example_of_the_specification() -> None:
    """5.3.2.1: four audio messages of 32 bytes, 20 ms apart, on chunk stream 3: 44, 36, 33 and 33 bytes."""
    writer = ChunkWriter()
    audio = [Message(8, 12345, 1000 + 20 * number, bytes(32)) for number in range(4)]
    written = [writer.write(message, 3) for message in audio]
    assert written[0][:12].hex() == "030003e80000200839300000"
    assert [chunk[0] >> 6 for chunk in written] == [0, 2, 3, 3]
    assert [len(chunk) for chunk in written] == [44, 36, 33, 33]
    assert read_all(written) == audio


def test_golden_split_of_the_specification() -> None:
    """5.3.2.2: one video message of 307 bytes in chunks of 140, 129 and 52 bytes."""
    data = ChunkWriter().write(Message(9, 12346, 1000, bytes(307)), 4)
    assert len(data) == 140 + 129 + 52
    assert data[140] == data[140 + 129] == 0xC4


def test_time_wraps() -> None:
    writer = ChunkWriter()
    messages = [Message(9, 1, (2**32 - 20 + 10 * number) % 2**32, b"x") for number in range(5)]
    chunks = [writer.write(message, 4) for message in messages]
    assert [message.timestamp for message in messages][2:] == [0, 10, 20]
    assert [chunk[0] >> 6 for chunk in chunks] == [0, 2, 3, 3, 3]
    assert read_all(chunks) == messages


def test_back_in_time_is_written_absolute() -> None:
    writer = ChunkWriter()
    writer.write(Message(9, 1, 1000, b"x"), 4)
    assert writer.write(Message(9, 1, 990, b"x"), 4)[0] >> 6 == 0


@pytest.mark.parametrize("repeated", [True, False])
def test_extended_time_on_later_chunks_may_be_left_out(repeated: bool) -> None:
    at = (0x01000000).to_bytes(4, "big")
    payload = bytes(range(200))
    data = b"\x04\xff\xff\xff" + len(payload).to_bytes(3, "big") + b"\x09\x01\x00\x00\x00" + at + payload[:128]
    data += b"\xc4" + (at if repeated else b"") + payload[128:]
    assert read_all([data]) == [Message(9, 1, 0x01000000, payload)]


def test_abort_drops_the_unfinished_message() -> None:
    reader = ChunkReader(LIMIT)
    first = ChunkWriter().write(Message(9, 1, 0, bytes(300)), 4)
    other = ChunkWriter().write(Message(9, 1, 5, b"whole"), 4)
    abort = b"\x02\x00\x00\x00\x00\x00\x04\x02\x00\x00\x00\x00\x00\x00\x00\x04"
    assert read_all([first[:140], abort, other], reader) == [Message(9, 1, 5, b"whole")]
    assert reader.buffered_bytes == 0


def test_large_message_is_refused_before_it_is_kept() -> None:
    reader = ChunkReader(0xFFFFFF - 1)
    reader.feed(b"\x04\x00\x00\x00\xff\xff\xff\x09\x01\x00\x00\x00")
    with pytest.raises(RtmpProtocolError, match="16777215 bytes was announced"):
        reader.next_message()


def test_unfinished_messages_are_bounded_together() -> None:
    reader = ChunkReader(10_000)
    reader.feed(ChunkWriter().set_chunk_size(9_000))
    assert reader.next_message() is None
    for number in range(3, 5):
        reader.feed(basic_header(0, number) + b"\x00\x00\x00\x00\x27\x0f\x09\x00\x00\x00\x00" + bytes(9_000))
        assert reader.next_message() is None
    assert reader.buffered_bytes == 18_000
    reader.feed(basic_header(0, 5) + b"\x00\x00\x00\x00\x27\x0f\x09\x00\x00\x00\x00" + bytes(9_000))
    with pytest.raises(RtmpProtocolError, match="unfinished"):
        reader.next_message()


def test_chunk_streams_are_bounded() -> None:
    reader = ChunkReader(LIMIT)
    message = Message(9, 1, 0, b"x")
    fresh = [ChunkWriter().write(message, number) for number in range(3, 3 + MAX_CHUNK_STREAMS)]
    assert len(read_all(fresh, reader)) == MAX_CHUNK_STREAMS
    with pytest.raises(RtmpProtocolError, match="chunk streams"):
        read_all([ChunkWriter().write(message, 3 + MAX_CHUNK_STREAMS)], reader)


@pytest.mark.parametrize(
    "data",
    [
        b"\xc4",  # type 3 on a chunk stream that never was
        b"\x84\x00\x00\x00",
        b"\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x00",  # chunk size 0
        b"\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\x80\x00\x00\x00",
        b"\x02\x00\x00\x00\x00\x00\x02\x01\x00\x00\x00\x00\x80\x00",  # half a number
        b"\x04\x00\x00\x00\x00\x01\x00\x09\x01\x00\x00\x00" + bytes(128) + b"\x04" + bytes(11),  # header inside
    ],
)
def test_broken_chunks(data: bytes) -> None:
    with pytest.raises(RtmpProtocolError):
        read_all([data])


@given(st.binary(max_size=400))
def test_garbage_ends_in_messages_or_an_error(data: bytes) -> None:
    with contextlib.suppress(RtmpProtocolError):
        read_all([data])


def test_one_byte_at_a_time_is_not_quadratic() -> None:
    """Eight times the bytes must not cost anything like sixty-four times the time."""

    def cost(size: int) -> float:
        data = ChunkWriter(0xFFFFFF).set_chunk_size(0xFFFFFF) + ChunkWriter(0xFFFFFF).write(
            Message(9, 1, 0, bytes(size)), 4
        )
        start = time.process_time()
        assert len(read_all([data[at : at + 1] for at in range(len(data))])) == 1
        return time.process_time() - start

    assert cost(160_000) < 30 * max(cost(20_000), 0.001)


def test_acknowledgement_wraps() -> None:
    assert acknowledgement(2**32 + 5).payload == b"\x00\x00\x00\x05"
