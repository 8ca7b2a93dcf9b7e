"""Video of a bench: the clip that the demo plays, published in real time, and viewers that read FLV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import trio

from dorami_core.ingest.client import RtmpPublisher, open_publisher
from dorami_core.media.demo import open_demo_packets
from dorami_core.media.flv import FlvReader
from dorami_core.media.packets import MediaPacket


async def publish(
    rtmp: str,
    keys: Sequence[str],
    folder: Path,
    on_send: Callable[[MediaPacket], None],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Publishes the demo's picture in real time under each key until cancelled; `started` with the first packet.

    `keys` are what goes into OBS. The picture's clip is made in `folder` where it is not there.
    """
    where = urlsplit(rtmp)
    async with trio.open_nursery() as nursery, open_demo_packets(folder) as packets:
        publishers: list[RtmpPublisher] = []
        try:
            async for packet in packets:
                if not publishers:  # not before: making the clip may take longer than a silent publisher is borne
                    publishers = [await _open(nursery, where, key) for key in keys]
                on_send(packet)
                for publisher in publishers:
                    await publisher.send(packet)
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
        finally:
            with trio.CancelScope(shield=True):
                for publisher in publishers:
                    await publisher.abort()


async def _open(nursery: trio.Nursery, where: SplitResult, key: str) -> RtmpPublisher:
    name, _, secret = key.partition("?secret=")
    return await open_publisher(nursery, where.hostname or "127.0.0.1", where.port or 1935, name, unquote(secret))


async def watch(
    edge: str,
    stream_key: str,
    on_packet: Callable[[MediaPacket], None],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Reads FLV until cancelled or the end; `started` once the response has begun."""
    where = urlsplit(edge)
    stream = await trio.open_tcp_stream(where.hostname or "127.0.0.1", where.port or 80)
    async with stream:
        await stream.send_all(f"GET /live/live/{stream_key}.flv HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            data = await stream.receive_some(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            head += data
        head, _, body = head.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise ConnectionError(head.split(b"\r\n")[0].decode())
        task_status.started()
        reader = FlvReader()
        while True:
            for packet in reader.feed(body):
                on_packet(packet)
            body = await stream.receive_some(1 << 18)
            if not body:
                return
