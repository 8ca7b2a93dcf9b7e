"""How one run is doing, and what may be said of it: never a key."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

import attrs

from dorami_core.base.clock import Clock, iso
from dorami_core.restream.model import Cause, RunStatus

MAX_LINES = 200
MAX_LINE_CHARS = 500
HIDDEN = "•••"
_SMOOTHED_OVER = 5
FINAL: frozenset[RunStatus] = frozenset({"IDLE", "STOPPED"})


def hide(text: str, key: str) -> str:
    """The text without the key, however it is written in it."""
    for secret in sorted({key, quote(key), quote(key, safe=""), unquote(key)}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


@attrs.define(eq=False)
class RunState:
    """Changed by the task that owns the run, written to the database by another. `changed` asks for a write at once."""

    id: UUID
    target_id: UUID
    clock: Clock
    key: str = attrs.field(repr=False)
    status: RunStatus = "CONNECTING"
    cause: Cause = ""
    restart_count: int = 0
    sent_bytes: int = 0
    bitrate_bps: int = 0
    delay_ms: int = 0
    on_slate: bool = False
    next_attempt_at: datetime | None = None
    active_since: datetime | None = None
    lines: deque[str] = attrs.field(factory=lambda: deque(maxlen=MAX_LINES))
    changed: bool = True
    _rates: deque[float] = attrs.field(factory=lambda: deque(maxlen=_SMOOTHED_OVER))

    def to(self, status: RunStatus, cause: Cause = "", *, again_in_s: float | None = None, words: str = "") -> None:
        """A new state, and a line of it in the log."""
        now = self.clock.now()
        self.status, self.cause, self.changed = status, cause, True
        self.next_attempt_at = None if again_in_s is None else now + timedelta(seconds=again_in_s)
        if status == "ACTIVE":
            self.active_since = now
        else:
            self.active_since, self.bitrate_bps, self.delay_ms, self.on_slate = None, 0, 0, False
            self._rates.clear()
        for line in words.splitlines():
            self.say(line)
        self.say(" ".join(filter(None, (iso(now), status, cause))))

    def say(self, line: str) -> None:
        if line := hide(line, self.key).strip()[:MAX_LINE_CHARS]:
            self.lines.append(line)

    def measured(self, taken_bytes: int, over_s: float) -> None:
        """The other side took so much more in this time."""
        self.sent_bytes += taken_bytes
        if over_s > 0:
            self._rates.append(taken_bytes * 8 / over_s)
            self.bitrate_bps = round(sum(self._rates) / len(self._rates))

    def columns(self) -> dict[str, Any]:
        """What is written; the lines where they may have changed."""
        values: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                "status",
                "cause",
                "restart_count",
                "sent_bytes",
                "bitrate_bps",
                "delay_ms",
                "on_slate",
                "next_attempt_at",
                "active_since",
            )
        }
        if self.changed:
            values["lines"] = list(self.lines)
        return values
