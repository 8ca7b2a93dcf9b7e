"""The official socket.io-client in a Node process, as the clients of `bench reconnect`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from typing import Any

from bench.client import SOCKET_IO, Address, Client
from bench.loop import READ, Loop
from bench.peers.socketio import FOLDER, install
from bench.target import CannotRun

_LIMIT_S = 60.0
_READ_BYTES = 1 << 20


class NodeClients:
    """Speaks with `clients.mjs` in JSON lines. After `finish` the lists and counts are there."""

    def __init__(self, loop: Loop, options: argparse.Namespace, edge: str, stream: str) -> None:
        self.lists: list[list[int]] = []
        self.back: list[tuple[float, float]] = []
        """When a client came back, and how many seconds from connect() to its event `connect`."""
        self.recovered = self.not_recovered = 0
        self.is_done = False
        """All are back and have all messages."""
        self._loop = loop
        self._is_joined = False
        self._buffer = b""
        program = install()
        plan = {
            "edge": edge,
            "stream": stream,
            "guestTokens": _guest_tokens(loop, edge, options.clients),
            "messages": options.messages,
            "gapS": options.gap,
            "seed": options.seed,
        }
        self._process = subprocess.Popen(
            [program, "clients.mjs"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        loop.watch(self._out, self._on_output, READ)
        self._is_watched = True
        self._tell(plan)

    def wait_joined(self) -> None:
        if not self._loop.run(lambda: self._is_joined or not self._is_watched, _LIMIT_S) or not self._is_joined:
            raise CannotRun("the clients in Node could not join")

    def lose(self, span: tuple[float, float]) -> None:
        """Each loses its connection once, so many seconds from now."""
        self._tell({"lose": span})

    def finish(self) -> None:
        self._tell({"finish": True})
        self._loop.run(lambda: not self._is_watched, _LIMIT_S)

    def close(self) -> None:
        self._unwatch()
        self._process.kill()
        self._process.communicate()

    def _tell(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()

    def _unwatch(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.unwatch(self._out)

    def _on_output(self, mask: int) -> None:
        data = os.read(self._out, _READ_BYTES)
        if not data:
            self._unwatch()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._on_line(json.loads(line))

    def _on_line(self, said: dict[str, Any]) -> None:
        self._is_joined |= "joined" in said
        self.is_done |= "done" in said
        if "took" in said:
            self.back.append((time.monotonic() - said["took"], said["took"]))
            self.recovered += said["recovered"]
            self.not_recovered += not said["recovered"]
        if "lists" in said:
            self.lists = said["lists"]


class _Guest(Client):
    """Asks once who it is: the official client does not show what else CONNECT is answered with."""

    __slots__ = ("token",)

    def opened(self) -> None:
        self.token: str | None = None
        self.send("40/chat,{}")

    def packet(self, payload: bytes) -> None:
        if payload.startswith(b"40/chat,"):
            self.token = json.loads(payload[8:]).get("guestToken", "")
            self.close()


def _guest_tokens(loop: Loop, edge: str, count: int) -> list[str]:
    """One for each client, so that it is the same guest when it comes back; empty ones where there are no guests."""
    where = Address.of(edge)
    guests = [_Guest(loop, where, SOCKET_IO) for _ in range(count)]
    if not loop.run(lambda: not any(guest.is_open for guest in guests), _LIMIT_S):
        raise CannotRun("no guest was let in")
    return [guest.token or "" for guest in guests]
