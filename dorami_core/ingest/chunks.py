"""The chunk stream: messages cut into chunks and put together again (RTMP 1.0, section 5.3)."""

from __future__ import annotations

from dorami_core.ingest.messages import (
    CONTROL_CHUNKS,
    Message,
    MessageType,
    RtmpProtocolError,
    read_u32,
    set_chunk_size,
)

DEFAULT_CHUNK_SIZE = 128
MAX_CHUNK_SIZE = 0xFFFFFF
MAX_CHUNK_STREAMS = 64

_EXTENDED = 0xFFFFFF
_MASK32 = 0xFFFFFFFF
_HEADER_SIZES = (11, 7, 3, 0)


class _Incoming:
    """What is remembered of one chunk stream between its chunks."""

    __slots__ = ("body", "delta", "extended", "length", "stream_id", "timestamp", "type_id")

    def __init__(self) -> None:
        self.stream_id = 0
        self.type_id = 0
        self.length = 0
        self.timestamp = 0
        self.delta = 0  # of the last header; the absolute time after a type 0 header (5.3.1.2.4)
        self.extended = False
        self.body: bytearray | None = None  # of a message that has begun


class ChunkReader:
    """Bytes in by `feed`, whole messages out by `next_message`.

    Set Chunk Size and Abort act at once and are not returned. A message that is declared longer than
    `max_message_bytes` is refused at its header, before any of it is kept; what is kept of unfinished messages is
    bounded by twice that. Errors: RtmpProtocolError, after which the reader is of no more use.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self.max_message_bytes = max_message_bytes
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self._streams: dict[int, _Incoming] = {}
        self._buffer = b""
        self._at = 0
        self._open: _Incoming | None = None
        self._chunk_left = 0
        self._kept = 0

    @property
    def buffered_bytes(self) -> int:
        """Unread bytes and those of unfinished messages."""
        return len(self._buffer) - self._at + self._kept

    def feed(self, data: bytes) -> None:
        # What is left over is normally less than a chunk header: payload bytes move to their message at once.
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def next_message(self) -> Message | None:
        """None: more bytes are needed."""
        while self._open is not None or self._read_header():
            message = self._read_payload()
            if message is None:
                if self._open is not None:
                    return None
            elif message.type_id == MessageType.SET_CHUNK_SIZE:
                self._set_chunk_size(read_u32(message))
            elif message.type_id == MessageType.ABORT:
                self._abort(read_u32(message))
            else:
                return message
        return None

    def _read_payload(self) -> Message | None:
        """Takes what there is of the open chunk; a message where that was its last one."""
        stream = self._open
        assert stream is not None
        buffer, at, left = self._buffer, self._at, self._chunk_left
        end = at + left
        if stream.body is None and left == stream.length and end <= len(buffer):
            self._at = end
            self._open = None
            return Message(stream.type_id, stream.stream_id, stream.timestamp, buffer[at:end])
        if stream.body is None:
            stream.body = bytearray()
        if end > len(buffer):
            end = len(buffer)
        stream.body += memoryview(buffer)[at:end]
        self._at = end
        self._kept += end - at
        if self._kept > 2 * self.max_message_bytes:
            raise RtmpProtocolError("too many unfinished messages")
        self._chunk_left = left - (end - at)
        if self._chunk_left:
            return None
        self._open = None
        if len(stream.body) < stream.length:
            return None
        payload = bytes(stream.body)
        stream.body = None
        self._kept -= len(payload)
        return Message(stream.type_id, stream.stream_id, stream.timestamp, payload)

    def _read_header(self) -> bool:
        """Reads the header of the next chunk; False, and nothing taken, where it is not all there."""
        buffer, at = self._buffer, self._at
        size = len(buffer)
        if at >= size:
            return False
        fmt = buffer[at] >> 6
        chunk_stream_id = buffer[at] & 0x3F
        at += 1
        if chunk_stream_id < 2:  # 5.3.1.1: 0 adds one byte, 1 adds two, low byte first
            more = chunk_stream_id + 1
            if at + more > size:
                return False
            chunk_stream_id = 64 + int.from_bytes(buffer[at : at + more], "little")
            at += more
        end = at + _HEADER_SIZES[fmt]
        if end > size:
            return False
        stream = self._streams.get(chunk_stream_id)
        if stream is None:
            # A type 1 header on a new chunk stream is against the specification, but old encoders send pings so.
            if fmt > 1:
                raise RtmpProtocolError(f"chunk stream {chunk_stream_id} begins with a type {fmt} header")
            if len(self._streams) >= MAX_CHUNK_STREAMS:
                raise RtmpProtocolError(f"more than {MAX_CHUNK_STREAMS} chunk streams")
            stream = _Incoming()
        fresh = stream.body is None
        if fmt == 3:
            if stream.extended:
                # 5.3.1.3: repeated on every type 3 chunk. Some encoders leave it out, so it is taken only where it
                # repeats the delta, or the time, of this message: other bytes there are payload.
                if end + 4 > size:
                    return False
                value = int.from_bytes(buffer[end : end + 4], "big")
                if value in (stream.delta, stream.timestamp):
                    end += 4
            length, type_id, stream_id, delta, extended = (
                stream.length, stream.type_id, stream.stream_id, stream.delta, stream.extended,
            )  # fmt: skip
        else:
            if not fresh:
                raise RtmpProtocolError("a new message header inside an unfinished message")
            delta = int.from_bytes(buffer[at : at + 3], "big")
            length, type_id, stream_id = stream.length, stream.type_id, stream.stream_id
            if fmt < 2:
                length = int.from_bytes(buffer[at + 3 : at + 6], "big")
                type_id = buffer[at + 6]
                if length > self.max_message_bytes:
                    raise RtmpProtocolError(
                        f"a message of {length} bytes was announced, {self.max_message_bytes} are allowed"
                    )
            if fmt == 0:
                stream_id = int.from_bytes(buffer[at + 7 : at + 11], "little")
            extended = delta == _EXTENDED
            if extended:
                if end + 4 > size:
                    return False
                delta = int.from_bytes(buffer[end : end + 4], "big")
                end += 4
        if fresh:
            stream.timestamp = delta if fmt == 0 else (stream.timestamp + delta) & _MASK32
            stream.length, stream.type_id, stream.stream_id = length, type_id, stream_id
            stream.delta, stream.extended = delta, extended
            self._streams[chunk_stream_id] = stream
            self._chunk_left = min(length, self.chunk_size)
        else:
            assert stream.body is not None
            self._chunk_left = min(length - len(stream.body), self.chunk_size)
        self._open = stream
        self._at = end
        return True

    def _set_chunk_size(self, size: int) -> None:
        if not 1 <= size < 0x80000000:
            raise RtmpProtocolError(f"a chunk size of {size}")
        self.chunk_size = min(size, MAX_CHUNK_SIZE)

    def _abort(self, chunk_stream_id: int) -> None:
        stream = self._streams.get(chunk_stream_id)
        if stream is not None and stream.body is not None:
            self._kept -= len(stream.body)
            stream.body = None


class _Outgoing:
    __slots__ = ("delta", "length", "stream_id", "timestamp", "type_id")

    def __init__(self) -> None:
        self.stream_id = self.type_id = self.length = self.timestamp = 0
        self.delta = -1  # none yet: a type 3 header after a type 0 one is read differently by different peers


class ChunkWriter:
    """Messages in, chunks out, each with the shortest header that every peer reads alike."""

    def __init__(self, chunk_size: int = DEFAULT_CHUNK_SIZE) -> None:
        self.chunk_size = chunk_size
        self._streams: dict[int, _Outgoing] = {}

    def set_chunk_size(self, size: int) -> bytes:
        """The message that says so; messages after it are cut by `size`, 1..0xFFFFFF bytes."""
        if not 1 <= size <= MAX_CHUNK_SIZE:
            raise ValueError(f"a chunk size of {size}")
        data = self.write(set_chunk_size(size), CONTROL_CHUNKS)
        self.chunk_size = size
        return data

    def write(self, message: Message, chunk_stream_id: int) -> bytes:
        """`chunk_stream_id` is 2..65599; the payload has at most 0xFFFFFF bytes."""
        length = len(message.payload)
        if length > 0xFFFFFF:
            raise ValueError(f"a message of {length} bytes")
        fmt, field = self._choose(message, chunk_stream_id)
        extension = field.to_bytes(4, "big") if field >= _EXTENDED else b""
        out = bytearray(_basic_header(fmt, chunk_stream_id))
        if fmt < 3:
            out += min(field, _EXTENDED).to_bytes(3, "big")
        if fmt < 2:
            out += length.to_bytes(3, "big")
            out.append(message.type_id)
        if fmt == 0:
            out += message.stream_id.to_bytes(4, "little")
        out += extension
        payload = memoryview(message.payload)
        out += payload[: self.chunk_size]
        again = _basic_header(3, chunk_stream_id) + extension
        for at in range(self.chunk_size, length, self.chunk_size):
            out += again
            out += payload[at : at + self.chunk_size]
        return bytes(out)

    def _choose(self, message: Message, chunk_stream_id: int) -> tuple[int, int]:
        """Header type and the value of its timestamp field, and remembers them."""
        last = self._streams.get(chunk_stream_id)
        length = len(message.payload)
        fmt, field = 0, message.timestamp
        if last is None:
            last = self._streams[chunk_stream_id] = _Outgoing()
        elif last.stream_id == message.stream_id:
            delta = (message.timestamp - last.timestamp) & _MASK32
            if delta < _EXTENDED:  # back in time, or far ahead: an absolute time
                fmt, field = 1, delta
                if (last.length, last.type_id) == (length, message.type_id):
                    fmt = 3 if last.delta == delta else 2
        last.stream_id, last.type_id = message.stream_id, message.type_id
        last.length, last.timestamp = length, message.timestamp
        last.delta = field if fmt else -1
        return fmt, field


def _basic_header(fmt: int, chunk_stream_id: int) -> bytes:
    if chunk_stream_id < 64:
        return bytes((fmt << 6 | chunk_stream_id,))
    if chunk_stream_id < 320:
        return bytes((fmt << 6, chunk_stream_id - 64))
    return bytes((fmt << 6 | 1,)) + (chunk_stream_id - 64).to_bytes(2, "little")
