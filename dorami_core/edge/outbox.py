"""The outgoing side of one raw socket: straight to the kernel while it takes, then a queue bounded in bytes."""

from __future__ import annotations

import socket
import struct
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar

import attrs
import trio

from dorami_core.base.sending import Send, Taken
from dorami_core.edge.counters import EdgeCounters
from dorami_core.edge.wheel import Ticket
from dorami_core.edge.wire import Chunk
from dorami_core.hooks.sockets import Delivery
from dorami_core.runtime import Inflow

_JOIN_BYTES = 16384
ASKED_MAX_BYTES = 1_000_000
_RESET = struct.pack("ii", 1, 0)


_Waiting = tuple[Chunk, float]
"""A chunk, and since when it waits (Trio's clock)."""


@attrs.frozen
class OutboxLimits:
    """`watch` enters an outbox with something in it into the timer wheel."""

    max_bytes: int
    stall_s: float = 20.0
    watch: Callable[[Outbox, float], Ticket] | None = None


def _take_nothing(_: bytes) -> int:
    raise BlockingIOError


class Outbox:
    """Owns the sending half of a non-blocking socket and its close; without a socket (long polling) everything waits
    here until `take` or `attach`.

    Nothing here blocks or raises: `send` hands bytes to the kernel, and what that refuses waits here, drained by a task
    that lives only as long as something waits. Over `limits.max_bytes` the policy of each chunk decides: LATEST has
    replaced its elder already, the oldest DROPPABLE go first, and if that is not enough the connection is cut as
    `queue_full`; as `slow` where a byte has waited for `limits.stall_s`. What the peer has asked for may wait beyond
    the bound, up to ASKED_MAX_BYTES. `on_change` is called once when the connection was cut, and without a socket
    whenever something was put in.
    """

    changes: ClassVar[int] = 0
    """How often any outbox of this process has changed its `offer`; while this stands still a list of them is good."""

    __slots__ = (
        "_asked",
        "_closing",
        "_counters",
        "_droppable",
        "_limits",
        "_nursery",
        "_on_change",
        "_queue",
        "_queued",
        "_rest",
        "_serial",
        "_since",
        "_sock",
        "_ticket",
        "inflow",
        "lost",
        "offer",
    )

    def __init__(
        self,
        sock: socket.socket | None,
        nursery: trio.Nursery,
        limits: OutboxLimits,
        counters: EdgeCounters,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self._sock = sock
        self._nursery = nursery
        self._limits = limits
        self._asked = 0
        self._ticket: Ticket | None = None
        self._counters = counters
        self._on_change = on_change
        # without a socket there always is a queue
        self._queue: OrderedDict[Hashable, _Waiting] | None = OrderedDict() if sock is None else None
        self._droppable: deque[int] | None = deque() if sock is None else None
        self._rest = b""
        self._since = 0.0
        self._queued = 0
        self._serial = 0
        self._closing = False
        self.offer: Send = _take_nothing if sock is None else sock.send
        """The socket's own `send` while nothing waits, else one that takes nothing. Whoever calls it tells `keep` of
        what was not taken."""
        self.lost: str | None = None
        """Why the connection was cut, or None."""
        self.inflow: Inflow | None = None
        """The other half of the socket, which ends with this one."""

    @property
    def queued_bytes(self) -> int:
        return self._queued

    def send(self, joined: bytes, chunks: Sequence[Chunk], *, is_asked: bool = False) -> None:
        """Sends `joined`, which is all `chunks` in a row (the caller joins once for a whole room). `is_asked`: the peer
        has asked for it."""
        try:
            sent = self.offer(joined)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.cut("peer_reset")
            return
        if sent != len(joined):
            self._keep(chunks, sent)
            if is_asked:
                self._asked = min(self._asked + len(joined), ASKED_MAX_BYTES)
            self._enforce()

    def keep(self, chunks: Sequence[Chunk], taken: Taken) -> None:
        """What `offer` took of these chunks in a row, by `send_to_all`; the rest waits."""
        if isinstance(taken, OSError):
            self.cut("peer_reset")
        else:
            self._keep(chunks, taken)
            self._enforce()

    @property
    def is_waiting(self) -> bool:
        """What is sent now waits, or is dropped."""
        return self.offer is _take_nothing

    def _keep(self, chunks: Sequence[Chunk], sent: int) -> None:
        if not self.is_waiting:
            self._begin_queue(chunks, sent)
        elif self.lost is None and not self._closing:
            now = trio.current_time()
            for chunk in chunks:
                self._put(chunk, now)
            if self._sock is None and self._on_change is not None:
                self._on_change()

    def send_one(self, chunk: Chunk) -> None:
        self.send(chunk.data, (chunk,))

    def take(self, max_bytes: int, encode: Callable[[bytes], bytes]) -> list[bytes]:
        """Without a socket: whole chunks off the queue, encoded, up to `max_bytes` with a byte between any two; the
        first one comes whatever its size."""
        taken: list[bytes] = []
        size = -1
        while self._queue:
            data = encode(next(iter(self._queue.values()))[0].data)
            size += len(data) + 1
            if taken and size > max_bytes:
                break
            self._queued -= len(self._pop().data)
            taken.append(data)
        return taken

    def attach(self, sock: socket.socket) -> None:
        """From now on everything goes to this socket, what waits first."""
        assert self._sock is None
        if self._closing:
            return
        self._sock = sock
        if self._queue:
            self._watch()
            self._nursery.start_soon(self._drain)
        else:
            self._clear()

    def finish(self) -> None:
        """Nothing more will be sent: the socket's sending half is shut down when the queue is empty."""
        if not self._closing:
            self._closing = True
            self._offer(_take_nothing)
            if self._queue is None:
                self._shutdown()

    def cut(self, reason: str) -> None:
        """Drops what is queued and resets the connection; the kernel's buffers are freed at once."""
        if self.lost is not None:
            return
        self.lost = reason
        if self._sock is not None:
            try:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                self._closing = True
        on_change = self._on_change
        self.close()
        if on_change is not None:
            on_change()

    def close(self) -> None:
        """Closes the socket; whoever waits for it gets ClosedResourceError. Idempotent."""
        self._closing = True
        self._on_change = None  # it holds the session, which holds us
        self._clear()
        if self._ticket is not None:
            self._ticket.cancel()
        if self.inflow is not None:
            self.inflow.close()
        if self._sock is not None and self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    def _clear(self) -> None:
        self._queue = self._droppable = None
        self._rest = b""
        self._queued = self._asked = 0
        self._offer(_take_nothing if self._closing or self._sock is None else self._sock.send)

    def _offer(self, send: Send) -> None:
        self.offer = send
        Outbox.changes += 1

    def _begin_queue(self, chunks: Sequence[Chunk], sent: int) -> None:
        """The kernel took `sent` bytes of the chunks in a row: a chunk that was begun must be finished."""
        self._queue, self._droppable = OrderedDict(), deque()
        self._offer(_take_nothing)
        self._since = now = trio.current_time()
        for chunk in chunks:
            if sent >= len(chunk.data):
                sent -= len(chunk.data)
            elif sent:
                self._rest = chunk.data[sent:]
                self._queued += len(self._rest)
                sent = 0
            else:
                self._put(chunk, now)
        self._watch()
        self._nursery.start_soon(self._drain)

    def _watch(self) -> None:
        if self._limits.watch is not None and self._ticket is None:
            self._ticket = self._limits.watch(self, trio.current_time() + self._limits.stall_s)

    def on_time(self, now: float) -> float | None:
        """The timer wheel's turn: how long has the oldest byte waited?"""
        if self._sock is None or self._queue is None:
            self._ticket = None
            return None
        if now - self._since < self._limits.stall_s:
            return self._since + self._limits.stall_s
        self.cut("slow")
        return None

    def _put(self, chunk: Chunk, now: float) -> None:
        assert self._queue is not None
        assert self._droppable is not None
        key: Hashable
        if chunk.delivery is Delivery.LATEST and chunk.key is not None:
            key = chunk.key
            elder = self._queue.pop(key, None)
            if elder is not None:
                self._queued -= len(elder[0].data)
                self._counters.dropped += 1
        else:
            self._serial = key = self._serial + 1
            if chunk.delivery is Delivery.DROPPABLE:
                self._droppable.append(key)
        self._queue[key] = (chunk, now)
        self._queued += len(chunk.data)

    def _enforce(self) -> None:
        bound = self._limits.max_bytes + self._asked
        if self._queued <= bound:
            return
        while self._droppable and self._queue and self._queued > bound:
            self._queued -= len(self._queue.pop(self._droppable.popleft())[0].data)
            self._counters.dropped += 1
        if self._queued > bound:
            self.cut("queue_full")

    def _pop(self) -> Chunk:
        assert self._queue is not None
        _, (chunk, _) = self._queue.popitem(last=False)
        if chunk.delivery is Delivery.DROPPABLE and self._droppable:
            self._droppable.popleft()
        return chunk

    async def _drain(self) -> None:
        assert self._sock is not None
        try:
            while self._queue is not None:
                await trio.lowlevel.wait_writable(self._sock)
                self._pump()
        except trio.ClosedResourceError:
            return
        except OSError:
            self.cut("peer_reset")

    def _pump(self) -> None:
        """One `send` of up to 16 KiB of what waits; the rest of it is a copy of this socket's own."""
        assert self._sock is not None
        next_at = next(iter(self._queue.values()))[1] if self._queue else self._since
        parts, size = [self._rest], len(self._rest)
        while self._queue and size < _JOIN_BYTES:
            chunk = self._pop()
            parts.append(chunk.data)
            size += len(chunk.data)
        data = b"".join(parts)
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        # what is dropped meanwhile makes the peer no faster, so only what was taken makes the rest younger
        if sent >= len(self._rest) and sent:
            self._since = next_at
        self._rest = data[sent:]
        self._queued -= sent
        if not self._rest and not self._queue:
            self._clear()
            if self._closing:
                self._shutdown()

    def _shutdown(self) -> None:
        assert self._sock is not None
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.cut("peer_reset")
