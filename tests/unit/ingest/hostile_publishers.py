"""Publishers that mean no good: each opens a connection, does one thing wrong, and waits for the server to end it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from random import Random

import attrs
import trio
from rtmp_parts import AAC_HEADER, AVC_HEADER, FRAME, KEYFRAME, METADATA, SOUND, basic_header, cut_up

from dorami_core.ingest import amf0
from dorami_core.ingest import commands as cmd
from dorami_core.ingest.chunks import ChunkWriter
from dorami_core.ingest.commands import Command
from dorami_core.ingest.messages import Message, MessageType

HANDSHAKE = b"\x03" + bytes(3072)
_RESET = struct.pack("ii", 1, 0)


@attrs.frozen
class Victim:
    """Where a server listens, and the name with the secret that lets a publisher in."""

    port: int
    name: str


Attack = Callable[[Victim, Random], Awaitable[None]]


def opening(writer: ChunkWriter, name: str) -> bytes:
    """Handshake and all commands up to `publish`, in one go."""
    said = [
        (Command("connect", 1, {"app": "live", "flashVer": "FMLE/3.0"}), 0),
        (Command("releaseStream", 2, None, (name,)), 0),
        (Command("createStream", 3), 0),
        (Command("publish", 4, None, (name, "live")), 1),
    ]
    return HANDSHAKE + b"".join(writer.write(cmd.encode_command(command, stream), 3) for command, stream in said)


def broadcast(writer: ChunkWriter, chance: Random) -> bytes:
    """Some frames as they should be."""
    payloads = [(MessageType.DATA, METADATA), (MessageType.VIDEO, AVC_HEADER), (MessageType.AUDIO, AAC_HEADER)]
    for _ in range(20):
        payloads.append(
            chance.choice([(MessageType.VIDEO, KEYFRAME), (MessageType.VIDEO, FRAME), (MessageType.AUDIO, SOUND)])
        )
    return b"".join(
        writer.write(Message(kind, 1, number * 33, payload), 4) for number, (kind, payload) in enumerate(payloads)
    )


def spoil(data: bytes, chance: Random, start: int = 0) -> bytes:
    """One to eight changes at or after `start`: bits, bytes left out, put in, or repeated."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(start, len(out))
        size = chance.randint(1, 40)
        match chance.randrange(5):
            case 0:
                out[at] ^= 1 << chance.randrange(8)
            case 1:
                out[at : at + size] = b""
            case 2:
                out[at:at] = chance.randbytes(size)
            case 3:
                out[at:at] = out[at : at + size]
            case _:
                out[at : at + size] = b"\xff" * size
        if len(out) <= start:
            out += b"\x00"
    return bytes(out)


async def say(victim: Victim, chance: Random, data: bytes) -> None:
    """Sends it in pieces, shuts its half, and reads until the server has ended it; one in four just vanishes."""
    stream = await trio.open_tcp_stream("127.0.0.1", victim.port)
    try:
        for piece in cut_up(data, chance):
            await stream.send_all(piece)
        if chance.randrange(4) == 0:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            return
        await stream.send_eof()
        while await stream.receive_some(65536):
            pass
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    finally:
        await trio.aclose_forcefully(stream)


async def half_open(victim: Victim, chance: Random) -> None:
    """A part of the handshake or of the commands, then silence until the server has had enough."""
    data = opening(ChunkWriter(), victim.name)
    stream = await trio.open_tcp_stream("127.0.0.1", victim.port)
    async with stream:
        await stream.send_all(data[: chance.randrange(len(data) - 40)])
        try:
            while await stream.receive_some(65536):
                pass
        except trio.BrokenResourceError:
            pass


async def garbage(victim: Victim, chance: Random) -> None:
    start = chance.choice([b"", b"\x03", HANDSHAKE, b"GET / HTTP/1.1\r\n"])
    await say(victim, chance, start + chance.randbytes(chance.randint(1, 20_000)))


async def fuzzed_commands(victim: Victim, chance: Random) -> None:
    await say(victim, chance, spoil(opening(ChunkWriter(), victim.name), chance, len(HANDSHAKE)))


async def fuzzed_chunks(victim: Victim, chance: Random) -> None:
    """Let in, and then chunks that are not what they should be."""
    writer = ChunkWriter()
    good = opening(writer, victim.name)
    await say(victim, chance, good + spoil(broadcast(writer, chance), chance))


def bomb(chance: Random) -> bytes:
    """AMF0 that promises or nests more than it should."""
    match chance.randrange(6):
        case 0:
            return b"\x03\x00\x01a" * 10_000
        case 1:
            return b"\x0a\xff\xff\xff\xff" + b"\x05" * 60_000
        case 2:
            return (b"\x0a" + (60_000).to_bytes(4, "big")) * 10 + b"\x05" * 50_000
        case 3:
            return b"\x0c\xff\xff\xff\xf0" + b"a" * 100
        case 4:
            return b"\x08\x00\x00\x00\x00" + b"\x00\x01a\x05" * 12_000 + b"\x00\x00\x09"
        case _:
            return b"\x0a\x00\x00\x10\x00" * 15 + b"\x03\x00\x00\x09" * 12_000


async def amf_bomb(victim: Victim, chance: Random) -> None:
    """In a command before the gate, or in the metadata of one that was let in."""
    writer = ChunkWriter()
    if chance.random() < 0.5:
        payload = amf0.encode("connect", 1.0) + bomb(chance)
        await say(victim, chance, HANDSHAKE + writer.write(Message(MessageType.COMMAND, 0, 0, payload), 3))
        return
    data = opening(writer, victim.name)
    for _ in range(5):
        payload = amf0.encode("@setDataFrame", "onMetaData") + bomb(chance) * chance.choice([1, 10])
        data += writer.write(Message(MessageType.DATA, 1, 0, payload), 4)
    await say(victim, chance, data)


async def unfinished_messages(victim: Victim, chance: Random) -> None:
    """Many chunk streams, each with a message announced as large as is allowed and never ended."""
    writer = ChunkWriter()
    data = bytearray(opening(writer, victim.name) + writer.set_chunk_size(65_536))
    length = chance.choice([100_000, 15_000_000, 0xFFFFFF])
    for number in range(chance.randint(5, 80)):
        data += basic_header(0, 10 + number) + bytes(3) + length.to_bytes(3, "big") + b"\x09\x01\x00\x00\x00"
        data += bytes(min(length, 65_536))
    await say(victim, chance, bytes(data))


async def tiny_chunks(victim: Victim, chance: Random) -> None:
    """Chunks of one byte, and of another size in the middle of it."""
    writer = ChunkWriter()
    data = opening(writer, victim.name) + writer.set_chunk_size(1) + broadcast(writer, chance)
    data += writer.set_chunk_size(chance.choice([1, 7, 0xFFFFFF])) + broadcast(writer, chance)
    await say(victim, chance, data + b"\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x00")


async def broken_aggregate(victim: Victim, chance: Random) -> None:
    writer = ChunkWriter()
    data = opening(writer, victim.name)
    part = b"\x16" + (11).to_bytes(3, "big") + bytes(7) + b"\x16" + bytes(10) + bytes(4)
    for _ in range(5):
        payload = spoil(part * 100, chance)
        data += writer.write(Message(MessageType.AGGREGATE, 1, 0, payload), 4)
    await say(victim, chance, data)


async def never_reads(victim: Victim, chance: Random) -> None:
    """Asks much and takes no answer."""
    writer = ChunkWriter()
    ping = writer.write(Message(MessageType.USER_CONTROL, 0, 0, b"\x00\x06\x00\x00\x00\x01"), 2)
    stream = await trio.open_tcp_stream("127.0.0.1", victim.port)
    try:
        await stream.send_all(opening(writer, victim.name))
        with trio.move_on_after(0.5):
            await stream.send_all(ping * 200_000)
    except trio.BrokenResourceError:
        pass
    finally:
        await trio.aclose_forcefully(stream)


ATTACKS: tuple[Attack, ...] = (
    garbage,
    half_open,
    fuzzed_commands,
    fuzzed_chunks,
    fuzzed_chunks,
    amf_bomb,
    unfinished_messages,
    tiny_chunks,
    broken_aggregate,
)
