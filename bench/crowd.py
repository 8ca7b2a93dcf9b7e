"""Viewers of one chat room and those who write in it, on one Loop."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle

from bench.client import Address
from bench.loop import Loop
from bench.report import progress
from bench.scripts import chat_message, join_chat
from bench.target import CannotRun
from bench.viewers import Viewer, stamp

SAMPLE_EVERY = 20
_JOINING = 64
_JOIN_LIMIT_S = 60.0
_CHECK_S = 0.05
PATIENCE_S = 10.0
"""For what was sent and comes no more."""
_SHOW_S = 0.5


class Crowd:
    """`viewers` and `senders` are all in the room and hear every message, the senders their own too."""

    def __init__(self, loop: Loop, edge: str, stream: str, padding: int = 0) -> None:
        self.loop = loop
        self.viewers: list[Viewer] = []
        self.senders: list[Viewer] = []
        self.losses: Counter[str] = Counter()
        """Connections that ended or were refused, by reason; stalled ones (`is_excused`) do not count."""
        self.is_excused: Callable[[Viewer], bool] = lambda viewer: False
        self.on_lost: Callable[[Viewer, str], None] = lambda viewer, reason: None
        self.sent = 0
        self._where = Address.of(edge)
        self._stream = stream
        self._padding = " " + "x" * padding if padding else ""
        self._turns: Iterator[Viewer] = iter(())

    @property
    def everybody(self) -> list[Viewer]:
        return self.viewers + self.senders

    def join(self, count: int, receive_buffers: Sequence[int] = ()) -> None:
        """Viewers, some at a time; CannotRun where one is not let in. `receive_buffers`: SO_RCVBUF of the first."""
        waiting = iter(range(count))
        joined = 0

        def start() -> None:
            number = next(waiting, None)
            if number is None:
                return
            viewer = Viewer(
                self.loop,
                self._where,
                partial(join_chat, stream=self._stream),
                on_joined=on_joined,
                on_lost=self._lost,
                is_sample=number % SAMPLE_EVERY == SAMPLE_EVERY - 1 or count < SAMPLE_EVERY,
                receive_buffer=receive_buffers[number] if number < len(receive_buffers) else 0,
            )
            self.viewers.append(viewer)

        def on_joined(viewer: Viewer) -> None:
            nonlocal joined
            joined += 1
            if viewer.is_sample:
                viewer.read_first()
            start()

        for _ in range(_JOINING):
            start()
        with progress("joining", count) as bar:
            self.loop.every(_SHOW_S, lambda: bar.show(joined), lambda: joined == count)
            self.loop.run(lambda: joined == count or bool(self.losses), _JOIN_LIMIT_S + count / 100)
        if joined < count:
            raise CannotRun(
                f"{joined} of {count} viewers could join: {dict(self.losses) or 'the others got no answer'}"
            )

    def join_senders(self, tokens: Sequence[str | None]) -> None:
        joined: list[Viewer] = []
        for token in tokens:
            script = partial(join_chat, stream=self._stream, token=token)
            sender = Viewer(self.loop, self._where, script, on_joined=joined.append, on_lost=self._lost)
            self.senders.append(sender)
        if not self.loop.run(lambda: len(joined) == len(tokens) or bool(self.losses), _JOIN_LIMIT_S) or self.losses:
            raise CannotRun(f"the senders could not join: {dict(self.losses)}")
        self._turns = cycle(self.senders)

    def chat(
        self, rate: float, seconds: float, title: str = "chatting", until: Callable[[], bool] | None = None
    ) -> None:
        """`rate` messages a second, the senders in turns; ends early once `until()` is true."""
        total = round(rate * seconds)
        done = 0
        began = time.monotonic()

        def go_on() -> None:
            nonlocal done
            if until is not None and until():
                done = total
                return
            self.say()
            done += 1
            if done < total:
                self.loop.at(began + done / rate, go_on)

        self.loop.at(began, go_on)
        with progress(title, total) as bar:
            self.loop.every(_SHOW_S, lambda: bar.show(done), lambda: done >= total)
            self.loop.run(lambda: done >= total, seconds * 3 + 10)

    def say(self) -> None:
        """One message."""
        next(self._turns).send(chat_message(self._stream, stamp(self.sent) + self._padding))
        self.sent += 1

    def drain(self, whom: Sequence[Viewer] | None = None, every_s: float = _CHECK_S) -> bool:
        """Waits until `whom` (default: everybody) have all that was sent; asked no more often than `every_s`. False
        where nothing more comes: a slow machine is no loss."""
        due, asked = self.everybody if whom is None else whom, 0.0
        arrived, arrived_at = -1, time.monotonic()

        def is_over() -> bool:
            nonlocal asked, arrived, arrived_at
            now = time.monotonic()
            if now < asked:  # asking ten thousand after each batch would be the load
                return False
            asked = now + every_s
            if (count := sum(viewer.received for viewer in due)) != arrived:
                arrived, arrived_at = count, now
            return self._is_complete(due) or now > arrived_at + PATIENCE_S

        self.loop.run(is_over, math.inf)
        return self._is_complete(due)

    def _is_complete(self, whom: Sequence[Viewer]) -> bool:
        return all(viewer.received >= self.sent for viewer in whom if viewer.is_open)

    def close(self) -> None:
        for viewer in self.everybody:
            viewer.close()

    def _lost(self, viewer: Viewer, reason: str) -> None:
        self.on_lost(viewer, reason)
        if not self.is_excused(viewer):
            self.losses[reason] += 1


def broken_rules(crowd: Crowd, viewers: Sequence[Viewer]) -> list[str]:
    """What of this was not kept for `viewers`: all of them stay, get each message once, each sender's in order."""
    found = [f"{count} connections ended: {reason}" for reason, count in crowd.losses.items()]
    due = crowd.sent * len(viewers)
    arrived = sum(viewer.received for viewer in viewers)
    is_complete = all(viewer.received == crowd.sent for viewer in viewers)
    if not is_complete:
        found.append(f"{due} deliveries were due, {arrived} arrived")
    senders = len(crowd.senders)
    samples = [viewer for viewer in viewers if viewer.is_sample]
    if any(len(set(viewer.numbers)) != len(viewer.numbers) for viewer in samples):
        found.append("a viewer got a message twice")
    if not all(_in_order(viewer.numbers, senders) for viewer in samples):
        found.append("a viewer got messages of one sender out of order")
    if is_complete and any(viewer.numbers != samples[0].numbers for viewer in samples):
        found.append("two viewers got the messages in different orders")
    return found


def _in_order(numbers: list[int], senders: int) -> bool:
    """Whether each sender's messages came in his order; those of two may overtake each other."""
    return all(own == sorted(own) for own in ([n for n in numbers if n % senders == who] for who in range(senders)))
