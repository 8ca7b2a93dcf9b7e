"""Sessions that are found by their id: those on long polling, one table per process."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dorami_core.edge.session import Session

MAX_SESSIONS = 20_000
_KEPT = 1000


class SessionTable:
    """At most `limit`. When it is full the oldest session that joined no namespace gives way, so that handshakes that
    lead nowhere do not lock others out. `process` is the name that ids begin with, so that a neighbour knows whose
    they are."""

    def __init__(self, limit: int = MAX_SESSIONS, *, process: str = "") -> None:
        self._limit = limit
        self._prefix = f"{process}." if process else ""
        self._sessions: dict[str, Session] = {}
        self._fresh: dict[str, Session] = {}
        self._moved: dict[str, None] = {}
        self._left: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def new_sid(self) -> str:
        """`<process>.<random>`, or without a process the random part alone."""
        return self._prefix + secrets.token_urlsafe(15)

    def add(self, sid: str, session: Session) -> bool:
        """False where all places are taken by sessions in use."""
        if len(self._sessions) >= self._limit and not self._give_way():
            return False
        self._sessions[sid] = self._fresh[sid] = session
        return True

    def find(self, sid: str) -> Session | None:
        return self._sessions.get(sid)

    def remove(self, sid: str) -> None:
        """The session ended."""
        self._sessions.pop(sid, None)
        self._fresh.pop(sid, None)

    def move(self, sid: str) -> None:
        """The session has a WebSocket now; the last 1,000 of these ids are remembered."""
        self.remove(sid)
        _remember(self._moved, sid)

    def has_moved(self, sid: str) -> bool:
        return sid in self._moved

    def leave(self, sid: str) -> None:
        """The client said goodbye while it had no poll open: one that is on its way shall not find an error."""
        _remember(self._left, sid)

    def take_left(self, sid: str) -> bool:
        """Whether this is that poll; the next one is not."""
        if sid not in self._left:
            return False
        del self._left[sid]
        return True

    def end_all(self, reason: str) -> None:
        for session in list(self._sessions.values()):
            session.end(reason)

    def _give_way(self) -> bool:
        while self._fresh:
            sid = next(iter(self._fresh))
            session = self._fresh.pop(sid)
            if not session.has_joined:
                session.end("crowded_out")
                return True
        return False


def _remember(sids: dict[str, None], sid: str) -> None:
    sids[sid] = None
    if len(sids) > _KEPT:
        del sids[next(iter(sids))]
