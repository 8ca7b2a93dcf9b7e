"""Memory of sockets, as the kernel tells it (Linux)."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

_SO_MEMINFO = 55
_FIELDS = 9
_RECEIVED, _FORWARD = 0, 4
"""linux/sock_diag.h: SK_MEMINFO_RMEM_ALLOC, SK_MEMINFO_FWD_ALLOC."""


def tcp_bytes() -> int:
    """What all TCP sockets of this network namespace hold, both ends and those of strangers."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        name, *fields = line.split()
        if name == "TCP:":
            return int(fields[fields.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def receiving_bytes(sock: socket.socket) -> int:
    """What the kernel holds for this socket's unread input."""
    told = struct.unpack(f"{_FIELDS}I", sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * _FIELDS))
    return int(told[_RECEIVED] + told[_FORWARD])
