"""The state machine of a broadcast, as one table (contract.md, Live rules)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from dorami_core.hooks.host import StreamStatus

Cause = Literal["media", "lost", "grace_over", "finished", "closed"]
"""`media`: packets arrive; `lost`: gone without a word; `grace_over`: nobody came back in time; `finished`: the
publisher said goodbye; `closed`: the seller ended it for good."""

EndReason = Literal["seller", "publisher_lost", "error"]

TRANSITIONS: Mapping[tuple[StreamStatus, Cause], StreamStatus] = MappingProxyType(
    {
        ("PENDING", "media"): "LIVE",
        ("PENDING", "closed"): "OFFLINE",
        ("LIVE", "lost"): "INTERRUPTED",
        ("LIVE", "finished"): "OFFLINE",
        ("LIVE", "closed"): "OFFLINE",
        ("INTERRUPTED", "media"): "LIVE",
        ("INTERRUPTED", "grace_over"): "OFFLINE",
        ("INTERRUPTED", "finished"): "OFFLINE",
        ("INTERRUPTED", "closed"): "OFFLINE",
        ("OFFLINE", "media"): "LIVE",  # a new session of the same key
    }
)


def after(status: StreamStatus, cause: Cause) -> StreamStatus | None:
    """The status that follows; None where the cause changes nothing."""
    return TRANSITIONS.get((status, cause))


def sources(cause: Cause) -> list[StreamStatus]:
    """The statuses that the cause leads out of."""
    return [status for status, known in TRANSITIONS if known == cause]
