"""What the other processes of this machine say of themselves."""

from __future__ import annotations

import socket

import trio

from dorami_core.base.errors import DoramiError
from dorami_core.edge.handover import Handover

ANSWER_LIMIT_S = 1.0
_ASK = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def read_metrics(handover: Handover) -> dict[str, str]:
    """The metrics of each neighbour by its name. It is asked over a connection of which it is handed the other end,
    since a port that all share leads to any of them. One that does not answer within a second is left out."""
    answers: dict[str, str] = {}
    async with trio.open_nursery() as nursery:
        for name in handover.others():
            nursery.start_soon(_ask, handover, name, answers)
    return answers


async def _ask(handover: Handover, name: str, answers: dict[str, str]) -> None:
    ours, theirs = socket.socketpair()
    parts: list[bytes] = []
    with ours, theirs, trio.move_on_after(ANSWER_LIMIT_S):
        ours.setblocking(False)
        theirs.setblocking(False)
        try:
            if not await handover.give(name, theirs, "127.0.0.1", _ASK):
                return
            while True:
                await trio.lowlevel.wait_readable(ours)
                data = ours.recv(65536)
                if not data:
                    break
                parts.append(data)
        except (DoramiError, OSError):
            return
        head, _, body = b"".join(parts).partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 200 "):
            answers[name] = body.decode()
