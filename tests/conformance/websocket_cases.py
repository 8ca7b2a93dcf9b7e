"""RFC 6455 as cases: what a client sends and what an echo server has to say to that.

Numbers are those of Autobahn's fuzzing client, so that a result can be compared with its reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@attrs.frozen
class Frame:
    """What goes out as one frame; `raw` goes out as it is."""

    opcode: int = TEXT
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    masked: bool = True
    raw: bytes | None = None


@attrs.frozen
class Case:
    """`expected` is what comes back before the close frame with `code`; None: the client ends the connection once it
    has all of it, with 1000."""

    number: str
    frames: tuple[Frame, ...]
    expected: tuple[tuple[int, bytes], ...] = ()
    code: int | None = None


def text(payload: bytes, **how: bool | int) -> Frame:
    return Frame(TEXT, payload, **how)  # type: ignore[arg-type]


def more(payload: bytes, *, fin: bool = True, rsv: int = 0) -> Frame:
    return Frame(CONTINUATION, payload, fin=fin, rsv=rsv)


def echoed(number: str, opcode: int, payload: bytes, size: int | None = None) -> Case:
    """One message, cut into fragments of `size`."""
    if size is None:
        return Case(number, (Frame(opcode, payload),), ((opcode, payload),))
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    frames = [
        Frame(CONTINUATION if turn else opcode, part, fin=turn == len(parts) - 1) for turn, part in enumerate(parts)
    ]
    return Case(number, tuple(frames), ((opcode, payload),))


def framing() -> Iterator[Case]:
    """1: lengths at the borders of the three length fields."""
    for group, opcode, filler in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for turn, size in enumerate((0, 125, 126, 127, 128, 65535, 65536), 1):
            yield echoed(f"1.{group}.{turn}", opcode, filler * size)
        yield echoed(f"1.{group}.8", opcode, filler * 65536, 997)


def pings() -> Iterator[Case]:
    """2."""
    for turn, payload in enumerate((b"", b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125), 1):
        yield Case(f"2.{turn}", (Frame(PING, payload),), ((PONG, payload),))
    yield Case("2.5", (Frame(PING, b"\xfe" * 126),), code=1002)
    yield Case("2.7", (Frame(PONG),))
    yield Case("2.8", (Frame(PONG, b"unsolicited pong payload"),))
    yield Case("2.9", (Frame(PONG, b"unsolicited"), Frame(PING, b"ping")), ((PONG, b"ping"),))
    ten = [b"payload-%d" % turn for turn in range(10)]
    yield Case("2.10", tuple(Frame(PING, each) for each in ten), tuple((PONG, each) for each in ten))


def reserved_bits() -> Iterator[Case]:
    """3: no extension is agreed on, so each of these fails the connection."""
    hello = text(b"Hello, world!")
    echo = (TEXT, b"Hello, world!")
    yield Case("3.1", (text(b"Hello, world!", rsv=1),), code=1002)
    yield Case("3.2", (hello, text(b"Hello, world!", rsv=2), Frame(PING)), (echo,), 1002)
    yield Case("3.3", (hello, text(b"Hello, world!", rsv=3), Frame(PING)), (echo,), 1002)
    yield Case("3.4", (hello, text(b"Hello, world!", rsv=4), Frame(PING)), (echo,), 1002)
    yield Case("3.5", (Frame(BINARY, b"\x00\xff\xfe", rsv=5),), code=1002)
    yield Case("3.6", (Frame(PING, b"Hello", rsv=6),), code=1002)
    yield Case("3.7", (Frame(CLOSE, b"\x03\xe8", rsv=7),), code=1002)


def opcodes() -> Iterator[Case]:
    """4: reserved ones, data and control."""
    hello, echo = text(b"Hello, world!"), (TEXT, b"Hello, world!")
    for group, first in ((1, 3), (2, 11)):
        yield Case(f"4.{group}.1", (Frame(first),), code=1002)
        yield Case(f"4.{group}.2", (Frame(first + 1, b"reserved opcode payload"),), code=1002)
        for turn in (3, 4, 5):
            frames = (hello, Frame(first + turn - 1, b"" if turn == 3 else b"reserved"), Frame(PING))
            yield Case(f"4.{group}.{turn}", frames, (echo,), 1002)


def fragments() -> Iterator[Case]:
    """5."""
    one, two = text(b"fragment1", fin=False), more(b"fragment2")
    both = (TEXT, b"fragment1fragment2")
    yield Case("5.1", (Frame(PING, b"frag", fin=False), more(b"ment")), code=1002)
    yield Case("5.2", (Frame(PONG, b"frag", fin=False), more(b"ment")), code=1002)
    yield Case("5.3", (one, two), (both,))
    yield Case("5.6", (one, Frame(PING, b"ping"), two), ((PONG, b"ping"), both))
    pinged = (Frame(PING, b"ping1"), more(b"fragment2", fin=False), more(b"fragment3", fin=False))
    five = (*pinged, Frame(PING, b"ping2"), more(b"fragment4", fin=False), more(b"fragment5"))
    whole = (TEXT, b"".join(b"fragment%d" % turn for turn in range(1, 6)))
    pongs = ((PONG, b"ping1"), (PONG, b"ping2"))
    yield Case("5.7", (one, *five), (*pongs, whole))
    yield Case("5.9", (more(b"non-continuation", fin=True), text(b"Hello")), code=1002)
    yield Case("5.12", (more(b"non-continuation", fin=False), text(b"Hello")), code=1002)
    yield Case("5.15", (one, two, more(b"fragment3", fin=False), text(b"fragment4")), (both,), 1002)
    yield Case("5.18", (one, text(b"fragment2")), code=1002)
    yield Case("5.19", (one, *five), (*pongs, whole))
    yield Case("5.x empty", (text(b"", fin=False), more(b"", fin=False), more(b"")), ((TEXT, b""),))
    yield Case("5.x bits", (one, more(b"fragment2", rsv=4)), code=1002)
    yield Case("5.x binary", (Frame(BINARY, b"\x00", fin=False), more(b"\xff")), ((BINARY, b"\x00\xff"),))


VALID_TEXT: Sequence[tuple[str, bytes]] = (
    ("6.2.1", "Hello-µ@ßöäüàá-UTF-8!!".encode()),
    ("6.5.1", "κόσμε".encode()),
    ("6.6.2", b"\xce\xba"),
    ("6.6.5", b"\xce\xba\xe1\xbd\xb9"),
    ("6.6.11", "κόσμε".encode()),
    ("6.7.1", b"\x00"),
    ("6.7.2", b"\xc2\x80"),
    ("6.7.3", b"\xe0\xa0\x80"),
    ("6.7.4", b"\xf0\x90\x80\x80"),
    ("6.9.1", b"\x7f"),
    ("6.9.2", b"\xdf\xbf"),
    ("6.9.3", b"\xef\xbf\xbf"),
    ("6.9.4", b"\xf4\x8f\xbf\xbf"),
    ("6.11.1", b"\xed\x9f\xbf"),
    ("6.11.2", b"\xee\x80\x80"),
    ("6.11.3", b"\xef\xbf\xbd"),
    ("6.11.4", b"\xf4\x8f\xbf\xbf"),
    ("6.22.1", b"\xef\xbf\xbe"),
    ("6.22.2", b"\xef\xbf\xbf"),
    ("6.22.3", b"\xf0\x9f\xbf\xbe"),
    ("6.22.34", b"\xf4\x8f\xbf\xbf"),
    ("6.23.1", "\ufff9\ufffa\ufffb\ufffc\ufffd".encode()),
)
INVALID_TEXT: Sequence[tuple[str, bytes]] = (
    ("6.3.1", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"),
    ("6.6.1", b"\xce"),
    ("6.6.3", b"\xce\xba\xe1"),
    ("6.6.4", b"\xce\xba\xe1\xbd"),
    ("6.6.6", b"\xce\xba\xe1\xbd\xb9\xcf"),
    ("6.8.1", b"\xf8\x88\x80\x80\x80"),
    ("6.8.2", b"\xfc\x84\x80\x80\x80\x80"),
    ("6.10.1", b"\xf7\xbf\xbf\xbf"),
    ("6.10.2", b"\xfb\xbf\xbf\xbf\xbf"),
    ("6.10.3", b"\xfd\xbf\xbf\xbf\xbf\xbf"),
    ("6.11.5", b"\xf4\x90\x80\x80"),
    ("6.12.1", b"\x80"),
    ("6.12.2", b"\xbf"),
    ("6.12.5", b"\x80\xbf\x80\xbf\x80"),
    ("6.12.8", bytes(range(0x80, 0xC0))),
    ("6.13.1", b"".join(bytes((first, 0x20)) for first in range(0xC0, 0xE0))),
    ("6.13.2", b"".join(bytes((first, 0x20)) for first in range(0xE0, 0xF0))),
    ("6.13.3", b"".join(bytes((first, 0x20)) for first in range(0xF0, 0xF8))),
    ("6.14.1", b"\xc0"),
    ("6.14.2", b"\xe0\x80"),
    ("6.14.3", b"\xf0\x80\x80"),
    ("6.14.6", b"\xdf"),
    ("6.14.7", b"\xef\xbf"),
    ("6.14.8", b"\xf7\xbf\xbf"),
    ("6.15.1", b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf"),
    ("6.16.1", b"\xfe"),
    ("6.16.2", b"\xff"),
    ("6.16.3", b"\xfe\xfe\xff\xff"),
    ("6.17.1", b"\xc0\xaf"),
    ("6.17.2", b"\xe0\x80\xaf"),
    ("6.17.3", b"\xf0\x80\x80\xaf"),
    ("6.18.1", b"\xc1\xbf"),
    ("6.18.2", b"\xe0\x9f\xbf"),
    ("6.18.3", b"\xf0\x8f\xbf\xbf"),
    ("6.19.1", b"\xc0\x80"),
    ("6.19.2", b"\xe0\x80\x80"),
    ("6.20.1", b"\xed\xa0\x80"),
    ("6.20.2", b"\xed\xad\xbf"),
    ("6.20.7", b"\xed\xbf\xbf"),
    ("6.21.1", b"\xed\xa0\x80\xed\xb0\x80"),
    ("6.21.8", b"\xed\xaf\xbf\xed\xbf\xbf"),
)


def unicode() -> Iterator[Case]:
    """6."""
    yield Case("6.1.1", (text(b""),), ((TEXT, b""),))
    yield Case("6.1.2", (text(b"", fin=False), more(b"", fin=False), more(b"")), ((TEXT, b""),))
    middle = (text(b"", fin=False), more(b"middle frame payload", fin=False), more(b""))
    yield Case("6.1.3", middle, ((TEXT, b"middle frame payload"),))
    for number, good in VALID_TEXT:
        yield echoed(number, TEXT, good)
        yield echoed(f"{number} in ones", TEXT, good, 1)
    for number, bad in INVALID_TEXT:
        yield Case(number, (text(bad),), code=1007)
        cut = tuple(Frame(TEXT if not at else 0, bad[at : at + 1], fin=at == len(bad) - 1) for at in range(len(bad)))
        yield Case(f"{number} in ones", cut, code=1007)


FAIL_FAST: Sequence[tuple[str, bytes]] = (
    ("6.4.1", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90"),
    ("6.4.2", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf8"),
    ("6.4.3", b"\xce\xba\xe1\xbd\xb9\xed\xa0"),
    ("6.4.4", b"\xc0"),
)
"""Text that is lost with its last byte, though its frame and its message go on: the server must not wait for more."""


def closing() -> Iterator[Case]:
    """7: `expected` ends before the close frame that answers ours."""
    hello, bye = text(b"Hello World!"), Frame(CLOSE, b"\x03\xe8")
    echo = (TEXT, b"Hello World!")
    yield Case("7.1.1", (hello, bye), (echo,), 1000)
    yield Case("7.1.2", (bye, bye), (), 1000)
    yield Case("7.1.3", (bye, Frame(PING)), (), 1000)
    yield Case("7.1.4", (bye, hello), (), 1000)
    yield Case("7.1.5", (text(b"fragment1", fin=False), bye, more(b"fragment2")), (), 1000)
    yield Case("7.1.6", (text(b"BAsd7&jh23" * 6500), hello, bye), ((TEXT, b"BAsd7&jh23" * 6500), echo), 1000)
    yield Case("7.3.1", (Frame(CLOSE),), (), 1005)
    yield Case("7.3.2", (Frame(CLOSE, b"a"),), (), 1002)
    yield Case("7.3.3", (bye,), (), 1000)
    yield Case("7.3.4", (Frame(CLOSE, b"\x03\xe8Hello World!"),), (), 1000)
    yield Case("7.3.5", (Frame(CLOSE, b"\x03\xe8" + b"*" * 123),), (), 1000)
    yield Case("7.3.6", (Frame(CLOSE, b"\x03\xe8" + b"*" * 124),), (), 1002)
    yield Case("7.5.1", (Frame(CLOSE, b"\x03\xe8" + b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited"),), (), 1007)
    good = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
    for turn, code in enumerate(good, 1):
        yield Case(f"7.7.{turn}", (Frame(CLOSE, code.to_bytes(2, "big")),), (), code)
    for turn, code in enumerate((0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535), 1):
        yield Case(f"7.9.{turn}", (Frame(CLOSE, code.to_bytes(2, "big")),), (), 1002)


LIMIT = 1 << 20
"""Of the server, for a message."""
FITS = LIMIT - 16
"""Leaves room for the event around a text when the cases are put to Socket.IO."""


def sizes() -> Iterator[Case]:
    """9, as far as a test that is run every day can: up to the bound of a message, and over it."""
    yield echoed("9.1.1", TEXT, b"*" * (64 << 10))
    yield echoed("9.1.3", TEXT, b"*" * FITS)
    yield echoed("9.2.3", BINARY, b"\xfe" * LIMIT)
    yield echoed("9.3.2", TEXT, b"*" * FITS, 1000)
    yield echoed("9.4.6", BINARY, b"\xfe" * LIMIT, 64 << 10)
    yield Case("9.x over", (Frame(raw=b"\x82\xff" + (LIMIT + 1).to_bytes(8, "big")),), code=1009)
    half = Frame(BINARY, b"\0" * (LIMIT // 2), fin=False)
    yield Case("9.x over in parts", (half, more(b"\0" * (LIMIT // 2 + 1))), code=1009)
    yield Case("9.x huge", (Frame(raw=b"\x81\xff\x7f" + b"\xff" * 7),), code=1009)
    many = tuple(text(b"%d" % turn) for turn in range(500))
    yield Case("9.x many", many, tuple((TEXT, b"%d" % turn) for turn in range(500)))


def masking() -> Iterator[Case]:
    """RFC 6455, 5.1 and 5.2, which Autobahn cannot ask of a server."""
    yield Case("5.1 unmasked", (Frame(TEXT, b"Hello", masked=False),), code=1002)
    yield Case("5.1 unmasked ping", (text(b"a"), Frame(PING, masked=False)), ((TEXT, b"a"),), 1002)
    yield Case("5.2 length in 16", (Frame(raw=b"\x81\xfe\x00\x05\0\0\0\0Hello"),), code=1002)
    yield Case("5.2 length in 64", (Frame(raw=b"\x81\xff" + (126).to_bytes(8, "big") + b"\0\0\0\0"),), code=1002)
    yield Case("5.2 length above 2**63", (Frame(raw=b"\x81\xff\xff" + b"\xff" * 7),), code=1002)


SECTIONS = {
    "1 framing": tuple(framing()),
    "2 pings": tuple(pings()),
    "3 reserved bits": tuple(reserved_bits()),
    "4 opcodes": tuple(opcodes()),
    "5 fragments": tuple(fragments()),
    "6 UTF-8": tuple(unicode()),
    "7 close": tuple(closing()),
    "9 sizes": tuple(sizes()),
    "10 auto-fragmentation": (echoed("10.1.1", TEXT, b"*" * 65536, 1300),),
    "masks and lengths": tuple(masking()),
}
