"""Engine.IO v4 by the case list of its public suite, where a message is an event of the echo plugin."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from echo_edge import SUITE, echo_edge
from edge_harness import Edge, RawClient
from polling_client import PATH, PollingClient, Reply, Wire

OPENED = {"pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000}


async def ask(edge: Edge, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
    return await Wire(await edge.connect(), edge.port).ask(method, path, body, **headers)


async def echo_socket(edge: Edge, namespace: str = "/", query: str = "EIO=4&transport=websocket") -> RawClient:
    client = await edge.websocket(query)
    assert (await client.text())[0] == "0"
    await client.join(namespace)
    assert '["auth",{}]' in await client.text()
    return client


async def echo_poller(edge: Edge) -> PollingClient:
    client = await PollingClient.viewer(edge)
    assert await client.next() == '42["auth",{}]'
    return client


# handshake


async def test_polling_opens_a_session(tmp_path: Path) -> None:
    async with echo_edge(tmp_path, **SUITE) as edge:
        reply = await ask(edge, "GET", PATH)
        assert (reply.status, reply.text[0]) == (200, "0")
        opened = json.loads(reply.text[1:])
        assert isinstance(opened.pop("sid"), str)
        assert opened == {"upgrades": ["websocket"], **OPENED}


async def test_a_websocket_opens_a_session(tmp_path: Path) -> None:
    async with echo_edge(tmp_path, **SUITE) as edge:
        text = await (await edge.websocket()).text()
        assert text[0] == "0"
        opened = json.loads(text[1:])
        assert isinstance(opened.pop("sid"), str)
        assert opened == {"upgrades": [], **OPENED}


@pytest.mark.parametrize("query", ["transport={}", "EIO=abc&transport={}", "EIO=3&transport={}"])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_a_version_that_is_not_spoken(tmp_path: Path, query: str, transport: str) -> None:
    await assert_refused(tmp_path, query.format(transport), transport)


@pytest.mark.parametrize("query", ["EIO=4", "EIO=4&transport=abc"])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_a_transport_that_does_not_exist(tmp_path: Path, query: str, transport: str) -> None:
    await assert_refused(tmp_path, query, transport)


async def assert_refused(folder: Path, query: str, transport: str) -> None:
    async with echo_edge(folder) as edge:
        if transport == "polling":
            assert (await ask(edge, "GET", f"/socket.io/?{query}")).status == 400
        else:
            client = RawClient(await edge.connect(), edge.port)
            assert await client.upgrade(f"/socket.io/?{query}", {}) == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD"])
async def test_a_method_that_opens_nothing(tmp_path: Path, method: str) -> None:
    async with echo_edge(tmp_path) as edge:
        wire = Wire(await edge.connect(), edge.port)
        await wire.send(method, PATH, None if method == "HEAD" else b"")
        head = await wire.stream.receive_some(1000)
        assert head.startswith(b"HTTP/1.1 400 ")
        assert edge.counters.open_sessions == 0


# messages


@pytest.mark.parametrize("texts", [["hello"], ["test1", "test2", "test3"]])
async def test_text_on_polling(tmp_path: Path, texts: list[str]) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await echo_poller(edge)
        await client.push(*[f'42["message","{text}"]' for text in texts])
        assert [await client.next() for _ in texts] == [f'42["message-back","{text}"]' for text in texts]


async def test_text_and_binary_on_polling(tmp_path: Path) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await echo_poller(edge)
        await client.push('42["message","hello"]', '451-["message",{"_placeholder":true,"num":0}]', "bAQIDBA==")
        assert await client.next() == '42["message-back","hello"]'
        assert await client.next() == '451-["message-back",{"_placeholder":true,"num":0}]'
        assert await client.next() == "bAQIDBA=="


@pytest.mark.parametrize("body", [b"abc", b"", b"4hello\x1eabc", b"bAQ", b"\xff"])
async def test_a_payload_that_is_none_closes_the_session(tmp_path: Path, body: bytes) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await PollingClient.open(edge)
        assert (await ask(edge, "POST", client.path, body)).status == 400
        assert (await ask(edge, "GET", client.path)).status == 400


async def test_two_polls_at_once_close_the_session(tmp_path: Path) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await PollingClient.open(edge)
        await client.begin_poll()
        assert (await ask(edge, "GET", client.path + "&t=burst")).status in (400, 500)
        reply = await client.getter.reply()
        assert (reply.status, reply.text) == (200, "1")
        assert (await ask(edge, "GET", client.path)).status == 400


async def test_text_on_a_websocket(tmp_path: Path) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await echo_socket(edge)
        await client.send('42["message","hello"]')
        assert await client.text() == '42["message-back","hello"]'


async def test_binary_on_a_websocket(tmp_path: Path) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await echo_socket(edge)
        await client.send('451-["message",{"_placeholder":true,"num":0}]')
        await client.send_frame(2, bytes([1, 2, 3, 4]))
        assert await client.text() == '451-["message-back",{"_placeholder":true,"num":0}]'
        assert await client.frame() == (2, bytes([1, 2, 3, 4]))


@pytest.mark.parametrize("packet", ["abc", "", "7", "2probe", "5"])
async def test_a_packet_that_is_none_closes_the_websocket(tmp_path: Path, packet: str) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await edge.websocket()
        await client.text()
        await client.send(packet)
        assert await client.close_code() == 1002
        await client.end()


# heartbeat


async def test_pings_and_pongs_on_polling(tmp_path: Path) -> None:
    async with echo_edge(tmp_path, **SUITE | {"ping_timeout_s": 20, "connect_timeout_s": 20}) as edge:
        client = await PollingClient.open(edge)
        for _ in range(3):
            assert await client.poll() == ["2"]
            await client.push("3")


async def test_pings_and_pongs_on_a_websocket(tmp_path: Path) -> None:
    async with echo_edge(tmp_path, **SUITE | {"ping_timeout_s": 20, "connect_timeout_s": 20}) as edge:
        client = await edge.websocket()
        await client.text()
        for _ in range(3):
            assert await client.text() == "2"
            await client.send("3")


async def test_without_a_pong_polling_ends(tmp_path: Path) -> None:
    async with echo_edge(tmp_path, **SUITE | {"connect_timeout_s": 20}) as edge:
        client = await PollingClient.open(edge)
        assert await client.poll() == ["2"]
        with trio.fail_after(60):
            reply = await client.getter.ask("GET", client.path)
        assert (reply.status, reply.text) == (200, "1")
        assert (await ask(edge, "GET", client.path)).status == 400
        assert edge.counters.disconnects == {"ping_timeout": 1}


async def test_without_a_pong_the_websocket_ends(tmp_path: Path) -> None:
    async with echo_edge(tmp_path, **SUITE | {"connect_timeout_s": 20}) as edge:
        client = await edge.websocket()
        with trio.fail_after(60):
            await client.end()
        await trio.testing.wait_all_tasks_blocked()
        assert edge.counters.disconnects == {"ping_timeout": 1}


# the end


async def test_a_close_packet_ends_polling(tmp_path: Path) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await PollingClient.open(edge)
        await client.begin_poll()
        await client.push("1")
        reply = await client.getter.reply()
        assert (reply.status, reply.text) == (200, "6")
        assert (await ask(edge, "GET", client.path)).status == 400


async def test_a_close_packet_ends_the_websocket(tmp_path: Path) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await edge.websocket()
        await client.text()
        await client.send("1")
        await client.end()
        await trio.testing.wait_all_tasks_blocked()
        assert edge.counters.disconnects == {"transport_close": 1}


# upgrade


async def test_polling_becomes_a_websocket(tmp_path: Path) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await echo_poller(edge)
        socket = await client.probed()
        assert await client.poll() == ["6"]
        await socket.send("5")
        await socket.send('42["message","hello"]')
        assert await socket.text() == '42["message-back","hello"]'


async def upgraded(edge: Edge) -> tuple[PollingClient, RawClient]:
    """Without waiting for the probe's answer."""
    client = await echo_poller(edge)
    socket = await client.websocket()
    await socket.send("2probe")
    await socket.send("5")
    assert await socket.text() == "3probe"
    await trio.testing.wait_all_tasks_blocked()
    return client, socket


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", b'42["message","lost"]')])
async def test_after_the_upgrade_polling_is_over(tmp_path: Path, method: str, body: bytes | None) -> None:
    async with echo_edge(tmp_path) as edge:
        client, socket = await upgraded(edge)
        assert (await ask(edge, method, client.path, body)).status == 400
        await socket.send('42["message","hello"]')
        assert await socket.text() == '42["message-back","hello"]'


async def test_after_the_upgrade_no_other_websocket_has_the_session(tmp_path: Path) -> None:
    async with echo_edge(tmp_path) as edge:
        client, socket = await upgraded(edge)
        await (await client.websocket()).end()
        await socket.send('42["message","hello"]')
        assert await socket.text() == '42["message-back","hello"]'


async def test_messages_of_any_bytes_survive_both_transports(tmp_path: Path) -> None:
    everything: list[Any] = ['가나다 😀 \u2028 \x00 \x1e " \\', {"": None}, [1.5, -0.0, 2**53], "x" * 70_000]
    async with echo_edge(tmp_path) as edge:
        client, poller = await echo_socket(edge), await echo_poller(edge)
        text = msgspec.json.encode(["message", *everything]).decode()
        await client.send(f"42{text}")
        assert json.loads((await client.text())[2:]) == ["message-back", *everything]
        await poller.push(f"42{text}")
        assert json.loads((await poller.next())[2:]) == ["message-back", *everything]
        raw = bytes(range(256)) * 300
        head = '451-["message",{"_placeholder":true,"num":0}]'
        await client.send(head)
        await client.send_frame(2, raw)
        assert [(await client.frame())[1] for _ in range(2)][1] == raw
        await poller.push(head, "b" + base64.b64encode(raw).decode())
        assert [await poller.next() for _ in range(2)][1] == "b" + base64.b64encode(raw).decode()
