"""Hearts: counted in memory, added up in Redis, told as one number."""

from __future__ import annotations

from collections import defaultdict
from importlib.resources import files

import attrs
import structlog
import trio

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.chat.briefly import Briefly
from dorami_core.chat.model import HISTORY_S
from dorami_core.chat.store import ChatRedis
from dorami_core.hooks.sockets import Delivery, Rooms

log = structlog.get_logger()

NAMESPACE = "/chat"
INTERVAL_S = 0.25
"""Between two events of one room, over all processes."""
MAX_AT_ONCE = 50
TOTAL_KEPT_S = 1.0


@attrs.frozen
class HeartStatistics:
    """`waiting`: hearts that are not in Redis yet; the others count since the start."""

    waiting: int
    counted: int
    said: int


class Hearts:
    """Only rooms of broadcasts that exist are counted, so what waits is bounded by their number: one integer each.

    A process whose turn to speak it is not asks again at its next tick, until somebody has said the total.
    """

    def __init__(self, redis: ChatRedis, rooms: Rooms, clock: Clock) -> None:
        self._add = redis.register_script(files("dorami_core.chat").joinpath("hearts.lua").read_text("utf-8"))
        self._redis = redis
        self._rooms = rooms
        self._clock = clock
        self._waiting: defaultdict[str, int] = defaultdict(int)
        self._changed = trio.Event()
        self._totals = Briefly(self._read_total, clock, TOTAL_KEPT_S)
        self._counted = 0
        self._said = 0

    def statistics(self) -> HeartStatistics:
        return HeartStatistics(sum(self._waiting.values()), self._counted, self._said)

    def add(self, live_id: str, count: int) -> None:
        """Counts; the room hears of it within a quarter of a second."""
        self._counted += count
        self._waiting[live_id] += count
        self._changed.set()

    async def total(self, live_id: str) -> int:
        """As of a second ago. UNAVAILABLE without Redis."""
        return await self._totals.get(live_id)

    async def run(self) -> None:
        """Tells what has changed, at most four times a second. While Redis is away the hearts wait."""
        is_away = False
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            try:
                await self.tell()
            except DoramiError as error:
                if error.code != "UNAVAILABLE":
                    raise
                if not is_away:
                    log.warning("chat.hearts_wait", hearts=sum(self._waiting.values()))
                is_away = True
            else:
                is_away = False
            if self._waiting:
                self._changed.set()
            await self._clock.sleep(INTERVAL_S)

    async def tell(self) -> None:
        """One round over the rooms that have something to say."""
        for live_id in list(self._waiting):
            count = self._waiting[live_id]
            total, whose_turn = await self._add(
                [_key(live_id)],
                [count, int(self._clock.now().timestamp() * 1000), round(INTERVAL_S * 1000), 2 * HISTORY_S],
            )
            self._waiting[live_id] -= count
            if whose_turn == 1:
                self._said += 1
                data = {"liveId": live_id, "total": total}
                self._rooms.emit(NAMESPACE, live_id, "chat:hearts", data, delivery=Delivery.LATEST)
            if whose_turn != 0 and not self._waiting[live_id]:
                del self._waiting[live_id]

    async def _read_total(self, live_id: str) -> int:
        return int(await self._redis.execute("HGET", _key(live_id), "total") or 0)


def _key(live_id: str) -> str:
    return f"chat:{live_id}:hearts"
