"""Two edges that share a folder: whatever reaches the wrong one goes on at the right one."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import attrs
import pytest
import trio
from edge_harness import Edge, RawClient, running_edge
from polling_client import PATH, PollingClient, Wire
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from test_edge_sockets import Studio

from dorami_core.base.errors import DoramiError
from dorami_core.base.metrics import merge_expositions
from dorami_core.edge import handover
from dorami_core.edge.handover import Handover, new_name, open_handover
from dorami_core.edge.neighbours import read_metrics
from dorami_core.edge.placement import Place
from dorami_core.media.out import NoVideo


@attrs.frozen
class Pair:
    a: Edge
    b: Edge
    given_by_a: Handover
    given_by_b: Handover


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@asynccontextmanager
async def running_pair(folder: Path) -> AsyncIterator[Pair]:
    """`a` has the video, `b` knows that."""
    with open_handover(folder, "a") as a, open_handover(folder, "b") as b:
        async with (
            running_edge(folder, Studio().registry, place=Place(a)) as first,
            running_edge(folder, Studio().registry, place=Place(b, video="a"), video=NoVideo()) as second,
        ):
            yield Pair(first, second, a, b)


async def lost(client: PollingClient, other: Edge) -> PollingClient:
    """The client, whose connections lead to another edge from now on."""
    client.getter, client.poster = [Wire(await other.connect(), other.port) for _ in range(2)]
    return client


async def test_polls_and_posts_reach_their_session_wherever_they_go(folder: Path) -> None:
    async with running_pair(folder) as pair:
        client = await PollingClient.viewer(pair.a)
        assert client.opened["sid"].startswith("a.")
        await lost(client, pair.b)
        assert (await client.call("who"))["data"]["address"] == "127.0.0.1"
        assert pair.given_by_b.statistics().given == 2, "one for each connection"
        await client.call("join", {"text": "live"})
        await client.begin_poll()
        pair.a.rooms.emit("/", "live", "say", "here")
        assert (await client.getter.reply()).text.startswith('42["say","here"')
        assert (await client.call("who"))["ok"]
        assert pair.given_by_b.statistics().given == 2, "a connection that was handed over stays there"


async def test_the_upgrade_reaches_its_session_too(folder: Path) -> None:
    async with running_pair(folder) as pair:
        client = await PollingClient.viewer(pair.b)
        await client.begin_poll()
        query = f"EIO=4&transport=websocket&sid={client.opened['sid']}"
        viewer = await pair.a.websocket(query)
        await viewer.send("2probe")
        assert await viewer.text() == "3probe"
        assert (await client.getter.reply()).text == "6"
        await viewer.send("5")
        assert (await viewer.call("who"))["ok"]
        assert (pair.given_by_a.statistics().given, pair.given_by_b.statistics().taken) == (1, 1)
        assert (pair.a.counters.open_sessions, pair.b.counters.open_sessions) == (0, 1)


async def test_a_connection_is_handed_back_when_its_next_request_belongs_there(folder: Path) -> None:
    async with running_pair(folder) as pair:
        of_a, of_b = await PollingClient.viewer(pair.a), await PollingClient.viewer(pair.b)
        wire = Wire(await pair.a.connect(), pair.a.port)
        for _ in range(5):
            for client in (of_a, of_b):
                reply = await wire.ask("POST", client.path, b"4")
                assert (reply.status, reply.json["code"]) == (400, 3), "an empty Socket.IO packet is known to be wrong"
                again = await PollingClient.viewer(client.edge)
                client.path = again.path
                assert (await wire.ask("POST", client.path, b'42["note",{"text":"x"}]')).text == "ok"


async def test_what_was_read_goes_along(folder: Path) -> None:
    """Three requests in one segment, each for another edge than the one before; and a body that comes in pieces."""
    async with running_pair(folder) as pair:
        of_a, of_b = await PollingClient.viewer(pair.a), await PollingClient.viewer(pair.b)
        wire = Wire(await pair.a.connect(), pair.a.port)
        body = b'42["note",{"text":"1"}]'
        requests = [
            f"POST {client.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            for client in (of_b, of_a, of_b)
        ]
        await wire.stream.send_all(b"".join(requests))
        assert [(await wire.reply()).text for _ in requests] == ["ok", "ok", "ok"]
        await wire.stream.send_all(requests[1][:-10])
        await trio.testing.wait_all_tasks_blocked()
        await wire.stream.send_all(requests[1][-10:])
        assert (await wire.reply()).text == "ok"
        assert pair.given_by_a.statistics().given + pair.given_by_b.statistics().given == 4


async def test_100_continue_is_said_by_the_owner(folder: Path) -> None:
    async with running_pair(folder) as pair:
        client = await PollingClient.viewer(pair.a)
        wire = Wire(await pair.b.connect(), pair.b.port)
        await wire.send("POST", client.path, b"", Content_Length="23", Expect="100-continue")
        assert (await wire.reply()).status == 100
        await wire.stream.send_all(b'42["note",{"text":"1"}]')
        assert (await wire.reply()).text == "ok"


@pytest.mark.parametrize("sid", ["c.abc", "a.abc", "b.abc", "abc", "", "../x.abc", ".abc", "a", "x" * 500])
async def test_nobody_s_session_is_unknown(folder: Path, sid: str) -> None:
    async with running_pair(folder) as pair:
        reply = await Wire(await pair.b.connect(), pair.b.port).ask("GET", f"{PATH}&sid={sid}")
        assert (reply.status, reply.json["code"]) == (400, 1)


async def test_the_sessions_of_a_dead_process_are_unknown(folder: Path) -> None:
    with open_handover(folder, "b") as b:
        async with running_edge(folder, Studio().registry, place=Place(b)) as edge:
            wire = Wire(await edge.connect(), edge.port)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
                dead.bind(str(folder / "dead"))
                dead.settimeout(5)
                assert (await wire.ask("GET", "/healthz")).status == 200
            reply = await wire.ask("GET", f"{PATH}&sid=dead.1")
            assert (reply.status, reply.json["code"]) == (400, 1)
            assert (await wire.ask("GET", "/healthz")).status == 200, "the connection is still ours"


async def test_a_stuck_process_holds_up_only_who_asks_for_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "GIVE_LIMIT_S", 0.2)
    with open_handover(folder, "stuck"), open_handover(folder, "b") as b:
        async with running_edge(folder, Studio().registry, place=Place(b)) as edge, trio.open_nursery() as nursery:
            asked = 0
            while not b.statistics().refused:
                nursery.start_soon(_ask_and_leave, edge, f"{PATH}&sid=stuck.1")
                asked += 1
                await trio.testing.wait_all_tasks_blocked(0.02)
                client = await PollingClient.viewer(edge)
                assert (await client.call("who"))["ok"]
            reply = await Wire(await edge.connect(), edge.port).ask("GET", f"{PATH}&sid=stuck.1")
            assert (reply.status, reply.json["errorCode"]) == (503, "UNAVAILABLE")
            assert reply.headers["retry-after"] == "1"
            assert b.statistics().given < asked
            nursery.cancel_scope.cancel()


async def _ask_and_leave(edge: Edge, path: str) -> None:
    await Wire(await edge.connect(), edge.port).send("GET", path)


async def test_many_at_once_all_arrive(folder: Path) -> None:
    """More than the kernel holds for one receiver (net.unix.max_dgram_qlen)."""
    async with running_pair(folder) as pair:
        clients = [await PollingClient.viewer(pair.a) for _ in range(60)]

        async def go(client: PollingClient) -> None:
            await lost(client, pair.b)
            assert (await client.call("who"))["ok"]

        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(go, client)
        assert pair.given_by_b.statistics().given == pair.given_by_a.statistics().taken == 120


async def test_video_is_where_the_relays_are(folder: Path) -> None:
    (folder / "demo-stream.m3u8").write_text("#EXTM3U")
    async with running_pair(folder) as pair:
        wire = Wire(await pair.b.connect(), pair.b.port)
        assert (await wire.ask("GET", "/hls/demo-stream.m3u8")).text == "#EXTM3U"
        assert (await wire.ask("GET", "/live/other.flv")).json["errorCode"] == "STREAM_NOT_FOUND"
        stream = await pair.b.connect()
        await stream.send_all(b"GET /live/live/demo-stream.flv HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await pair.a.video.viewer_came.wait()
        received = b""
        while b"FLV\x01" not in received:
            received += await stream.receive_some(4096)
        assert pair.a.counters.open_videos == 1


async def test_video_out_of_reach_is_unavailable_not_unknown(folder: Path) -> None:
    with open_handover(folder, "b") as b:
        place = Place(b, video="gone")
        async with running_edge(folder, Studio().registry, place=place, video=NoVideo()) as edge:
            for path in ("/live/live/demo-stream.flv", "/hls/demo-stream.m3u8"):
                reply = await Wire(await edge.connect(), edge.port).ask("GET", path)
                assert (reply.status, reply.json["errorCode"]) == (503, "UNAVAILABLE")
                assert reply.headers["retry-after"] == "5"


async def test_who_takes_no_viewers_hands_new_sessions_on(folder: Path) -> None:
    with open_handover(folder, "main") as main, ExitStack() as stack:
        async with running_edge(folder, Studio().registry, place=Place(main, takes_viewers=False)) as edge:
            alone = await PollingClient.viewer(edge)
            assert alone.opened["sid"].startswith("main."), "there is nobody else"
            other = stack.enter_context(open_handover(folder, "b"))
            async with running_edge(folder, Studio().registry, place=Place(other)) as second:
                assert (await PollingClient.viewer(edge)).opened["sid"].startswith("b.")
                viewer = await edge.viewer()
                assert (await viewer.call("who"))["ok"]
                assert second.counters.open_sessions == 2
                assert (await alone.call("who"))["ok"]


async def test_each_process_tells_its_metrics(folder: Path) -> None:
    async with running_pair(folder) as pair:
        with open_handover(folder, "main") as main:
            found = await read_metrics(main)
        assert found == {"a": "edge_is_here 1\n", "b": "edge_is_here 1\n"}
        assert await _status(pair.a, "/metrics") == 200
        assert await _status(pair.a, "/metrics", X_Forwarded_For="203.0.113.9") == 404


async def _status(edge: Edge, path: str, **headers: str) -> int:
    return (await Wire(await edge.connect(), edge.port).ask("GET", path, **headers)).status


def test_metrics_of_several_processes_are_told_apart() -> None:
    registry = CollectorRegistry()
    Gauge("a", "", ["name"], registry=registry).labels("x").set(1)
    Counter("b", "", registry=registry).inc(2)
    Histogram("c", "", registry=registry, buckets=(1,)).observe(3)
    text = generate_latest(registry).decode()
    merged = merge_expositions({"main": text, "e1": text}).decode().splitlines()
    types = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert [line for line in merged if line.startswith("# TYPE")] == types
    for process in ("main", "e1"):
        for sample in ('a{name="x",%s} 1.0', "b_total{%s} 2.0", "c_sum{%s} 3.0", 'c_bucket{le="1.0",%s} 0.0'):
            assert sample % f'process="{process}"' in merged


async def test_a_cancelled_gift_is_kept(folder: Path) -> None:
    """The stuck neighbour's queue is full; who waits for room is cancelled and still has the socket."""
    with open_handover(folder, "stuck"), open_handover(folder, "b") as b, _pipe() as (ours, theirs):
        with trio.move_on_after(5):
            async with trio.open_nursery() as nursery:
                for _ in range(600):
                    nursery.start_soon(_give_copy, b, theirs)
                await trio.testing.wait_all_tasks_blocked(0.02)
                nursery.cancel_scope.cancel()
        assert theirs.fileno() >= 0
        theirs.send(b"x")
        assert ours.recv(1) == b"x"


async def _give_copy(giver: Handover, sock: socket.socket) -> None:
    with sock.dup() as copy:
        await giver.give("stuck", copy, "127.0.0.1", b"")


@contextmanager
def _pipe() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_the_folder_is_ours_alone_and_swept(folder: Path) -> None:
    (folder / "run").mkdir(mode=0o755)
    for name in ("old", "young"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
            dead.bind(str(folder / "run" / name))
    os.utime(folder / "run" / "old", (0, 0))
    with open_handover(folder / "run", "alive") as alive:
        assert (folder / "run").stat().st_mode & 0o777 == 0o700
        os.utime(folder / "run" / "alive", (0, 0))
        with open_handover(folder / "run", "b"):
            assert alive.others() == ["b", "young"]
        alive.bury("young")
    assert list((folder / "run").iterdir()) == []


def test_a_path_that_no_socket_can_have_is_named(folder: Path) -> None:
    deep = folder / ("x" * 90)
    with pytest.raises(OSError, match=str(deep)), open_handover(deep, "main"):
        raise AssertionError


def test_names_are_short_and_new() -> None:
    assert len(new_name("e12")) == 8
    assert len({new_name("e1") for _ in range(50)}) == 50


async def test_a_wrong_name_is_nobody(folder: Path) -> None:
    with open_handover(folder, "b") as b, _pipe() as (_, theirs):
        for name in ("b", "nobody", "", "../b", "B", "x" * 9):
            assert not await b.give(name, theirs, "127.0.0.1", b"")
        assert theirs.fileno() >= 0


async def test_a_websocket_of_its_own_needs_no_neighbour(folder: Path) -> None:
    async with running_pair(folder) as pair:
        viewer: RawClient = await pair.b.viewer()
        assert (await viewer.call("who"))["ok"]
        assert json.loads(json.dumps(attrs.asdict(pair.given_by_b.statistics())))["given"] == 0


async def test_a_full_process_is_no_refusal_of_another(folder: Path) -> None:
    """UNAVAILABLE of a stuck neighbour leaves this connection as it was."""
    with open_handover(folder, "b") as b, _pipe() as (_, theirs):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(handover, "GIVE_LIMIT_S", 0.05)
            with open_handover(folder, "stuck"):
                with pytest.raises(DoramiError, match="UNAVAILABLE"):
                    while True:
                        await _give_copy(b, theirs)
        assert b.statistics().refused == 1
