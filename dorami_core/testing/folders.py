"""Where tests put what their servers write."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 1024**3
"""What a whole run may write at a time, recordings and all, many times over."""
SHORT_BYTES = 60


def short_folder() -> str | None:
    """A folder for `tempfile`: in memory where that has room, for making a database on a disk takes seconds while
    others write; its path is short, since a unix socket's ends at 107 bytes."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
        return str(MEMORY)
    usual = tempfile.gettempdir()
    return usual if len(usual.encode()) < SHORT_BYTES else "/tmp"
