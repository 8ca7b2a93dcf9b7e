"""Long polling over real connections: packets, refusals, heartbeat, queue policy, endings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from edge_harness import running_edge, without_offset
from polling_client import PATH, PollingClient, Wire
from test_edge_sockets import Studio

from dorami_core.edge.sessions import SessionTable
from dorami_core.hooks.sockets import Delivery


async def test_a_session(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.open(edge)
        assert client.opened["upgrades"] == ["websocket"]
        assert (client.opened["pingInterval"], client.opened["maxPayload"]) == (25000, 1_000_000)
        await client.push("40", "40/chat,")
        root, chat = await client.poll()
        assert json.loads(root[2:])["guestToken"] == json.loads(chat[8:])["guestToken"] == "signed:1"
        assert (await client.call("join", {"text": "live"}))["ok"]
        assert (await client.call("who"))["data"]["rooms"] == ["live"]
        await client.begin_poll()
        edge.rooms.emit("/", "live", "say", "가")
        reply = await client.getter.reply()
        assert (reply.status, without_offset(reply.text)) == (200, '42["say","가"]')
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["content-type"] == "text/plain; charset=UTF-8"
        assert edge.counters.accepted == 2, "connections are kept"
        assert edge.counters.open_sessions == 1


async def test_what_gathers_between_polls_comes_in_order_and_bounded(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry, max_payload_bytes=1000) as edge:
        client = await PollingClient.viewer(edge)
        await client.call("join", {"text": "live"})
        for number in range(20):
            edge.rooms.emit("/", "live", "n", [number, "x" * 100])
        edge.rooms.emit("/", "live", "n", [20, "y" * 5000])
        edge.rooms.emit("/", "live", "n", [21])
        await trio.testing.wait_all_tasks_blocked()
        heard: list[int] = []
        answers = 0
        while len(heard) < 22:
            packets = await client.poll()
            assert len("\x1e".join(packets)) <= 1000 or len(packets) == 1
            heard += [json.loads(packet[2:])[1][0] for packet in packets]
            answers += 1
        assert heard == list(range(22))
        assert answers == 5


async def test_binary_both_ways(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.viewer(edge)
        await client.push('451-7["blob",{"data":{"_placeholder":true,"num":0}}]', "bAQIDBA==")
        assert await client.next() == '437[{"ok":true,"data":4}]'
        await client.push('451-["mirror",{"data":{"_placeholder":true,"num":0}}]', "bAQIDBA==")
        assert await client.poll() == ['451-["mirrored",{"data":{"_placeholder":true,"num":0},"size":4}]', "bAQIDBA=="]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/socket.io/?EIO=4", 400, 0),
        ("GET", "/socket.io/?EIO=4&transport=abc", 400, 0),
        ("GET", "/socket.io/?transport=polling", 400, 5),
        ("GET", "/socket.io/?EIO=3&transport=polling", 400, 5),
        ("POST", PATH, 400, 2),
        ("PUT", PATH, 400, 2),
        ("GET", PATH + "&sid=unknown", 400, 1),
        ("POST", PATH + "&sid=unknown", 400, 1),
        ("DELETE", PATH + "&sid=unknown", 400, 2),
        ("POST", "/socket.io/?EIO=4&transport=websocket", 400, 2),
    ],
)
async def test_refusals(tmp_path: Path, method: str, path: str, status: int, code: int) -> None:
    messages = {
        0: "Transport unknown",
        1: "Session ID unknown",
        2: "Bad handshake method",
        5: "Unsupported protocol version",
    }
    async with running_edge(tmp_path, Studio().registry) as edge:
        wire = Wire(await edge.connect(), edge.port)
        reply = await wire.ask(method, path, b"" if method != "GET" else None)
        assert (reply.status, reply.json) == (status, {"code": code, "message": messages[code]})
        assert reply.headers["cache-control"] == "no-store"


async def test_origins(tmp_path: Path) -> None:
    page = "https://partner.example"
    async with running_edge(tmp_path, Studio().registry, cors_origins=(page,)) as edge:
        client = await PollingClient.open(edge, Origin=page)
        reply = await client.poster.ask("POST", client.path, b"40", Origin=page)
        assert reply.headers["access-control-allow-origin"] == page
        assert reply.headers["access-control-allow-credentials"] == "true"
        assert reply.headers["vary"] == "Origin"
        reply = await client.poster.ask("OPTIONS", client.path, Origin=page, Access_Control_Request_Method="POST")
        assert (reply.status, reply.headers["access-control-allow-methods"]) == (204, "GET, POST, OPTIONS")
        for method, path in (("GET", PATH), ("POST", client.path)):
            reply = await client.poster.ask(
                method, path, b"" if method == "POST" else None, Origin="https://evil.example"
            )
            assert reply.status == 403
            assert "access-control-allow-origin" not in reply.headers
        assert (await client.poll())[0].startswith("40{")


async def test_a_second_poll_ends_the_session(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.viewer(edge)
        await client.begin_poll()
        second = await client.poster.ask("GET", client.path)
        assert (second.status, second.json["code"]) == (400, 3)
        first = await client.getter.reply()
        assert (first.status, first.text) == (200, "1")
        assert not await client.is_known()
        assert edge.counters.disconnects == {"overlap": 1}
        assert edge.counters.open_sessions == 0


async def test_a_second_post_ends_the_session(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.viewer(edge)
        await client.poster.send("POST", client.path, b'42["no', Content_Length="20")
        await trio.testing.wait_all_tasks_blocked()
        second = await client.getter.ask("POST", client.path, b"3")
        assert (second.status, second.json["code"]) == (400, 3)
        assert not await client.is_known()
        assert edge.counters.disconnects == {"overlap": 1}


async def test_a_poll_that_is_given_up_ends_the_session(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        client = await PollingClient.viewer(edge)
        await client.begin_poll()
        await client.getter.stream.aclose()
        with trio.fail_after(60):
            await studio.someone_left.wait()
        assert not await client.is_known()
        assert edge.counters.disconnects == {"transport_close": 1}


async def test_the_client_says_goodbye(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        client = await PollingClient.viewer(edge)
        await client.begin_poll()
        await client.push('42["note",{"text":"last words"}]', "1")
        assert (await client.getter.reply()).text == "6"
        assert not await client.is_known()
        with trio.fail_after(60):
            await studio.someone_left.wait()
        assert studio.handled == ["last words"]


async def test_a_poll_that_crosses_the_goodbye_is_no_error(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.viewer(edge)
        await client.push("1")
        assert not await client.is_known()
        assert await client.poll() == ["6"]
        assert (await client.getter.ask("GET", client.path)).status == 400


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"abc", 400, "parse_error"),
        (b"", 400, "parse_error"),
        (b"\xff", 400, "parse_error"),
        (b"bAQ", 400, "parse_error"),
        (b"42[]", 400, "parse_error"),
        (b"3\x1e5", 400, "parse_error"),
        (b"4" * 4001, 413, "message_too_big"),
    ],
)
async def test_bodies_that_end_the_session(tmp_path: Path, body: bytes, status: int, reason: str) -> None:
    async with running_edge(tmp_path, Studio().registry, max_payload_bytes=4000) as edge:
        client = await PollingClient.viewer(edge)
        assert (await client.poster.ask("POST", client.path, body)).status == status
        assert not await client.is_known()
        assert edge.counters.disconnects == {reason: 1}


async def test_a_chunked_body_is_bounded_too(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry, max_payload_bytes=4000) as edge:
        client = await PollingClient.viewer(edge)
        head = f"POST {client.path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        await client.poster.stream.send_all(head.encode() + b"fa0\r\n" + b"4" * 4000 + b"\r\n1\r\n4\r\n")
        reply = await client.poster.reply()
        assert (reply.status, reply.headers["connection"]) == (413, "close")
        assert not await client.is_known()


async def test_who_expects_100_gets_it(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.open(edge)
        await client.poster.send("POST", client.path, b"", Content_Length="2", Expect="100-continue")
        assert (await client.poster.reply()).status == 100
        await client.poster.stream.send_all(b"40")
        assert (await client.poster.reply()).text == "ok"


async def test_the_heartbeat(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry, ping_interval_s=0.05, ping_timeout_s=0.2) as edge:
        client = await PollingClient.viewer(edge)
        for _ in range(3):
            assert await client.poll() == ["2"]
            await client.push("3")
        assert await client.poll() == ["2"]
        assert await client.poll() == ["1"]
        assert edge.counters.disconnects == {"ping_timeout": 1}
        assert not await client.is_known()


async def test_who_never_polls_is_forgotten(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry, ping_interval_s=0.05, ping_timeout_s=0.05) as edge:
        client = await PollingClient.open(edge)
        await client.push("40")
        with trio.fail_after(60):
            await studio.someone_left.wait()
        assert edge.counters.disconnects == {"ping_timeout": 1}
        assert edge.rooms.statistics().sockets == 0
        assert not await client.is_known()


async def test_who_joins_nothing_is_closed(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry, connect_timeout_s=0.1) as edge:
        client = await PollingClient.open(edge)
        assert await client.poll() == ["1"]
        assert edge.counters.disconnects == {"connect_timeout": 1}


async def test_the_queue_keeps_its_policy(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry, queue_max_bytes=3000) as edge:
        client = await PollingClient.viewer(edge)
        await client.call("join", {"text": "live"})
        for number in range(50):
            edge.rooms.emit("/", "live", "count", number, delivery=Delivery.LATEST)
            edge.rooms.emit("/", "live", "chat", [number, "x" * 200], delivery=Delivery.DROPPABLE)
            await trio.testing.wait_all_tasks_blocked()
        edge.rooms.emit("/", "live", "stock", 1)
        await trio.testing.wait_all_tasks_blocked()
        packets = [json.loads(packet[2:]) for packet in await client.poll()]
        assert [packet for packet in packets if packet[0] == "count"] == [["count", 49]]
        kept = [packet[1][0] for packet in packets if packet[0] == "chat"]
        assert 5 < len(kept) < 20
        assert kept == list(range(50 - len(kept), 50))
        assert packets[-1][:-1] == ["stock", 1]


async def test_required_beyond_the_bound_ends_the_session(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry, queue_max_bytes=3000) as edge:
        client, other = await PollingClient.viewer(edge), await edge.viewer()
        for someone in (client, other):
            await someone.call("join", {"text": "live"})
        for number in range(20):
            edge.rooms.emit("/", "live", "n", [number, "x" * 200])
            assert (await other.text()).startswith(f'42["n",[{number},')
        with trio.fail_after(60):
            await studio.someone_left.wait()
        assert edge.counters.disconnects == {"queue_full": 1}
        assert not await client.is_known()
        assert (await other.call("who"))["ok"]


async def test_a_flood_waits_for_its_handlers(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        client, other = await PollingClient.viewer(edge), await edge.viewer()
        notes = [f'42["note",{{"text":"{number}"}}]' for number in range(200)]
        await client.poster.send("POST", client.path, "\x1e".join(['421["wait"]', *notes]).encode())
        with trio.fail_after(60):
            await studio.waiting.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert (await other.call("who"))["ok"]
        studio.gate.set()
        assert (await client.poster.reply()).text == "ok"
        assert await client.next() == '431[{"ok":true}]'
        assert (await client.call("who"))["ok"]
        assert studio.handled == ["wait", *map(str, range(200))]


async def test_going_down_tells_who_waits(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        waiting, silent = await PollingClient.viewer(edge), await PollingClient.viewer(edge)
        await waiting.begin_poll()
        edge.stop()
        with trio.CancelScope(shield=True):
            assert (await waiting.getter.reply()).text == "1"
    assert len(studio.left) == 2
    assert edge.counters.disconnects["going_down"] == 2
    assert edge.counters.open_sessions == 0
    del silent


async def test_sessions_without_a_use_give_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionTable.__init__, "__defaults__", (2,))
    async with running_edge(tmp_path, Studio().registry) as edge:
        joined, idle, late = await PollingClient.viewer(edge), *[await PollingClient.open(edge) for _ in range(2)]
        assert not await idle.is_known()
        await late.push("40")
        assert (await joined.call("who"))["ok"]
        reply = await Wire(await edge.connect(), edge.port).ask("GET", PATH)
        assert (reply.status, reply.json["errorCode"]) == (503, "UNAVAILABLE")
        await late.push("1")
        await PollingClient.open(edge)
        assert edge.counters.disconnects == {"crowded_out": 1, "transport_close": 1}


async def test_no_task_for_a_session_between_its_requests(tmp_path: Path) -> None:
    async def tasks() -> int:
        await trio.testing.wait_all_tasks_blocked()
        return trio.lowlevel.current_statistics().tasks_living

    async with running_edge(tmp_path, Studio().registry) as edge:
        before = await tasks()
        for _ in range(5):
            client = await PollingClient.viewer(edge)
            for wire in (client.getter, client.poster):
                await wire.stream.aclose()
        assert await tasks() == before
        assert edge.counters.open_sessions == 5


async def test_a_pipelined_request_waits_for_its_turn(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.viewer(edge)
        await client.begin_poll()
        await client.getter.send("GET", "/healthz")
        await trio.testing.wait_all_tasks_blocked()
        await client.push('427["who"]')
        assert (await client.getter.reply()).text.startswith("437[")
        health: Any = (await client.getter.reply()).json
        assert health == {"status": "ok"}
