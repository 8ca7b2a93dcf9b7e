"""Where FLV bytes go: the edge hands one of these per viewer."""

from __future__ import annotations

from typing import Protocol


class ByteSink(Protocol):
    """A socket's outgoing side."""

    @property
    def queued_bytes(self) -> int: ...
    def send_nowait(self, data: bytes) -> int:
        """Never blocks: what the kernel does not take is queued. Returns how many bytes are queued now."""
        ...

    def abort(self, reason: str) -> None:
        """Cuts the connection; what is queued is dropped."""
        ...

    async def wait_closed(self) -> None:
        """Returns when the peer is gone."""
        ...
