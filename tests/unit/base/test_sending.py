"""The same bytes to many sockets."""

from __future__ import annotations

import socket

from dorami_core.base.sending import send_to_all


def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, theirs


def test_each_gets_them_whatever_becomes_of_the_others() -> None:
    pairs = [pair() for _ in range(6)]
    full, gone = pairs[1][0], pairs[3]
    try:
        while True:
            full.send(b"x" * 4096)
    except BlockingIOError:
        pass
    gone[1].close()
    taken = send_to_all([ours.send for ours, _ in pairs], b"hello")
    assert [one if isinstance(one, int) else type(one) for one in taken] == [5, 0, 5, BrokenPipeError, 5, 5]
    for number in (0, 2, 4, 5):
        assert pairs[number][1].recv(100) == b"hello"
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def test_a_part_is_a_part() -> None:
    ours, theirs = pair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    (taken,) = send_to_all([ours.send], b"x" * 10_000_000)
    assert isinstance(taken, int)
    assert 0 < taken < 10_000_000
    ours.close()
    theirs.close()


def test_nobody() -> None:
    assert send_to_all([], b"hello") == []
