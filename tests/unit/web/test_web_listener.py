"""Starting and stopping the listener, and what the request's address is."""

from __future__ import annotations

import pytest
import trio
from quart_trio import QuartTrio
from web_site import Site

from dorami_core.base.peers import Proxies, host_name, is_loopback, is_served
from dorami_core.web.serve import GRACE_S, serve_web


@pytest.mark.plain_trio
async def test_an_idle_connection_does_not_hold_up_a_stop() -> None:
    app = QuartTrio("dorami_core.web", static_folder=None)
    stop = trio.Event()

    async def hello() -> str:
        return "hello"

    app.add_url_rule("/", "hello", hello)
    with trio.fail_after(GRACE_S + 3):
        async with trio.open_nursery() as nursery:

            async def serve(task_status: trio.TaskStatus[int]) -> None:
                await serve_web(app, "127.0.0.1", 0, shutdown_trigger=stop.wait, task_status=task_status)

            port = await nursery.start(serve)
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = b""
                while not answer.endswith(b"hello"):
                    answer += await stream.receive_some(65536)
                stop.set()
                while await stream.receive_some(65536):
                    pass
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream("127.0.0.1", port)


async def test_a_websocket_is_not_found_here(site: Site) -> None:
    handshake = (
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with await trio.open_tcp_stream("127.0.0.1", int(site.url.rpartition(":")[2])) as stream:
        await stream.send_all(handshake.encode())
        answer = await stream.receive_some(65536)
    assert answer.startswith(b"HTTP/1.1 404 ")


def test_addresses() -> None:
    assert is_loopback("127.9.9.9")
    assert is_loopback("::1")
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("10.0.0.1")
    assert not is_loopback("")
    assert host_name("[::1]:80") == "[::1]"
    assert host_name("") is None
    assert is_served("192.0.2.7:8000", ())
    assert not is_served("shop.example.", ("shop.example",))


def test_proxies() -> None:
    proxies = Proxies(["10.0.0.0/8", "::1"])
    headers = {"x-forwarded-for": "6.6.6.6, 203.0.113.9, 10.1.1.1", "x-forwarded-proto": "https"}
    assert (proxies.client("10.0.0.1", "http", headers).peer) == "203.0.113.9"
    assert (proxies.client("10.0.0.1", "http", headers).scheme) == "https"
    assert (proxies.client("203.0.113.1", "http", headers).peer) == "203.0.113.1"
    assert (proxies.client("10.0.0.1", "http", {"x-forwarded-for": "nonsense"}).peer) == "10.0.0.1"
    assert proxies.trusts("::ffff:10.9.9.9")
    with pytest.raises(ValueError, match="nonsense"):
        Proxies(["nonsense"])


async def test_a_refused_request_leaves_its_connection_fit_for_the_next(site: Site) -> None:
    """An answer that is out before the body is in would cost the connection, or the next request on it."""
    head = b"POST /api/things HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    async with await trio.open_tcp_stream("127.0.0.1", int(site.url.rpartition(":")[2])) as stream:
        await stream.send_all(head)
        seen = b""
        with trio.move_on_after(0.1):
            seen += await stream.receive_some(65536)
        assert seen == b""
        await stream.send_all(b"[" * 1000 + b"GET /api/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with trio.fail_after(60):
            while b'"status":"ok"' not in seen:
                received = await stream.receive_some(65536)
                assert received, "the connection was closed"
                seen += received
    assert b"statusCode" in seen
