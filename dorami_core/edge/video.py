"""Video answers: the endless FLV response, HLS files, thumbnails."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import trio

from dorami_core.base.errors import DoramiError
from dorami_core.edge.http1 import Headers, encode_head
from dorami_core.edge.outbox import Outbox, OutboxLimits
from dorami_core.edge.services import EdgeServices, VideoOut
from dorami_core.edge.wire import Chunk

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*\.(m3u8|ts|m4s|mp4|jpg)")
_TYPES = {
    "m3u8": "application/vnd.apple.mpegurl",
    "ts": "video/mp2t",
    "m4s": "video/mp4",
    "mp4": "video/mp4",
    "jpg": "image/jpeg",
}
_CACHE = {"m3u8": "no-cache", "jpg": "public, max-age=10"}
_LAST_BYTES_S = 5.0


class FlvSink:
    """The edge's `ByteSink`: an FLV response whose head goes out with the first data."""

    def __init__(self, sock: socket.socket, head: bytes, services: EdgeServices, *, head_only: bool = False) -> None:
        self._sock = sock
        self._head = head
        self._head_only = head_only
        self._closed = trio.Event()
        self._outbox = Outbox(
            sock, services.workers, OutboxLimits(services.flv_queue_max_bytes), services.counters, self._closed.set
        )

    @property
    def queued_bytes(self) -> int:
        return self._outbox.queued_bytes

    @property
    def has_begun(self) -> bool:
        return not self._head

    @property
    def lost(self) -> str | None:
        """Why it was cut, or None."""
        return self._outbox.lost

    def send_nowait(self, data: bytes) -> int:
        outbox = self._outbox
        ready = outbox.ready
        if ready is None or self._head or self._head_only:
            return self._send_otherwise(data)
        # As Outbox.send, without a call: a relay spends nearly all its time here.
        try:
            sent = ready(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            outbox.cut("peer_reset")
            return 0
        if sent != len(data):
            outbox.keep((Chunk(data),), sent)
            return outbox.queued_bytes
        return 0

    def _send_otherwise(self, data: bytes) -> int:
        if self._head:
            data, self._head = self._head + (b"" if self._head_only else data), b""
        elif self._head_only:
            return 0
        self._outbox.send_one(Chunk(data))
        if self._head_only:
            self._closed.set()
        return self._outbox.queued_bytes

    def abort(self, reason: str) -> None:
        self._outbox.cut(reason)

    async def wait_closed(self) -> None:
        await self._closed.wait()

    async def watch(self) -> None:
        """Reads until the peer is gone; what it says is nothing to us."""
        try:
            while self._outbox.lost is None:
                await trio.lowlevel.wait_readable(self._sock)
                try:
                    if not self._sock.recv(4096):
                        return
                except BlockingIOError:
                    continue
        except (OSError, trio.ClosedResourceError):
            return
        finally:
            self._closed.set()

    def finish(self) -> None:
        """No more data; the peer sees the end after what is queued."""
        self._outbox.finish()

    def close(self) -> None:
        self._outbox.close()


async def serve_flv(
    stream_key: str, sock: socket.socket, cors: Headers, services: EdgeServices, *, head_only: bool = False
) -> None:
    """Streams until the broadcast or the viewer ends. STREAM_NOT_FOUND is raised with the socket still usable; in all
    other cases it is closed."""
    headers = [
        ("Content-Type", "video/x-flv"),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
        *cors,
    ]
    sink = FlvSink(sock, encode_head(200, headers), services, head_only=head_only)
    counters = services.counters
    counters.open_videos += 1
    reason = "transport_close"
    refused: DoramiError | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_closed, sink, nursery.cancel_scope)
            nursery.start_soon(sink.watch)
            try:
                await services.video.serve_flv(stream_key, sink)
            except DoramiError as error:
                reason = "video_error"
                if not sink.has_begun:
                    refused = error
            else:
                reason = "video_end"
                sink.finish()
                with trio.move_on_after(_LAST_BYTES_S):
                    await sink.wait_closed()
            nursery.cancel_scope.cancel()
        if sink.lost is not None:
            reason = sink.lost
    finally:
        counters.open_videos -= 1
        if refused is None:
            counters.disconnects[reason] += 1
            sink.close()
    if refused is not None:
        raise refused


async def _cancel_when_closed(sink: FlvSink, scope: trio.CancelScope) -> None:
    await sink.wait_closed()
    scope.cancel()


async def read_hls(name: str, video: VideoOut) -> tuple[Headers, bytes]:
    """A playlist, segment or thumbnail with its headers; NOT_FOUND for a name that is none, or a file that is gone."""
    match = _NAME.fullmatch(name)
    path = video.hls_file(name) if match is not None and len(name) <= 160 else None
    if match is None or path is None:
        raise DoramiError("NOT_FOUND")
    body = await trio.to_thread.run_sync(_read, path)
    cache = _CACHE.get(match[1], "public, max-age=60, immutable")
    return [("Content-Type", _TYPES[match[1]]), ("Cache-Control", cache)], body


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise DoramiError("NOT_FOUND") from None
