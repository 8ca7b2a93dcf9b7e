"""What the edge may ask of video: FLV for a socket, HLS and thumbnails by their names."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from dorami_core.base.errors import DoramiError
from dorami_core.media.hls import HlsWriter
from dorami_core.media.hub import RelayHub
from dorami_core.media.live_hls import Gone
from dorami_core.media.sinks import ByteSink
from dorami_core.media.thumbnails import Thumbnails

RETRY_AFTER_MS = 5000


class VideoOut:
    """Implements the edge's `VideoOut`."""

    def __init__(self, hub: RelayHub, hls: HlsWriter, thumbnails: Thumbnails) -> None:
        self._hub = hub
        self._hls = hls
        self._thumbnails = thumbnails

    async def serve_flv(self, stream_key: str, sink: ByteSink) -> None:
        await self._hub.serve_flv(stream_key, sink)

    async def read(self, name: str, query: Mapping[str, str], gone: Gone) -> bytes:
        picture = self._thumbnails.file_of(name)
        if picture is None:
            return await self._hls.read(name, query, gone)
        try:
            return await trio.Path(picture).read_bytes()
        except OSError:
            raise DoramiError("NOT_FOUND") from None


class NoVideo:
    """Implements the edge's `VideoOut` where the relays are in another process that cannot be reached from here."""

    async def serve_flv(self, stream_key: str, sink: ByteSink) -> None:
        raise self._refusal(stream_key)

    async def read(self, name: str, query: Mapping[str, str], gone: Gone) -> bytes:
        raise self._refusal(name)

    def _refusal(self, what: str) -> DoramiError:
        """The stream may well be there, so this is no STREAM_NOT_FOUND."""
        return DoramiError("UNAVAILABLE", retry_after_ms=RETRY_AFTER_MS, service="video", name=what)
