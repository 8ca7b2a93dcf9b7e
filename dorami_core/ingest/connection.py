"""One RTMP connection on Trio: moves bytes between a stream, the session and a publication."""

from __future__ import annotations

import socket
import sys
from typing import TypeVar

import structlog
import trio

from dorami_core.base.settings import RtmpSettings
from dorami_core.ingest.gate import Publication, PublishGate, PublishRefused, PublishRequest
from dorami_core.ingest.limits import Counters, RtmpLimits
from dorami_core.ingest.session import (
    CodecRefused,
    Event,
    MediaReceived,
    PublishFinished,
    PublishRequested,
    ServerSession,
    SessionEnded,
)

E = TypeVar("E", bound=Exception)

log = structlog.get_logger(__name__)

_STALLED = "sent nothing for {} s"
_LOOK_S = 2.0
_TCPI_RTT = 68
"""Offset of `tcpi_rtt`, microseconds, in Linux's `struct tcp_info`."""


class _Closed(Exception):
    """The connection is at its end: the peer is gone or is to go. `reason` is for the log, "" where it has its line.

    Never kept in a variable and never raised out of a nursery: the frames of its traceback would point back at it, and
    all that the peer has sent would stay until the garbage collector comes.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class RtmpConnection:
    """Serves one peer until it, or the core, has had enough. The stream is closed when `run` returns.

    Cancellation ends the publication as lost. What goes wrong with the peer is logged and counted, not raised; errors
    of the gate and of a publication are raised.
    """

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        address: str,
        client_id: str,
        gate: PublishGate,
        settings: RtmpSettings,
        limits: RtmpLimits,
        counters: Counters,
    ) -> None:
        self._stream = stream
        self._address = address
        self._client_id = client_id
        self._gate = gate
        self._idle_s = settings.idle_timeout_s
        self._limits = limits
        self._counters = counters
        self._session = ServerSession(max_message_bytes=settings.max_message_bytes)
        self._events: list[Event] = []
        self._sending = False  # stays True where a send was cancelled: nothing more can be sent then
        self._log = log.bind(client=client_id, address=address)

    async def run(self) -> None:
        async with self._stream:
            try:
                while True:
                    await self._publish(await self._publish_wish())
            except _Closed as closed:
                if closed.reason:
                    self._log.info("rtmp connection closed", reason=closed.reason)
            await self._linger()

    async def _publish_wish(self) -> PublishRequested:
        """Reads until the peer asks to publish; _Closed where it does not in time, or leaves."""
        limit_s = self._limits.publish_s if self._session.handshaken else self._limits.handshake_s
        with trio.move_on_after(limit_s) as scope:
            while True:
                for event in self._take_events():
                    if isinstance(event, PublishRequested):
                        return event
                    self._note_end(event)
                was_handshaken = self._session.handshaken
                await self._receive(self._limits.receive_bytes_before_publish)
                if self._session.handshaken and not was_handshaken:
                    scope.deadline = trio.current_time() + self._limits.publish_s
        self._counters.stalled += 1
        raise _Closed("did not ask to publish in time" if self._session.handshaken else "no handshake in time")

    async def _publish(self, wish: PublishRequested) -> None:
        """From the wish to the end of the publication; returns after a goodbye, else _Closed."""
        request = PublishRequest(wish.stream_key, wish.secret, self._address, self._client_id, wish.encoder)
        publisher = self._log.bind(stream=wish.stream_key, encoder=wish.encoder)
        refusal = "timeout"
        closed: str | None = None
        let_in = False
        # One scope around all: a scope around the entering alone could not be left while the gate's own are open.
        with trio.CancelScope(deadline=trio.current_time() + self._limits.authorise_s) as scope:
            try:
                async with self._gate.publish(request) as publication:
                    scope.deadline = float("inf")
                    let_in = True
                    closed = await self._relay(publication, publisher)
            except* PublishRefused as group:
                refusal = _first(group).code
        if not let_in:
            self._counters.refused += 1
            publisher.warning("publisher refused", code=refusal)
            self._session.refuse()
            raise _Closed
        if closed is not None or scope.cancelled_caught:
            raise _Closed("let in too late" if closed is None else closed)

    async def _relay(self, publication: Publication, publisher: structlog.typing.FilteringBoundLogger) -> str | None:
        """From `NetStream.Publish.Start` on. None after a goodbye, else the reason of its _Closed: as a value, since
        for the gate's context this is no error."""
        self._counters.publishers += 1
        self._counters.accepted += 1
        publisher.info("publishing started")
        closed: str | None = ""
        try:
            async with trio.open_nursery() as nursery:

                async def watch_cut() -> None:
                    nonlocal closed
                    reason = await publication.wait_cut()
                    self._session.dismiss("The broadcast was ended.")
                    closed = f"cut: {reason}"
                    nursery.cancel_scope.cancel()

                nursery.start_soon(watch_cut)
                try:
                    self._events += self._session.accept()
                    await self._flush()
                    await self._pump(publication)
                    closed = None
                    publication.finish()
                except _Closed as error:
                    closed = error.reason
                nursery.cancel_scope.cancel()
        finally:
            finished = closed is None
            self._counters.publishers -= 1
            self._counters.lost += not finished
            publisher.info("publishing ended", goodbye=finished, ignored_messages=self._session.ignored_messages)
        return closed

    async def _pump(self, publication: Publication) -> None:
        """Packets go to the publication until the peer says goodbye."""
        write = publication.write
        looked_s = -_LOOK_S
        with trio.CancelScope() as idle:
            while True:
                events = self._take_events()
                for number, event in enumerate(events, 1):
                    if isinstance(event, MediaReceived):
                        write(event.packet)
                        self._counters.packets_in += 1
                    elif isinstance(event, CodecRefused):
                        publication.note_codec(event.kind, event.codec)
                    elif isinstance(event, PublishFinished):
                        self._events = events[number:]
                        return
                    else:
                        self._note_end(event)
                now_s = trio.current_time()
                if now_s - looked_s >= _LOOK_S:
                    looked_s = now_s
                    self._note_round_trip(publication)
                idle.deadline = now_s + self._idle_s
                await self._receive(self._limits.receive_bytes)
        self._counters.stalled += 1
        raise _Closed(_STALLED.format(self._idle_s))

    def _note_round_trip(self, publication: Publication) -> None:
        """As TCP has measured it. A ping would do more harm: what an encoder has not read when it closes makes the
        kernel drop what it has not sent, its goodbye too."""
        if isinstance(self._stream, trio.SocketStream) and hasattr(socket, "TCP_INFO"):
            told = self._stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCPI_RTT + 4)
            publication.note_round_trip(int.from_bytes(told[_TCPI_RTT:], sys.byteorder) / 1e6)

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _note_end(self, event: Event) -> None:
        if isinstance(event, SessionEnded):
            if event.cause == "protocol":
                self._counters.protocol_errors += 1
            else:
                self._counters.refused += 1
            self._log.warning("rtmp session ended", cause=event.cause, sentence=event.sentence)
            raise _Closed

    async def _receive(self, max_bytes: int) -> None:
        """One read; _Closed at the end of the stream."""
        try:
            data = await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _Closed("connection lost") from error
        if not data:
            raise _Closed("closed by the peer")
        self._counters.bytes_in += len(data)
        self._events += self._session.receive(bytes(data))
        await self._flush()

    async def _flush(self) -> None:
        data = self._session.data_to_send()
        if not data:
            return
        try:
            with trio.move_on_after(self._idle_s) as scope:
                self._sending = True
                await self._stream.send_all(data)
                self._sending = False
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _Closed("connection lost") from error
        if scope.cancelled_caught:
            self._counters.stalled += 1
            raise _Closed("does not read what it is sent")

    async def _linger(self) -> None:
        """Sends the last status and lets the peer read it: closing over unread bytes would reset the connection."""
        if self._sending:
            return
        with trio.move_on_after(self._limits.linger_s):
            try:
                await self._stream.send_all(self._session.data_to_send())
                await self._stream.send_eof()
                while await self._stream.receive_some(self._limits.receive_bytes):
                    pass
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return


def _first(group: BaseExceptionGroup[E]) -> E:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
