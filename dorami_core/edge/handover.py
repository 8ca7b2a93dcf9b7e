"""Connections that pass from one process to another: a datagram that carries the accepted socket and what was read.

Each process has a datagram socket in one folder, under its name; whoever can write into the folder can hand over, so
its mode is 0700. Source: unix(7), SCM_RIGHTS.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import socket
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import msgpack
import structlog
import trio

from dorami_core.base.errors import DoramiError

log = structlog.get_logger()

MAX_NAME = 8
GIVE_LIMIT_S = 5.0
"""A neighbour that takes nothing for so long is taken for stuck."""
MAX_BYTES = 96 * 1024
"""Of one datagram; a head of 16 KiB and one read of 16 KiB are the most that can be there."""
_MAX_PATH = 107
_STALE_S = 60.0
_NAME = re.compile(r"[a-z0-9]{1,8}")
_NOBODY = (errno.ENOENT, errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE)
_DESCRIPTOR_BYTES = array("i", [0]).itemsize


def new_name(prefix: str = "") -> str:
    """A name that no other process of a folder has."""
    return prefix + secrets.token_hex(4)[: MAX_NAME - len(prefix)]


@attrs.frozen
class Arrival:
    """A connection that a neighbour accepted, and what the client had sent when it was handed over."""

    sock: socket.socket
    peer: str
    first: bytes


@attrs.frozen
class HandoverStatistics:
    """`given`, `taken`: connections; `lost` ones came when there was no descriptor left; `refused` ones met a neighbour
    that took nothing."""

    given: int
    taken: int
    lost: int
    refused: int


class _Neighbour:
    """The way to one process. One sender at a time: a task that waits for room holds up the next for this neighbour
    alone."""

    __slots__ = ("sock", "turn")

    def __init__(self, path: Path) -> None:
        self.turn = trio.Lock()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self.sock.setblocking(False)
            self.sock.connect(str(path))
        except BaseException:
            self.sock.close()
            raise


class Handover:
    """Made by `open_handover`. `name` is this process's own."""

    def __init__(self, folder: Path, name: str, inbox: socket.socket) -> None:
        self.name = name
        self._folder = folder
        self._inbox = inbox
        self._neighbours: dict[str, _Neighbour] = {}
        self._given = self._taken = self._lost = self._refused = 0

    def statistics(self) -> HandoverStatistics:
        return HandoverStatistics(self._given, self._taken, self._lost, self._refused)

    def others(self) -> list[str]:
        """Names in the folder but our own; one that was killed may still be among them."""
        return sorted(name for name in os.listdir(self._folder) if _NAME.fullmatch(name) and name != self.name)

    async def give(self, name: str, sock: socket.socket, peer: str, first: bytes) -> bool:
        """Hands over a connection with what was read of it. True: it is closed here and lives on there. False: no
        process of this name lives. Raises UNAVAILABLE where it takes nothing for `GIVE_LIMIT_S`. In both cases, and
        when cancelled, the socket is still ours.
        """
        if name == self.name or not _NAME.fullmatch(name):
            return False
        message = msgpack.packb((peer, first))
        try:
            neighbour = self._neighbours.get(name)
            if neighbour is None:
                neighbour = self._neighbours[name] = _Neighbour(self._folder / name)
            with trio.fail_after(GIVE_LIMIT_S):
                await _send(neighbour, message, sock.fileno())
        except (trio.TooSlowError, OSError) as error:
            if isinstance(error, OSError) and error.errno in _NOBODY:
                self.forget(name)
                return False
            self._refused += 1
            log.warning("edge.handover_refused", to=name, error=repr(error))
            raise DoramiError("UNAVAILABLE", retry_after_ms=1000) from error
        sock.close()
        self._given += 1
        return True

    async def take(self) -> Arrival:
        """The next connection that somebody hands to us; its socket does not block. One task at a time."""
        while True:
            await trio.lowlevel.wait_readable(self._inbox)
            try:
                data, control, _, _ = self._inbox.recvmsg(
                    MAX_BYTES, socket.CMSG_SPACE(_DESCRIPTOR_BYTES), socket.MSG_CMSG_CLOEXEC
                )
            except (BlockingIOError, InterruptedError):
                continue
            descriptors = array("i")
            for level, kind, payload in control:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    descriptors.frombytes(payload[: len(payload) - len(payload) % _DESCRIPTOR_BYTES])
            if not descriptors:
                self._lost += 1  # the kernel has closed what found no free descriptor here
                continue
            sock = socket.socket(fileno=descriptors[0])
            sock.setblocking(False)
            peer, first = msgpack.unpackb(data)
            self._taken += 1
            return Arrival(sock, peer, first)

    def forget(self, name: str) -> None:
        """The process of this name is gone."""
        neighbour = self._neighbours.pop(name, None)
        if neighbour is not None:
            neighbour.sock.close()

    def bury(self, name: str) -> None:
        """Removes what a child that was killed has left in the folder."""
        self.forget(name)
        (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        for name in list(self._neighbours):
            self.forget(name)
        self._inbox.close()


async def _send(neighbour: _Neighbour, message: bytes, descriptor: int) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))]
    async with neighbour.turn:
        while True:
            try:
                neighbour.sock.sendmsg([message], rights)
                return
            except BlockingIOError:
                await trio.lowlevel.wait_writable(neighbour.sock)


@contextmanager
def open_handover(folder: Path, name: str) -> Iterator[Handover]:
    """This process's place in `folder`, which is made with mode 0700. OSError where it cannot be had."""
    path = folder / name
    if len(os.fsencode(path)) > _MAX_PATH:
        room = _MAX_PATH - MAX_NAME - 1
        raise OSError(f"the path {folder} is too long for a unix socket: {len(os.fsencode(folder))} bytes of {room}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    _remove_dead(folder)
    path.unlink(missing_ok=True)
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    handover = Handover(folder, name, inbox)
    try:
        inbox.setblocking(False)
        inbox.bind(str(path))
        yield handover
    finally:
        handover.close()
        path.unlink(missing_ok=True)


def _remove_dead(folder: Path) -> None:
    """Sockets at which nobody listens. A young one is left alone: it may be about to be listened at."""
    for path in folder.iterdir():
        try:
            if not path.is_socket() or time.time() - path.stat().st_mtime < _STALE_S:
                continue
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
                probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:
            continue
