"""The ledger of a process that has no other: what counts while Redis is gone."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from dorami_core.base.clock import Clock
from dorami_core.presence.ledger import NAMES_UP_TO, Change, LedgerState, Outcome


@attrs.define
class _Stream:
    count: int = 0
    said: int = 0
    said_at_s: float = float("-inf")
    needs_number: bool = False


class OwnLedger:
    """Answers as `RedisLedger` does, from this process's own people. Starts empty: the first change of each stream
    names all its members."""

    def __init__(self, clock: Clock, *, push_interval_s: float = 1.0) -> None:
        self._clock = clock
        self._interval_s = push_interval_s
        self._streams: dict[str, _Stream] = {}

    def sync(self, changes: Sequence[Change]) -> LedgerState:
        outcomes = {}
        for change in changes:
            stream = self._streams.setdefault(change.stream_key, _Stream())
            if change.members is not None:
                stream.count = len(change.members)
            else:
                stream.count += len(change.joined) - len(change.left)
            stream.needs_number |= change.needs_number
            is_named = stream.count <= NAMES_UP_TO
            outcomes[change.stream_key] = Outcome(
                present=change.joined if is_named else (), absent=change.left if is_named else ()
            )
        push, due_s = self._say()
        counts = {key: stream.count for key, stream in self._streams.items()}
        for key in [key for key, stream in self._streams.items() if not (stream.count or stream.said)]:
            del self._streams[key]
        return LedgerState(counts, push, outcomes, due_s)

    def _say(self) -> tuple[list[str], float | None]:
        now_s = self._clock.monotonic()
        push, held_back = [], []
        for key, stream in self._streams.items():
            if stream.count != stream.said or stream.needs_number:
                since_s = now_s - stream.said_at_s
                if since_s >= self._interval_s:
                    push.append(key)
                    stream.said, stream.said_at_s, stream.needs_number = stream.count, now_s, False
                else:
                    held_back.append(self._interval_s - since_s)
        return push, min(held_back, default=None)
