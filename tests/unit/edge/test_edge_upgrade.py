"""From long polling to WebSocket: the probe, what is in flight, and who may not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from edge_harness import running_edge, without_offset
from polling_client import PollingClient
from test_edge_sockets import Studio

from dorami_core.edge import engine_transport
from dorami_core.edge.sessions import SessionTable


async def test_the_probe_frees_the_poll_and_the_socket_takes_over(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.viewer(edge)
        await client.call("join", {"text": "live"})
        await client.begin_poll()
        socket = await client.probed()
        assert (await client.getter.reply()).text == "6"
        assert await client.poll() == ["6"]
        edge.rooms.emit("/", "live", "say", "between")
        await trio.testing.wait_all_tasks_blocked()
        await socket.send("5")
        assert without_offset(await socket.text()) == '42["say","between"]'
        assert (await socket.call("who"))["data"]["rooms"] == ["live"]
        reply = await client.getter.ask("GET", client.path)
        assert (reply.status, reply.json["code"]) == (400, 3)
        edge.rooms.emit("/", "live", "say", "after")
        assert without_offset(await socket.text()) == '42["say","after"]'
        assert edge.counters.open_sessions == 1
        await socket.send("1")
        assert await socket.close_code() == 1000
        assert edge.counters.disconnects == {"transport_close": 1}


async def test_nothing_is_lost_or_doubled_or_out_of_order(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry, queue_max_bytes=1_000_000) as edge:
        for round_ in range(15):
            client = await PollingClient.viewer(edge)
            await client.call("join", {"text": "live"})
            studio.handled.clear()
            heard: list[int] = []
            said = 0

            def say(count: int) -> None:
                nonlocal said
                for _ in range(count):
                    edge.rooms.emit("/", "live", "n", [said, "x" * 5000])
                    said += 1

            def hear(packets: list[str]) -> None:
                heard.extend(json.loads(packet[2:])[1][0] for packet in packets if packet[:2] == "42")  # noqa: B023

            say(round_)
            await client.push('42["note",{"text":"0"}]')
            await client.getter.send("GET", client.path)
            socket = await client.websocket()
            say(3)
            await socket.send("2probe")
            say(round_ % 4)
            await client.push('42["note",{"text":"1"}]')
            assert await socket.text() == "3probe"
            hear((await client.getter.reply()).text.split("\x1e"))
            say(20)
            await socket.send("5")
            await socket.send('42["note",{"text":"2"}]')
            say(5)
            while len(heard) < said:
                hear([await socket.text()])
            assert heard == list(range(said))
            await socket.call("who")
            assert studio.handled == ["0", "1", "2"]
            await socket.send("1")
            await socket.close_code()


async def test_what_follows_in_the_same_read_is_not_forgotten(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.viewer(edge)
        socket = await client.websocket()
        for packet in ("2probe", "5", '427["who"]'):
            await socket.send(packet)
        assert await socket.text() == "3probe"
        assert (await socket.text()).startswith('437[{"ok":true')


async def test_one_websocket_for_a_session(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.viewer(edge)
        first = await client.websocket()
        assert await (await client.websocket()).close_code() == 1008
        await first.send("2probe")
        assert await first.text() == "3probe"
        await first.send("5")
        assert (await first.call("who"))["ok"]
        assert await (await client.websocket()).close_code() == 1008
        assert (await first.call("who"))["ok"]


@pytest.mark.parametrize("packets", [["4hello"], ["2"], ["2probe", "4hello"], ["2probe", "2probe"]])
async def test_a_failed_probe_leaves_the_session_on_polling(tmp_path: Path, packets: list[str]) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.viewer(edge)
        await client.begin_poll()
        socket = await client.websocket()
        *probe, wrong = packets
        if probe:
            await socket.send("2probe")
            assert await socket.text() == "3probe"
            assert (await client.getter.reply()).text == "6"
        await socket.send(wrong)
        assert await socket.close_code() == 1002
        if probe:
            await client.begin_poll()
        await client.push('427["who"]')
        assert (await client.getter.reply()).text.startswith("437[")
        socket = await client.probed()
        await socket.send("5")
        assert (await socket.call("who"))["ok"]
        assert edge.counters.disconnects == {}


async def test_a_probe_that_stops_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_transport, "UPGRADE_TIMEOUT_S", 0.05)
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.viewer(edge)
        silent = await client.websocket()
        assert await silent.close_code() == 1000
        half = await client.probed()
        assert await half.close_code() == 1000
        assert (await client.call("who"))["ok"]


async def test_the_end_of_the_session_ends_the_probe(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.viewer(edge)
        socket = await client.probed()
        await client.push("1")
        assert await socket.close_code() == 1000
        assert not await client.is_known()


async def test_a_post_in_the_middle_of_the_upgrade_ends_the_session(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.viewer(edge)
        socket = await client.probed()
        await client.poster.send("POST", client.path, b"4", Content_Length="20")
        await trio.testing.wait_all_tasks_blocked()
        await socket.send("5")
        assert await socket.close_code() == 1000
        assert edge.counters.disconnects == {"overlap": 1}


def test_only_the_last_sessions_that_moved_are_remembered() -> None:
    table = SessionTable()
    for number in range(1001):
        table.move(str(number))
    assert not table.has_moved("0")
    assert table.has_moved("1")
    assert table.has_moved("1000")


async def test_a_probe_ends_with_the_server(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await PollingClient.viewer(edge)
        socket = await client.probed()
        edge.stop()
        with trio.CancelScope(shield=True):
            assert await socket.close_code() == 1001
    assert edge.counters.disconnects == {"going_down": 1}


async def test_an_unknown_session_cannot_be_taken_over(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        own = await edge.websocket()
        sid = json.loads((await own.text())[1:])["sid"]
        for unknown in ("nobody", sid):
            with pytest.raises(AssertionError, match="400"):
                await edge.websocket(f"EIO=4&transport=websocket&sid={unknown}")
