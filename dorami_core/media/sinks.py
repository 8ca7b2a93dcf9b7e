"""Where FLV bytes go: the edge hands one of these per viewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class ByteSink(Protocol):
    """A socket's outgoing side."""

    @property
    def queued_bytes(self) -> int: ...
    @property
    def ready(self) -> Callable[[bytes], int] | None:
        """Where nothing waits: gives bytes to the kernel as `socket.send` does, and may be called until it did not take
        all of them. That is told to `keep`, an OSError but BlockingIOError to `abort`. None: there is `send_nowait`."""
        ...

    def keep(self, data: bytes, sent: int) -> None:
        """`ready` took so many bytes of these; the rest is queued."""
        ...

    def send_nowait(self, data: bytes) -> int:
        """Never blocks: what the kernel does not take is queued. Returns how many bytes are queued now."""
        ...

    def abort(self, reason: str) -> None:
        """Cuts the connection; what is queued is dropped."""
        ...

    async def wait_closed(self) -> None:
        """Returns when the peer is gone."""
        ...
