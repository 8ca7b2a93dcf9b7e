"""Socket.IO v5 by the case list of its public suite, against the echo plugin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from echo_edge import SUITE, echo_edge
from edge_harness import RawClient
from test_engineio_protocol import echo_socket

PLACEHOLDERS = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
ATTACHMENTS = [b"\x01\x02\x03", b"\x04\x05\x06"]


# connect


@pytest.mark.parametrize("auth", ["", '{"token":"123"}'])
@pytest.mark.parametrize("prefix", ["", "/custom,"])
async def test_a_namespace_lets_in(tmp_path: Path, prefix: str, auth: str) -> None:
    async with echo_edge(tmp_path, **SUITE) as edge:
        client = await edge.websocket()
        await client.text()
        await client.send(f"40{prefix}{auth}")
        reply = await client.text()
        assert reply.startswith(f"40{prefix}{{")
        sid = json.loads(reply.removeprefix(f"40{prefix}"))
        assert list(sid) == ["sid"]
        assert isinstance(sid["sid"], str)
        assert await client.text() == f'42{prefix}["auth",{auth or "{}"}]'


async def test_an_unknown_namespace_does_not(tmp_path: Path) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await edge.websocket()
        await client.text()
        await client.send("40/random")
        assert await client.text() == '44/random,{"message":"Invalid namespace"}'


@pytest.mark.parametrize("packet", ["4abc", "4", '42["message"]', "41", "43", "40[]", '40"x"', "41/custom,", "44{}"])
async def test_what_is_no_handshake_closes(tmp_path: Path, packet: str) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await edge.websocket()
        await client.text()
        await client.send(packet)
        assert await client.close_code() == 1002
        await client.end()


async def test_no_handshake_at_all_closes(tmp_path: Path) -> None:
    async with echo_edge(tmp_path, **SUITE | {"ping_timeout_s": 20, "connect_timeout_s": 0.3}) as edge:
        client = await edge.websocket()
        with trio.fail_after(60):
            await client.end()
        await trio.testing.wait_all_tasks_blocked()
        assert edge.counters.disconnects == {"connect_timeout": 1}


# disconnect


async def test_the_main_namespace_is_left(tmp_path: Path) -> None:
    async with echo_edge(tmp_path, **SUITE | {"ping_timeout_s": 20}) as edge:
        client = await echo_socket(edge)
        await client.send("41")
        assert await client.text() == "2", "the connection lives on"
        await client.send("3")
        await client.send('42["message",1]')
        assert await client.text() == "2", "and says nothing more there"


async def test_a_custom_namespace_is_left(tmp_path: Path) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await echo_socket(edge)
        await client.send("40/custom")
        assert (await client.text()).startswith("40/custom,")
        assert await client.text() == '42/custom,["auth",{}]'
        await client.send("41/custom")
        await client.send('42["message","message to main namespace"]')
        assert await client.text() == '42["message-back","message to main namespace"]'


# messages


@pytest.mark.parametrize("arguments", ['1,"2",{"3":[true]}', "", "null", "[]", '"가 😀"', "1.5,-0.0,true"])
async def test_plain_events(tmp_path: Path, arguments: str) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await echo_socket(edge)
        said = ["message", *json.loads(f"[{arguments}]")]
        await client.send(f"42{json.dumps(said)}")
        heard = await client.text()
        assert heard.startswith('42["message-back"')
        assert json.loads(heard[2:]) == ["message-back", *said[1:]]


async def hear_attachments(client: RawClient) -> tuple[str, list[bytes]]:
    return await client.text(), [(await client.frame())[1] for _ in ATTACHMENTS]


async def send_attachments(client: RawClient, text: str) -> None:
    await client.send(text)
    for data in ATTACHMENTS:
        await client.send_frame(2, data)


async def test_events_with_attachments(tmp_path: Path) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await echo_socket(edge)
        await send_attachments(client, f'452-["message",{PLACEHOLDERS}]')
        assert await hear_attachments(client) == (f'452-["message-back",{PLACEHOLDERS}]', ATTACHMENTS)


@pytest.mark.parametrize("arguments", ['1,"2",{"3":[false]}', "", "null"])
@pytest.mark.parametrize("prefix", ["", "/custom,"])
async def test_acknowledged_events(tmp_path: Path, prefix: str, arguments: str) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await echo_socket(edge, prefix.rstrip(",") or "/")
        comma = "," if arguments else ""
        await client.send(f'42{prefix}456["message-with-ack"{comma}{arguments}]')
        assert await client.text() == f"43{prefix}456[{arguments}]"


async def test_acknowledged_events_with_attachments(tmp_path: Path) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await echo_socket(edge)
        await send_attachments(client, f'452-789["message-with-ack",{PLACEHOLDERS}]')
        assert await hear_attachments(client) == (f"462-789[{PLACEHOLDERS}]", ATTACHMENTS)


async def test_the_client_acknowledges_too(tmp_path: Path) -> None:
    async with echo_edge(tmp_path) as edge:
        client = await echo_socket(edge)
        await client.send('427["ask-me","how","are you"]')
        assert await client.text() == '420["question","how","are you"]'
        await client.send('430["fine"]')
        assert await client.text() == '437["fine"]'
        await client.send('428["ask-me"]')
        assert await client.text() == '421["question"]'
        await send_attachments(client, f"462-1[[{PLACEHOLDERS}]]")
        assert await hear_attachments(client) == (f"462-8[[{PLACEHOLDERS}]]", ATTACHMENTS)


@pytest.mark.parametrize(
    "packet",
    [
        "4abc",
        "42{}",
        '42abc["message-with-ack",1,"2",{"3":[false]}]',
        "42[]",
        "42",
        "49",
        '42["message"',
        '45["message"]',
        '45-["message"]',
        '4511-["message"]',
        "42[{}]",
        "43[1]",
        '44{"message":"x"}',
        "40",
    ],
)
async def test_what_closes_the_connection(tmp_path: Path, packet: str) -> None:
    async with echo_edge(tmp_path) as edge:
        client, other = await echo_socket(edge), await echo_socket(edge)
        await client.send(packet)
        assert await client.close_code() == 1002
        await client.end()
        await other.send('42["message"]')
        assert await other.text() == '42["message-back"]'
