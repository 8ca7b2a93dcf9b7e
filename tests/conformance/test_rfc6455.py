"""RFC 6455, case by case: our parser and encoder behind a plain echo, and the edge with its echo plugin."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from echo_edge import echo_edge
from edge_harness import Edge, RawClient
from websocket_cases import FAIL_FAST, LIMIT, SECTIONS, Case, Frame
from websocket_client import Connect, as_events, encode, put, receive_event, receive_frame

from dorami_core.edge import websocket
from dorami_core.edge.websocket import FrameParser, Opcode, WebSocketError, encode_close, encode_frame


def answer(event: websocket.Event) -> bytes:
    match event:
        case websocket.Text(text):
            return encode_frame(Opcode.TEXT, text.encode())
        case websocket.Binary(data):
            return encode_frame(Opcode.BINARY, data)
        case websocket.Ping(data):
            return encode_frame(Opcode.PONG, data)
        case websocket.Close(code):
            return encode_close(code)
    return b""


async def echo(stream: trio.SocketStream, *, read_bytes: int) -> None:
    """A connection after its upgrade, until its end."""
    parser = FrameParser(LIMIT)
    is_open = True
    async with stream:
        while is_open and (data := await stream.receive_some(read_bytes)):
            parser.feed(data)
            try:
                while (event := parser.next_event()) is not None:
                    await stream.send_all(answer(event))
                    is_open = is_open and not isinstance(event, websocket.Close)
            except WebSocketError as error:
                await stream.send_all(encode_close(error.code))
                is_open = False
        await stream.send_eof()
        while await stream.receive_some(65536):
            pass


@asynccontextmanager
async def plain_echo(read_bytes: int) -> AsyncIterator[Connect]:
    async def serve(stream: trio.SocketStream) -> None:
        try:
            await echo(stream, read_bytes=read_bytes)
        except trio.BrokenResourceError:
            return

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, serve, listeners)

        async def connect() -> RawClient:
            return RawClient(await trio.open_tcp_stream("127.0.0.1", port), port)

        yield connect
        nursery.cancel_scope.cancel()


async def violations(cases: list[Case], connect: Connect, receive: Callable[..., Any], **how: bool) -> dict[str, str]:
    """By the number of the case."""
    found = {case.number: await put(case, connect, receive, **how) for case in cases}
    return {number: problem for number, problem in found.items() if problem}


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("read_bytes", [1, 7, 65536])
async def test_the_plain_echo(section: str, read_bytes: int) -> None:
    limit = {1: 5000, 7: 70_000}.get(read_bytes, 2 * LIMIT)
    cases = [case for case in SECTIONS[section] if sum(len(frame.payload) for frame in case.frames) < limit]
    async with plain_echo(read_bytes) as connect:
        assert await violations(cases, connect, receive_frame, chopped=False, in_step=True) == {}


async def open_socket(edge: Edge) -> RawClient:
    client = await edge.websocket()
    await client.text()
    await client.send("40")
    await client.text()
    assert await client.text() == '42["auth",{}]'
    return client


@pytest.mark.parametrize("chopped", [False, True], ids=["whole", "chopped"])
@pytest.mark.parametrize("section", SECTIONS)
async def test_the_edge(tmp_path: Path, section: str, chopped: bool) -> None:
    cases = [
        attrs.evolve(case, frames=frames)
        for case in SECTIONS[section]
        if (frames := as_events(case.frames)) is not None
    ]
    assert cases
    async with echo_edge(tmp_path, max_payload_bytes=LIMIT, queue_max_bytes=4 * LIMIT) as edge:
        other = await open_socket(edge)
        assert (
            await violations(cases, functools.partial(open_socket, edge), receive_event, chopped=chopped, in_step=False)
            == {}
        )
        await other.send('42["message","still here"]')
        assert await other.text() == '42["message-back","still here"]'


def unfinished(start: bytes) -> bytes:
    """A frame of which all but the last hundred bytes has come."""
    whole = encode(Frame(payload=start + b"x" * 100))
    return whole[:-100]


@pytest.mark.parametrize("prefix", [b"", b'42["message","'], ids=["plain", "edge"])
@pytest.mark.parametrize(("number", "start"), FAIL_FAST)
async def test_text_that_is_lost_is_refused_at_once(tmp_path: Path, number: str, start: bytes, prefix: bytes) -> None:
    for wire in (unfinished(prefix + start), encode(Frame(payload=prefix + start, fin=False))):
        if prefix:
            async with echo_edge(tmp_path) as edge:
                client = await open_socket(edge)
                await client.stream.send_all(wire)
                assert await client.close_code() == 1007, number
        else:
            async with plain_echo(65536) as connect:
                client = await connect()
                await client.stream.send_all(wire)
                assert await client.close_code() == 1007, number
                client.stream.socket.close()


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits; server_max_window_bits=10",
        "permessage-deflate; client_no_context_takeover, permessage-bzip2",
        "x-webkit-deflate-frame",
        "nonsense; =,;",
    ],
)
async def test_compression_is_refused_politely(tmp_path: Path, offer: str) -> None:
    """12 and 13: the offer is passed over, the connection goes on without, and a compressed frame is a violation."""
    async with echo_edge(tmp_path) as edge:
        client = await edge.websocket(Sec_WebSocket_Extensions=offer)
        assert b"sec-websocket-extensions" not in client.head.lower()
        assert (await client.text())[0] == "0"
        await client.send("40")
        assert (await client.text()).startswith("40")
        await client.stream.send_all(encode(Frame(payload=b"\xcaH\xcd\xc9\xc9\x07\x00", rsv=4)))
        assert await client.close_code() == 1002


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 101),
        ({"Connection": "keep-alive, Upgrade"}, 101),
        ({"Upgrade": "WebSocket"}, 101),
        ({"Sec_WebSocket_Protocol": "chat, superchat"}, 101),
        ({"Upgrade": "h2c"}, 400),
        ({"Connection": "close"}, 400),
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Version": ""}, 426),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
        ({"Sec_WebSocket_Key": "@@@"}, 400),
        ({"Sec_WebSocket_Key": ""}, 400),
    ],
)
async def test_the_opening_handshake(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    """RFC 6455, 4.2."""
    async with echo_edge(tmp_path) as edge:
        client = RawClient(await edge.connect(), edge.port)
        assert await client.upgrade("/socket.io/?EIO=4&transport=websocket", headers) == status
        head = client.head.lower()
        if status == 101:
            assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in head
            assert b"upgrade: websocket" in head
            assert b"connection: upgrade" in head
            assert b"sec-websocket-protocol" not in head
        if status == 426:
            assert b"sec-websocket-version: 13" in head
