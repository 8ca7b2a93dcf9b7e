"""A broadcast is sent to four servers on loopback: one is healthy, one is stopped, one stops reading, one refuses the
key. The seller is told what is wrong with each, and all of it mends itself. It prints after how many seconds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from restream_parts import HOST, KEY, Platform, Wire, serve_platform

from bench.video import publish
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.testing.server import running_dorami
from dorami_core.testing.waiting import becomes

pytestmark = pytest.mark.plain_trio

LIMIT_S = 30.0
"""It takes 9 s; by what the other side's kernel acknowledges alone it took 18."""
RECOVERY_S = 60.0
LOOK_S = 0.1


class Desk:
    """The targets as the seller's page shows them, and when each was first seen so."""

    def __init__(self, seller: httpx.Client) -> None:
        self._seller = seller
        self.now: dict[str, dict[str, Any]] = {}
        self.seen: list[str] = []
        self._since = trio.current_time()

    def add(self, name: str, port: int) -> None:
        body = {"platform": "CUSTOM", "name": name, "rtmpUrl": f"rtmp://{HOST}:{port}/live", "streamKey": KEY}
        assert self._seller.post("/api/restream/targets", json=body).status_code == 201

    def begin(self) -> None:
        """What follows counts from here."""
        self._since = trio.current_time()

    async def until(self, what: str, check: Callable[[dict[str, dict[str, Any]]], bool], within_s: float) -> None:
        """Asks until it is so, and notes after how many seconds it was."""
        with trio.fail_at(self._since + within_s):
            while not await self._look(check):
                await trio.sleep(LOOK_S)
        self.seen.append(f"{what} {trio.current_time() - self._since:.1f} s")

    async def _look(self, check: Callable[[dict[str, dict[str, Any]]], bool]) -> bool:
        # Beside the loop: the publisher and the platforms are in it, and a broadcast that is silent gets a slate.
        answer = await trio.to_thread.run_sync(self._seller.get, "/api/restream/targets")
        self.now = {target["name"]: target for target in answer.json()["data"]["items"]}
        return check(self.now)


async def within(
    scope: trio.CancelScope,
    run: Callable[..., Awaitable[None]],
    *arguments: Any,
    task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
) -> None:
    """So that this one can be cancelled."""
    with scope:
        await run(*arguments, task_status=task_status)


def is_failed(target: dict[str, Any], cause: str) -> bool:
    return target["status"] in ("FAILED", "CONNECTING") and target["cause"] == cause


def is_active(target: dict[str, Any]) -> bool:
    return (target["status"], target["cause"]) == ("ACTIVE", "")


async def test_each_target_tells_what_is_wrong_and_mends_itself(short_tmp: Path) -> None:
    healthy, stopped, deaf, refusing = Platform(), Platform(), Platform(), Platform()
    refusing.refuses = True
    wire = Wire()
    sent: list[MediaPacket] = []
    with running_dorami(short_tmp / "restream") as server, server.client("seller@example.test", role="ADMIN") as seller:
        desk = Desk(seller)
        stream = seller.post("/api/streams", json={"title": "넷으로"}).json()["data"]
        async with trio.open_nursery() as nursery:
            serving = trio.CancelScope()
            desk.add("healthy", await nursery.start(serve_platform, healthy))
            stopped_port = await nursery.start(within, serving, serve_platform, stopped)
            desk.add("stopped", stopped_port)
            deaf_port = await nursery.start(serve_platform, deaf)
            desk.add("deaf", await nursery.start(wire.serve, deaf_port))
            desk.add("refusing", await nursery.start(serve_platform, refusing))
            key, folder = stream["publish"]["key"], short_tmp / "picture"
            await nursery.start(publish, server.rtmp, [key], folder, sent.append)
            desk.begin()
            await desk.until("refusing REFUSED", lambda now: is_failed(now["refusing"], "REFUSED"), LIMIT_S)
            others = ("healthy", "stopped", "deaf")
            await desk.until("the others ACTIVE", lambda now: all(is_active(now[name]) for name in others), LIMIT_S)

            serving.cancel()
            wire.freeze()
            desk.begin()
            await desk.until("stopped UNREACHABLE", lambda now: is_failed(now["stopped"], "UNREACHABLE"), LIMIT_S)
            await desk.until("deaf STALLED", lambda now: is_failed(now["deaf"], "STALLED"), LIMIT_S)
            assert is_active(desk.now["healthy"])
            assert is_failed(desk.now["stopped"], "UNREACHABLE")
            assert is_failed(desk.now["refusing"], "REFUSED")

            refusing.refuses = False
            wire.thaw()
            await nursery.start(serve_platform, stopped, stopped_port)
            desk.begin()
            for name in ("stopped", "deaf", "refusing"):
                await desk.until(f"{name} ACTIVE again", lambda now, one=name: is_active(now[one]), RECOVERY_S)  # type: ignore[misc]
                assert desk.now[name]["restartCount"] > 0
            assert is_active(desk.now["healthy"])
            assert (desk.now["healthy"]["restartCount"], healthy.connections) == (0, 1)

            given = [p.payload for p in sent if p.kind is MediaKind.VIDEO and not p.is_sequence_header]
            begun = len(healthy.frames)
            await becomes(lambda: given[-1] in [packet.payload for packet in healthy.frames[begun:]])
            nursery.cancel_scope.cancel()
    frames = healthy.frames
    while frames[-1].payload != given[-1]:
        frames.pop()
    times = [packet.timestamp_ms for packet in frames]
    assert {later - earlier for earlier, later in pairwise(times)} <= {33, 34}, "no frame is missing"
    assert [packet.payload for packet in frames] == given[-len(frames) :]
    print(*desk.seen, f"{len(frames)} frames", sep="; ")
