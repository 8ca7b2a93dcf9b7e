"""Video answers: the endless FLV response, HLS, thumbnails."""

from __future__ import annotations

import re
import socket
from functools import partial

import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.ranges import wanted_range
from dorami_core.base.sending import Send, Taken
from dorami_core.edge.exchange import Answer
from dorami_core.edge.http1 import Headers, Request, encode_head
from dorami_core.edge.outbox import Outbox, OutboxLimits
from dorami_core.edge.services import EdgeServices, VideoOut
from dorami_core.edge.wire import Chunk

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*\.(m3u8|m4s|mp4|jpg)")
_TYPES = {
    "m3u8": "application/vnd.apple.mpegurl",
    "m4s": "video/mp4",
    "mp4": "video/mp4",
    "jpg": "image/jpeg",
}
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

    @property
    def ready(self) -> Send | None:
        return None if self._head or self._head_only or self._outbox.is_waiting else self._outbox.offer

    def keep(self, data: bytes, taken: Taken) -> None:
        self._outbox.keep((Chunk(data),), taken)

    def send_nowait(self, data: bytes) -> int:
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


async def read_hls(request: Request, name: str, sock: socket.socket, video: VideoOut) -> Answer:
    """A playlist, media or a thumbnail, whole or one range of it (RFC 9110, 14); NOT_FOUND for a name that is none, or
    of what is gone."""
    match = _NAME.fullmatch(name)
    if match is None or len(name) > 160:
        raise DoramiError("NOT_FOUND")
    body = await video.read(name, request.query, partial(_wait_gone, sock))
    headers = [("Content-Type", _TYPES[match[1]]), ("Cache-Control", _cache(match[1], request))]
    if match[1] == "m3u8":
        return Answer(200, headers, body)
    headers.append(("Accept-Ranges", "bytes"))
    part = wanted_range(request.headers.get("range", ""), len(body))
    if part is None or "if-range" in request.headers:  # nothing here has a tag that could match
        return Answer(200, headers, body)
    begin, end = part
    if begin >= end:
        return Answer(416, [*headers, ("Content-Range", f"bytes */{len(body)}")])
    return Answer(206, [*headers, ("Content-Range", f"bytes {begin}-{end - 1}/{len(body)}")], body[begin:end])


def _cache(ending: str, request: Request) -> str:
    """A playlist that was waited for is the same for all who ask for it, for a while (RFC 8216bis, appendix B.1)."""
    if ending == "m3u8":
        return "public, max-age=6" if "_HLS_msn" in request.query else "no-cache"
    return "public, max-age=10" if ending == "jpg" else "public, max-age=60, immutable"


async def _wait_gone(sock: socket.socket) -> None:
    """Returns when the peer has closed. What it says meanwhile stays unread; then its end is not seen."""
    while True:
        await trio.lowlevel.wait_readable(sock)
        try:
            if not sock.recv(1, socket.MSG_PEEK):
                return
        except BlockingIOError:
            continue
        except OSError:
            return
        await trio.sleep_forever()
