"""Viewers of low-latency HLS that decode nothing: each waits for a playlist and fetches the part that it names."""

from __future__ import annotations

import re
import time
from datetime import datetime
from urllib.parse import SplitResult, urlsplit

import attrs
import trio

from bench.report import progress

STEP_S = 0.1
_SEQUENCE = re.compile(r"#EXT-X-MEDIA-SEQUENCE:(\d+)")
_DATE = re.compile(r"#EXT-X-PROGRAM-DATE-TIME:(\S+)")
_PART = re.compile(r'#EXT-X-PART:DURATION=([\d.]+),URI="([^"]+)"')


@attrs.frozen
class Newest:
    """The last part of a playlist: its name and when its last frame came in (seconds of Unix time); and what a reload
    asks for next."""

    uri: str
    ends_at: float
    segment: int
    part: int


def newest(text: str) -> Newest:
    found = _SEQUENCE.search(text)
    segment, parts, uri, ends_at = int(found[1]) if found else 0, 0, "", 0.0
    for line in text.splitlines():
        if match := _DATE.match(line):
            ends_at = datetime.fromisoformat(match[1]).timestamp()
        elif match := _PART.match(line):
            ends_at += float(match[1])
            uri = match[2]
            parts += 1
        elif line and not line.startswith("#"):
            segment, parts = segment + 1, 0
    return Newest(uri, ends_at, segment, parts)


@attrs.define
class Counts:
    """`ages_s`: of each part that was received, how old its last frame was then."""

    requests: int = 0
    refused: int = 0
    ages_s: list[float] = attrs.field(factory=list)


async def watch_all(edge: str, stream_key: str, viewers: int, seconds: float) -> Counts:
    counts = Counts()
    async with trio.open_nursery() as nursery:
        for _ in range(viewers):
            nursery.start_soon(_watch, urlsplit(edge), stream_key, counts)
        began = time.monotonic()
        with progress("viewers", seconds) as bar:
            while (passed_s := time.monotonic() - began) < seconds:
                bar.show(passed_s)
                await trio.sleep(STEP_S)
        nursery.cancel_scope.cancel()
    return counts


async def _watch(where: SplitResult, stream_key: str, counts: Counts) -> None:
    async with await trio.open_tcp_stream(where.hostname or "127.0.0.1", where.port or 80) as stream:
        buffer = bytearray()

        async def get(path: str) -> bytes | None:
            counts.requests += 1
            await stream.send_all(f"GET /hls/{path} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
            status, body = await _answer(stream, buffer)
            counts.refused += status != 200
            return body if status == 200 else None

        query, last = "", ""
        while True:
            text = await get(f"{stream_key}.m3u8{query}")
            if text is None:
                query = ""
                await trio.sleep(STEP_S)
                continue
            at = newest(text.decode())
            query = f"?_HLS_msn={at.segment}&_HLS_part={at.part}"
            if at.uri == last:
                continue
            last = at.uri
            if await get(at.uri) is not None:
                counts.ages_s.append(time.time() - at.ends_at)


async def _answer(stream: trio.SocketStream, buffer: bytearray) -> tuple[int, bytes]:
    while b"\r\n\r\n" not in buffer:
        buffer += await _some(stream)
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    size = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    parts = bytearray(rest)
    while len(parts) < size:
        parts += await _some(stream)
    buffer[:] = parts[size:]
    return int(head.split()[1]), bytes(parts[:size])


async def _some(stream: trio.SocketStream) -> bytes:
    data = await stream.receive_some(1 << 17)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data
