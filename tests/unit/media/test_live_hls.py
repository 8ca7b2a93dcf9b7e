"""Requests that wait: answered when it comes, bounded in time and in number, gone with their client."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from dorami_core.base.errors import DoramiError
from dorami_core.media.cutting import Part
from dorami_core.media.live_hls import LiveHls
from dorami_core.media.playlist import Playlist

pytestmark = pytest.mark.plain_trio
NOW = datetime(2026, 11, 1, tzinfo=UTC)
FIRST = 100


def make(*, most: int = 10) -> LiveHls:
    live = LiveHls(Playlist("shop-live", FIRST, 6, 500), trio.CapacityLimiter(most))
    live.playlist.begin_source(b"header")
    return live


def grow(live: LiveHls, parts: int) -> None:
    """Half a second each, two of them a segment."""
    for _ in range(parts):
        number = live.playlist.newest_part + 1 - FIRST * 10
        is_first = number % 2 == 0
        live.playlist.add(Part(b"%d" % number, number * 500, 500, is_first, is_first), NOW)
    live.tell()


async def never() -> None:
    await trio.sleep_forever()


def asked(segment: int, part: int | None = None) -> dict[str, str]:
    return {"_HLS_msn": str(segment), **({} if part is None else {"_HLS_part": str(part)})}


async def test_a_reload_waits_for_its_part_and_no_longer(autojump_clock: MockClock) -> None:
    live = make()
    grow(live, 5)
    got: dict[str, bytes] = {}

    async def reload(name: str, query: dict[str, str]) -> None:
        got[name] = await live.text(query, never)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reload, "part", asked(FIRST + 2, 1))
        nursery.start_soon(reload, "segment", asked(FIRST + 2))
        nursery.start_soon(reload, "later", asked(FIRST + 3, 0))
        await wait_all_tasks_blocked()
        assert (got, live.waiting) == ({}, 3)
        grow(live, 1)
        await wait_all_tasks_blocked()
        assert list(got) == ["part"]
        assert b'URI="shop-live-p1005.m4s"\n' in got["part"]
        grow(live, 1)
    assert set(got) == {"part", "segment", "later"}
    assert live.waiting == 0


async def test_the_hinted_part_comes_when_it_is_made(autojump_clock: MockClock) -> None:
    live = make()
    grow(live, 3)
    got = []

    async def fetch() -> None:
        got.append(await live.media("p", 1003, never))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch)
        nursery.start_soon(fetch)
        await wait_all_tasks_blocked()
        assert live.waiting == 2
        grow(live, 1)
    assert got == [b"3", b"3"]
    with pytest.raises(DoramiError, match="NOT_FOUND"):
        await live.media("p", 1005, never)  # nobody promised it


async def test_a_wait_ends_after_three_target_durations(autojump_clock: MockClock) -> None:
    live = make()
    grow(live, 3)
    began = trio.current_time()
    with pytest.raises(DoramiError) as refused:
        await live.text(asked(FIRST + 1, 1), never)
    assert (refused.value.code, trio.current_time() - began) == ("UNAVAILABLE", 3.0)
    with pytest.raises(DoramiError, match="UNAVAILABLE"):
        await live.media("p", 1003, never)
    assert live.waiting == 0


async def test_the_end_answers_all_who_wait(autojump_clock: MockClock) -> None:
    live = make()
    grow(live, 3)
    got = []

    async def reload() -> None:
        got.append(await live.text(asked(FIRST + 2, 0), never))

    async def fetch() -> None:
        with pytest.raises(DoramiError, match="NOT_FOUND"):
            await live.media("p", 1003, never)
        got.append(b"")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reload)
        nursery.start_soon(fetch)
        await wait_all_tasks_blocked()
        live.end()
    assert len(got) == 2
    assert b"#EXT-X-ENDLIST" in b"".join(got)
    assert b"PRELOAD-HINT" not in b"".join(got)


async def test_so_many_wait_and_no_more_and_who_leaves_makes_room(autojump_clock: MockClock) -> None:
    live = make(most=2)
    grow(live, 3)
    left = trio.Event()
    outcomes = []

    async def client(gone: trio.Event | None) -> None:
        try:
            await live.text(asked(FIRST + 1, 1), never if gone is None else gone.wait)
            outcomes.append("answered")
        except trio.ClosedResourceError:
            outcomes.append("left")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client, left)
        nursery.start_soon(client, None)
        await wait_all_tasks_blocked()
        with pytest.raises(DoramiError, match="UNAVAILABLE"):
            await live.text(asked(FIRST + 1, 1), never)
        assert b"#EXTM3U" in await live.text({}, never), "what needs no waiting is given"
        left.set()
        await wait_all_tasks_blocked()
        assert (outcomes, live.waiting) == (["left"], 1)
        nursery.start_soon(client, None)
        await wait_all_tasks_blocked()
        grow(live, 1)
    assert outcomes == ["left", "answered", "answered"]


async def test_a_cancelled_request_leaves_nothing() -> None:
    live = make(most=1)
    grow(live, 3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(live.text, asked(FIRST + 1, 1), never)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert live.waiting == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(live.text, asked(FIRST + 1, 1), never)
        await wait_all_tasks_blocked()
        grow(live, 1)


@pytest.mark.parametrize(
    "query",
    [
        {"_HLS_part": "0"},
        {"_HLS_msn": "x"},
        {"_HLS_msn": "-1"},
        {"_HLS_msn": ""},
        {"_HLS_msn": "9" * 16},
        asked(FIRST + 3),
        asked(FIRST + 1, 30),
        {"_HLS_msn": str(FIRST), "_HLS_part": "1.5"},
    ],
)
async def test_what_cannot_be_waited_for_is_refused_at_once(query: dict[str, str]) -> None:
    live = make()
    grow(live, 3)
    with pytest.raises(DoramiError, match="VALIDATION_FAILED"):
        await live.text(query, never)


async def test_before_the_first_segment_there_is_nothing() -> None:
    live = make()
    grow(live, 1)
    for query in ({}, asked(FIRST, 1)):
        with pytest.raises(DoramiError, match="NOT_FOUND"):
            await live.text(query, never)
    with pytest.raises(DoramiError, match="NOT_FOUND"):
        await live.media("p", FIRST * 10 + 1, never)
