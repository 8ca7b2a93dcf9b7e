"""Puts cases to a server over a real socket and says what was wrong with its answers."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator

import trio
from edge_harness import RawClient
from websocket_cases import BINARY, CLOSE, CONTINUATION, TEXT, Case, Frame

from dorami_core.edge.websocket import apply_mask

Connect = Callable[[], Awaitable[RawClient]]
Echo = tuple[int, bytes]


def encode(frame: Frame) -> bytes:
    if frame.raw is not None:
        return frame.raw
    size, bit = len(frame.payload), 0x80 if frame.masked else 0
    head = bytes([(0x80 if frame.fin else 0) | frame.rsv << 4 | frame.opcode])
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + size.to_bytes(8, "big")
    if not frame.masked:
        return head + frame.payload
    mask = os.urandom(4)
    return head + mask + apply_mask(frame.payload, mask)


def pieces(data: bytes) -> Iterator[bytes]:
    """Single bytes; in the middle of what is long, 1021 of them."""
    at = 0
    while at < len(data):
        size = 1 if at < 300 or at >= len(data) - 30 else min(1021, len(data) - 30 - at)
        yield data[at : at + size]
        at += size


async def put(
    case: Case, connect: Connect, receive: Callable[[RawClient], Awaitable[Echo]], *, chopped: bool, in_step: bool
) -> str:
    """What the server did wrong; nothing: "". One that does not answer `in_step` may close before it has answered what
    came earlier."""
    client = await connect()
    said: list[Echo] = []
    done = trio.Event()

    async def send() -> None:
        data = b"".join(map(encode, case.frames))
        try:
            for piece in pieces(data) if chopped else (data,):
                await client.stream.send_all(piece)
            if case.code is None:
                await done.wait()
                await client.stream.send_all(encode(Frame(CLOSE, b"\x03\xe8")))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the server has closed

    code = None
    with trio.move_on_after(20) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            if case.code is None and not case.expected:
                done.set()
            try:
                while code is None:
                    echo = await receive(client)
                    if echo[0] == CLOSE:
                        code = int.from_bytes(echo[1][:2], "big") if echo[1] else 1005
                    else:
                        said.append(echo)
                        if len(said) == len(case.expected):
                            done.set()
                if await client.stream.receive_some(1):
                    return "goes on after its close frame"
            except EOFError:
                return f"ended without a close frame after {len(said)} answers"
            except trio.BrokenResourceError:
                return f"reset, close code {code}"
            finally:
                nursery.cancel_scope.cancel()
                client.stream.socket.close()
    if scope.cancelled_caught:
        return f"hangs after {len(said)} answers"
    if code != (case.code or 1000):
        return f"closed with {code}, not {case.code or 1000}"
    if (in_step or case.code is None) and sorted(said) != sorted(case.expected):
        return f"answered {said!r:.200}"
    if any(echo not in case.expected for echo in said):
        return f"answered {said!r:.200} before it closed"
    return ""


def as_events(frames: tuple[Frame, ...]) -> tuple[Frame, ...] | None:
    """The same frames around events of the echo plugin; None where JSON could not carry the text."""
    found: list[Frame] = []
    message = None
    for frame in frames:
        payload = frame.payload
        if frame.opcode not in (CONTINUATION, TEXT, BINARY) or frame.raw is not None:
            found.append(frame)
            continue
        if frame.opcode:
            message = frame.opcode
        if message == TEXT:
            if any(byte < 0x20 or byte in b'"\\' for byte in payload):
                return None
            payload = (b'42["message","' if frame.opcode else b"") + payload + (b'"]' if frame.fin else b"")
        elif frame.opcode == BINARY:
            found.append(Frame(TEXT, b'451-["message",{"_placeholder":true,"num":0}]'))
        found.append(Frame(frame.opcode, payload, frame.fin, frame.rsv, frame.masked))
        message = None if frame.fin else message
    return tuple(found)


async def receive_frame(client: RawClient) -> Echo:
    return await client.frame()


async def receive_event(client: RawClient) -> Echo:
    """What the echo plugin sends back, as the message that was sent."""
    opcode, payload = await client.frame()
    if opcode == TEXT and payload.startswith(b"451-"):
        opcode, payload = await client.frame()
    elif opcode == TEXT:
        payload = payload.removeprefix(b'42["message-back","').removesuffix(b'"]')
    return opcode, payload
