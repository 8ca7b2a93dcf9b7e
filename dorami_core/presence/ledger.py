"""The ledger of all processes, in Redis: who holds which viewers, how many people that makes, who says the number."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from importlib.resources import files
from typing import Any, Protocol
from uuid import uuid4

import attrs

from dorami_core.base.ids import ViewerId

NAMES_UP_TO = 200
"""Above this many viewers nobody is named; only counts are sent."""

_COUNTS = "{presence}:counts"
"""The braces keep all keys of presence on one node of a Redis cluster."""

Argument = str | bytes | int | float


class PresenceRedis(Protocol):
    """What is used of `store.redis.RedisStore`."""

    def register_script(self, lua: str) -> Callable[[Sequence[Argument], Sequence[Argument]], Awaitable[Any]]: ...


@attrs.frozen
class Change:
    """What one process has to say of one stream. `held`: how many viewers the ledger has of it before; `members`: all
    that it has now, where the ledger is to forget what it knew. `needs_number`: somebody waits for the count."""

    stream_key: str
    joined: Sequence[ViewerId] = ()
    left: Sequence[ViewerId] = ()
    held: int = 0
    members: Sequence[ViewerId] | None = None
    needs_number: bool = False


@attrs.frozen
class Outcome:
    """Of one change. `lost`: the ledger had other viewers of this process than `held` and has changed nothing.
    `present`, `absent`: who is there now, or no longer, over all processes; empty above NAMES_UP_TO viewers."""

    lost: bool = False
    present: Collection[ViewerId] = ()
    absent: Collection[ViewerId] = ()


@attrs.frozen
class LedgerState:
    """`counts`: people by stream; `push`: the streams whose number this process is to say now; `due_s`: seconds until
    a number of the changed streams may be said, which was held back."""

    counts: Mapping[str, int]
    push: Collection[str]
    outcomes: Mapping[str, Outcome]
    due_s: float | None = None


class RedisLedger:
    """Leases of one process. Whoever looks every `push_interval_s`, or every third of `lease_s` where that is less,
    sees the viewers of a process that is gone leave within `lease_s`.

    `push_interval_s`: how far apart two numbers of one stream are said, over all processes, by the clock of Redis.
    """

    def __init__(
        self, redis: PresenceRedis, *, lease_s: float, push_interval_s: float = 1.0, process: str | None = None
    ) -> None:
        self._sync = redis.register_script(files("dorami_core.presence").joinpath("sync.lua").read_text("utf-8"))
        self._process = process or uuid4().hex
        self._lease_ms = max(1, round((lease_s - min(push_interval_s, lease_s / 3)) * 1000))
        self._push_ms = max(1, round(push_interval_s * 1000))

    async def sync(self, changes: Sequence[Change]) -> LedgerState:
        """One crossing; raises UNAVAILABLE where Redis cannot be reached, and then may have taken the changes."""
        args: list[Argument] = [self._process, self._lease_ms, self._push_ms, NAMES_UP_TO]
        for change in changes:
            members = change.members or ()
            args += [
                change.stream_key,
                int(change.members is not None),
                int(change.needs_number),
                change.held,
                len(members),
                len(change.joined),
                len(change.left),
                *members,
                *change.joined,
                *change.left,
            ]
        return _state(await self._sync([_COUNTS], args))


def _state(answer: Any) -> LedgerState:
    due_ms, numbers, outcomes = answer
    counts: dict[str, int] = {}
    push: list[str] = []
    for key, count, is_pushed in numbers:
        counts[key.decode()] = count
        if is_pushed:
            push.append(key.decode())
    return LedgerState(
        counts,
        push,
        {
            key.decode(): Outcome(bool(lost), _viewers(present), _viewers(absent))
            for key, lost, present, absent in outcomes
        },
        due_ms / 1000 if due_ms >= 0 else None,
    )


def _viewers(names: list[bytes]) -> frozenset[ViewerId]:
    return frozenset(ViewerId(name.decode()) for name in names)
