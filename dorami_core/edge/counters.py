"""What the edge counts; metrics and tests read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs


@attrs.frozen
class EdgeStatistics:
    accepted: int
    open_connections: int
    open_sessions: int
    """Engine.IO sessions among the connections."""
    open_videos: int
    disconnects: Mapping[str, int]
    """Ended sessions and videos by reason: `transport_close`, `queue_full`, `ping_timeout`, ..."""
    requests: Mapping[int, int]
    """HTTP answers by status; 101 for upgrades."""
    events: int
    unknown_events: int
    failed_events: int
    """Handlers that raised what is no DoramiError."""
    dropped: int
    """Messages that a full queue lost by its policy."""
    shed: int
    """Connections closed at once for want of file descriptors."""


class EdgeCounters:
    """Written by the edge's parts, in one thread."""

    def __init__(self) -> None:
        self.accepted = 0
        self.open_connections = 0
        self.open_sessions = 0
        self.open_videos = 0
        self.disconnects: Counter[str] = Counter()
        self.requests: Counter[int] = Counter()
        self.events = 0
        self.unknown_events = 0
        self.failed_events = 0
        self.dropped = 0
        self.shed = 0

    def statistics(self) -> EdgeStatistics:
        return EdgeStatistics(
            accepted=self.accepted,
            open_connections=self.open_connections,
            open_sessions=self.open_sessions,
            open_videos=self.open_videos,
            disconnects=dict(self.disconnects),
            requests=dict(self.requests),
            events=self.events,
            unknown_events=self.unknown_events,
            failed_events=self.failed_events,
            dropped=self.dropped,
            shed=self.shed,
        )
