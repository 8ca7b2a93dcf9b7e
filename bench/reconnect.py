"""Connections are lost while messages are sent; whoever comes back must end with the same list as who never left."""

from __future__ import annotations

import argparse
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence

from bench.client import Address
from bench.crowd import PATIENCE_S, Crowd
from bench.fanout import add_senders, find_stream, sender_tokens
from bench.lists import Tally
from bench.loop import LoadClock, Loop
from bench.node_clients import NodeClients
from bench.readers import LOSSES, READERS, Reader, SocketIoReader
from bench.report import Outcome, percentile, progress
from bench.rivals import add_peer, beside
from bench.target import CannotRun, Target, add_arguments, need_files, open_target

SUMMARY = "clients lose their connection while messages are sent: gaps, duplicates and order after they came back"
FIRST_LOSS, LAST_LOSS = 0.05, 0.9
"""Of the time in which messages are sent: the span in which connections are lost. Before the first message there is
nothing to resume from."""
_JOIN_LIMIT_S = 60.0
_JOINS_PER_S = 200.0
_AGAIN_S = 1.0
_CHECK_S = 0.1
_SHOW_S = 0.5
FIGURES = ("back_p50_ms", "back_p99_ms")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0, help="in which the messages are sent")
    parser.add_argument("--gap", type=float, default=20.0, metavar="SECONDS", help="until a client comes back")
    parser.add_argument("--protocol", choices=("both", *READERS), default="both", help="both: every other client")
    parser.add_argument("--loss", choices=("mixed", *LOSSES), default="reset", help="how a connection is lost")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of loss")
    parser.add_argument(
        "--client", choices=("light", "node"), default="light", help="node: the official socket.io-client, in Node"
    )
    add_senders(parser)
    add_peer(parser)


def run(options: argparse.Namespace) -> Outcome:
    need_files(options.clients + options.senders)
    with open_target(options) as target:
        tokens, stream = list(sender_tokens(options, target)), find_stream(options, target)
        protocols = tuple(READERS) if options.protocol == "both" else (options.protocol,)
        ours = measure(options, target, stream, tokens, protocols)
    guests = [None] * options.senders
    return beside(
        options,
        ours,
        lambda peer: measure(options, peer, "bench", guests, ("socketio",)),
        FIGURES,
        environ={"BENCH_RECOVERY": "1"},
    )


def measure(
    options: argparse.Namespace, target: Target, stream: str, tokens: Sequence[str | None], protocols: Sequence[str]
) -> Outcome:
    """One run against one target, `protocols` in turns."""
    absence = Absence(options, target, stream, protocols)
    try:
        return absence.run(tokens)
    finally:
        absence.close()


class Absence:
    """One run: who is there, who is away, and what became of their lists."""

    def __init__(self, options: argparse.Namespace, target: Target, stream: str, protocols: Sequence[str]) -> None:
        self._options, self._target, self._stream, self._protocols = options, target, stream, protocols
        self._loop = Loop()
        self._where = Address.of(target.edge)
        self._events: Counter[str] = Counter()
        self._joined: set[Reader] = set()
        self._away: set[Reader] = set()
        self._is_over = False
        self._witness = SocketIoReader(self._loop, self._where, stream, self._on_change)
        self._readers: list[Reader] = []
        self._node: NodeClients | None = None

    def close(self) -> None:
        self._is_over = True
        for reader in (*self._readers, self._witness):
            reader.close()
        if self._node is not None:
            self._node.close()
        self._loop.close()

    def run(self, tokens: Sequence[str | None]) -> Outcome:
        options, loop = self._options, self._loop
        crowd = Crowd(loop, self._target.edge, self._stream)
        crowd.join_senders(tokens)
        if options.client == "node":
            self._join([self._witness])
            self._node = NodeClients(loop, options, self._target.edge, self._stream)
            self._node.wait_joined()
        else:
            kinds = [READERS[self._protocols[number % len(self._protocols)]] for number in range(options.clients)]
            self._readers = [kind(loop, self._where, self._stream, self._on_change) for kind in kinds]
            self._join([self._witness, *self._readers])
        clock, began = LoadClock(), time.monotonic()
        self._plan(began)
        crowd.chat(options.messages / options.seconds, options.seconds, f"chatting: {self._target.name}")
        self._wait(crowd)
        load_cores = clock.cores_busy()
        reference = self._witness.numbers
        crowd.close()
        violations = [f"{count} senders' connections ended: {reason}" for reason, count in crowd.losses.items()]
        if sorted(reference) != list(range(options.messages)):
            violations.append(f"who never left has {len(set(reference))} of {options.messages} messages")
        return self._outcome(reference, violations, load_cores, began)

    def _join(self, readers: Sequence[Reader]) -> None:
        began = time.monotonic()
        for number, reader in enumerate(readers):
            self._loop.at(began + number / _JOINS_PER_S, reader.connect)
        with progress(f"joining: {self._target.name}", len(readers)) as bar:
            self._loop.every(_SHOW_S, lambda: bar.show(len(self._joined)), lambda: len(self._joined) >= len(readers))
            self._loop.run(
                lambda: len(self._joined) >= len(readers) or bool(self._losses()),
                _JOIN_LIMIT_S + len(readers) / _JOINS_PER_S,
            )
        if len(self._joined) < len(readers):
            why = ", ".join(self._losses()) or "the others got no answer"
            raise CannotRun(f"{len(self._joined)} of {len(readers)} clients could join: {why}")

    def _plan(self, began: float) -> None:
        """Draws when each loses its connection, and how."""
        options = self._options
        draw = random.Random(options.seed)
        span = (FIRST_LOSS * options.seconds, LAST_LOSS * options.seconds)
        if self._node is not None:
            self._node.lose(span)
        for number, reader in enumerate(self._readers):
            how = LOSSES[number % len(LOSSES)] if options.loss == "mixed" else options.loss
            lost_at = began + draw.uniform(*span)
            self._loop.at(lost_at, self._loser(reader, how))
            self._loop.at(lost_at + options.gap, self._returner(reader))

    def _loser(self, reader: Reader, how: str) -> Callable[[], None]:
        def lose() -> None:
            self._away.add(reader)
            reader.lose(how)

        return lose

    def _returner(self, reader: Reader) -> Callable[[], None]:
        def come_back() -> None:
            self._away.discard(reader)
            reader.connect()

        return come_back

    def _on_change(self, reader: Reader, what: str) -> None:
        self._events[what] += 1
        if what == "joined":
            self._joined.add(reader)
        elif what not in ("recovered", "not recovered") and not self._is_over and reader in self._joined:
            self._loop.at(time.monotonic() + _AGAIN_S, lambda: self._again(reader))

    def _again(self, reader: Reader) -> None:
        """After a loss that nobody asked for, as any client would."""
        if not self._is_over and reader.link is None and reader not in self._away:
            reader.connect()

    def _losses(self) -> list[str]:
        return [what for what in self._events if what not in ("joined", "recovered", "not recovered")]

    def _wait(self, crowd: Crowd) -> None:
        """Until all are back and have everything, or nothing more comes."""
        everybody = (*self._readers, self._witness)
        arrived, asked = -1, 0.0
        give_up_at = time.monotonic() + self._options.gap + PATIENCE_S

        def is_over() -> bool:
            nonlocal arrived, asked, give_up_at
            now = time.monotonic()
            if now < asked:
                return False
            asked = now + _CHECK_S
            if (count := sum(len(reader.numbers) for reader in everybody)) != arrived:
                arrived, give_up_at = count, max(give_up_at, now + PATIENCE_S)
            is_complete = all(len(reader.numbers) >= crowd.sent for reader in everybody)
            return (is_complete and (self._node is None or self._node.is_done)) or now > give_up_at

        with progress("waiting for those who are away", len(everybody) * crowd.sent) as bar:
            self._loop.every(_SHOW_S, lambda: bar.show(arrived), lambda: self._is_over)
            self._loop.run(is_over, math.inf)
        self._loop.run_for(_CHECK_S)  # for what would come twice
        if self._node is not None:
            self._node.finish()

    def _outcome(self, reference: Sequence[int], violations: list[str], load_cores: float, began: float) -> Outcome:
        options, tally = self._options, Tally()
        lists = self._node.lists if self._node is not None else [reader.numbers for reader in self._readers]
        for numbers in lists:
            tally.judge(numbers, reference)
        back = [pair for reader in self._readers for pair in reader.back_s]
        recovered, not_recovered = self._events["recovered"], self._events["not recovered"]
        if self._node is not None:
            back, recovered, not_recovered = self._node.back, self._node.recovered, self._node.not_recovered
        results: dict[str, float | int | str] = {
            "clients": len(lists),
            "messages": len(reference),
            "recovered": recovered,
            "not_recovered": not_recovered,
            "gaps": tally.gaps,
            "duplicates": tally.duplicates,
            "disordered": tally.disordered,
            "missing_messages": tally.missing,
            "unasked_losses": sum(self._events[what] for what in self._losses()),
            "back_p50_ms": percentile([took_s * 1e3 for _, took_s in back], 0.5),
            "back_p99_ms": percentile([took_s * 1e3 for _, took_s in back], 0.99),
            "load_cores_busy": load_cores,
        }
        violations += [
            f"{count} clients {what}"
            for count, what in (
                (tally.gaps, f"miss messages, {tally.missing} together"),
                (tally.duplicates, "have messages twice"),
                (tally.disordered, "have messages in another order"),
                (options.clients - len(lists), "did not come back at all"),
            )
            if count > 0
        ]
        series = sorted((at - began, took_s * 1e3) for at, took_s in back)
        title = f"{len(lists)} clients come back after {options.gap:g} s: from connect() to the server's answer"
        return Outcome(results, {}, violations, {self._target.name: series}, title)
