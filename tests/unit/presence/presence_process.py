"""A process with viewers of `live-one`: URL of Redis, lease in seconds, names of its guests. Says so, and goes on."""

from __future__ import annotations

import sys
from functools import partial

import trio

from dorami_core import runtime
from dorami_core.base.clock import SystemClock
from dorami_core.presence.ledger import RedisLedger
from dorami_core.presence.viewers import SharedViewers
from dorami_core.store.redis import open_redis
from dorami_core.testing.sockets import RecordedConnection, RecordedRooms, guest_principal


async def main(url: str, lease_s: float, names: list[str]) -> None:
    rooms = RecordedRooms()
    async with open_redis(url) as redis:
        viewers = SharedViewers(
            rooms, SystemClock(), RedisLedger(redis, lease_s=lease_s, push_interval_s=0.1), lease_s=lease_s
        )
        for name in names:
            viewers.join(RecordedConnection(rooms, "/", guest_principal(name)), "live-one")
        async with trio.open_nursery() as nursery:
            await nursery.start(viewers.run)
            print("watching", flush=True)


if __name__ == "__main__":
    runtime.run(partial(main, sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
