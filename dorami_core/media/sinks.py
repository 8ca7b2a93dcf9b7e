"""Where FLV bytes go: the edge hands one of these per viewer."""

from __future__ import annotations

from typing import Protocol

from dorami_core.base.sending import Send, Taken


class ByteSink(Protocol):
    """A socket's outgoing side."""

    @property
    def queued_bytes(self) -> int: ...
    @property
    def ready(self) -> Send | None:
        """Where nothing waits: for `send_to_all`, until it did not take all, which is told to `keep`. None: there is
        `send_nowait`."""
        ...

    def keep(self, data: bytes, taken: Taken) -> None:
        """What `ready` took of these bytes; the rest is queued, or the connection is gone."""
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
