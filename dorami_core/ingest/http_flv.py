"""HTTP-FLV from another server, as bytes that come without end (RFC 9112 by h11, on a Trio stream)."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import h11
import trio

RECEIVE_BYTES = 65_536


class PullFailed(Exception):
    """There is no such video, no such server, or it speaks no HTTP."""


class Pull:
    """Made by `open_pull`, once the server has answered with 200."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT)

    async def ask(self, host: str, target: str) -> None:
        headers = [("Host", host), ("User-Agent", "Dorami"), ("Accept", "video/x-flv"), ("Connection", "close")]
        await self._stream.send_all(self._http.send(h11.Request(method="GET", target=target, headers=headers)) or b"")
        await self._stream.send_all(self._http.send(h11.EndOfMessage()) or b"")
        while not isinstance(event := await self._next(), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise PullFailed("no answer")
        if event.status_code != 200:
            raise PullFailed(f"status {event.status_code}")

    async def receive(self) -> bytes:
        """The next piece; b"" at the end. PullFailed where the connection breaks."""
        event = await self._next()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(bytes(await self._stream.receive_some(RECEIVE_BYTES)))
        except (h11.RemoteProtocolError, trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            raise PullFailed(repr(error)) from error
        assert not isinstance(event, type) or event is h11.PAUSED
        return event


@asynccontextmanager
async def open_pull(url: str, *, within_s: float) -> AsyncIterator[Pull]:
    """PullFailed where it is not to be had, or is not answered within `within_s`."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    stream: trio.abc.Stream | None = None
    try:
        try:
            with trio.fail_after(within_s):
                stream = await trio.open_tcp_stream(host, parts.port or (443 if secure else 80))
                if secure:
                    stream = trio.SSLStream(stream, ssl.create_default_context(), server_hostname=host)
                pull = Pull(stream)
                await pull.ask(parts.netloc, parts.path + (f"?{parts.query}" if parts.query else ""))
        except (trio.TooSlowError, trio.BrokenResourceError, OSError) as error:
            raise PullFailed(repr(error)) from error
        yield pull
    finally:
        if stream is not None:
            await trio.aclose_forcefully(stream)
