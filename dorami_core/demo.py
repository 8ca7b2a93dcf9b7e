"""`dorami up --demo`: a seller, a filled shop, and a moving picture while nobody publishes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import structlog
import trio

from dorami_core.base.ids import StreamKey
from dorami_core.base.supervision import supervise
from dorami_core.hooks.host import DemoSeed
from dorami_core.identity.users import Users
from dorami_core.ingest.gate import PublishRefused
from dorami_core.media.demo import open_demo_packets
from dorami_core.streams.broadcasts import Broadcasts
from dorami_core.streams.service import StreamService

log = structlog.get_logger()

KEY = StreamKey("demo")
TITLE = "도라미 데모 방송"
SELLER = "seller@demo.dorami"


async def start(
    nursery: trio.Nursery,
    folder: Path,
    streams: StreamService,
    broadcasts: Broadcasts,
    users: Users,
    seeds: Sequence[tuple[str, DemoSeed]],
) -> None:
    """Fills the shop where it is empty, puts the picture on air, and returns once it moves."""
    await users.sign_in(SELLER, name="도라미", role="ADMIN", instagram_id="dorami_demo")
    await streams.ensure(KEY, title=TITLE)
    for _, seed in seeds:
        await seed(KEY)
    moving = trio.Event()
    nursery.start_soon(supervise, "demo picture", partial(_play, broadcasts, folder, moving))
    await moving.wait()


async def introduce(streams: StreamService, web: str, host: str) -> None:
    """Prints what there is to see, and where the demo's publisher may take over."""
    row = await streams.find_row(KEY)
    assert row is not None
    address = streams.publish_address(row, host)
    print(f"live page       {web}/live/{KEY}")
    print(f"seller's desk   {web}/admin   (sign in as {SELLER})")
    print(f"OBS server      {address.url}")
    print(f"OBS stream key  {address.key}", flush=True)


async def _play(broadcasts: Broadcasts, folder: Path, moving: trio.Event) -> None:
    """Feeds the picture to the broadcast, until a seller has ended that for good. Raises where it was cut for another
    reason, so that it is played again."""
    reason = ""
    try:
        async with (
            open_demo_packets(folder) as packets,
            broadcasts.fallback(KEY) as publication,
            trio.open_nursery() as nursery,
        ):

            async def watch_cut() -> None:
                nonlocal reason
                reason = await publication.wait_cut()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch_cut)
            async for packet in packets:
                publication.write(packet)
                if packet.is_keyframe:
                    moving.set()
    except PublishRefused as refusal:
        log.warning("demo.no_picture", reason=refusal.code, advice="another --data directory has a new demo broadcast")
        moving.set()
    else:
        if reason != "ended":
            raise RuntimeError(f"the demo's picture was cut: {reason}")
        moving.set()
