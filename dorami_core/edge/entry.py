"""What connect handlers do for a client that is not let in yet."""

from __future__ import annotations

from typing import TypeGuard

PAUSE_AFTER_REPLY_S = 0.002


class Entry:
    """Rooms and events that wait for the answer to CONNECT."""

    __slots__ = ("_size", "frames", "rooms")

    def __init__(self) -> None:
        self.rooms: dict[str, None] = {}
        self.frames: list[bytes] = []
        self._size = 0

    def add(self, frame: bytes, max_bytes: int) -> bool:
        """False where more waits than may."""
        self.frames.append(frame)
        self._size += len(frame)
        return self._size <= max_bytes


def is_waiting(entry: Entry | None) -> TypeGuard[Entry]:
    return entry is not None
