"""A real edge on loopback: HTTP, upgrades, video, limits, and its end."""

from __future__ import annotations

import errno
import json
import socket
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from edge_harness import Edge, running_edge

from dorami_core.edge import server
from dorami_core.edge.sockets import SocketRegistry


@attrs.frozen
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def read_reply(stream: trio.SocketStream, buffer: bytearray, *, head: bool = False) -> Reply:
    with trio.fail_after(60):
        while b"\r\n\r\n" not in buffer:
            data = await stream.receive_some(65536)
            assert data, "closed before the head was complete"
            buffer += data
        raw, _, rest = bytes(buffer).partition(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        size = 0 if head else int(headers.get("content-length", 0))
        while len(rest) < size:
            data = await stream.receive_some(65536)
            assert data, "closed before the body was complete"
            rest += data
        buffer[:] = rest[size:]
        return Reply(int(lines[0].split()[1]), headers, rest[:size])


async def ask(edge: Edge, path: str, method: str = "GET", **headers: str) -> Reply:
    lines = {"Host": f"127.0.0.1:{edge.port}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    text = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    async with await edge.connect() as stream:
        await stream.send_all(text.encode() + b"\r\n")
        return await read_reply(stream, bytearray(), head=method == "HEAD")


UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
SOCKET = "/socket.io/?EIO=4&transport=websocket"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    hls = tmp_path / "hls"
    hls.mkdir()
    (hls / "demo-stream.m3u8").write_text("#EXTM3U\n")
    (hls / "demo-stream-s1.m4s").write_bytes(b"G" * 300_000)
    (hls / "init.mp4").write_bytes(b"ftyp")
    (tmp_path / "secret.m4s").write_text("secret")
    return hls


async def test_playlists_and_segments(folder: Path) -> None:
    async with running_edge(folder) as edge:
        for path in ("/hls/demo-stream.m3u8", "/live/demo-stream.m3u8"):
            reply = await ask(edge, path)
            assert (reply.status, reply.body) == (200, b"#EXTM3U\n")
            assert reply.headers["content-type"] == "application/vnd.apple.mpegurl"
            assert reply.headers["cache-control"] == "no-cache"
        reply = await ask(edge, "/live/demo-stream-s1.m4s")
        assert (reply.headers["content-type"], len(reply.body)) == ("video/mp4", 300_000)
        assert "max-age=60" in reply.headers["cache-control"]
        assert (await ask(edge, "/hls/init.mp4")).headers["content-type"] == "video/mp4"
        reply = await ask(edge, "/hls/demo-stream-s1.m4s", "HEAD")
        assert (reply.status, reply.headers["content-length"]) == (200, "300000")


@pytest.mark.parametrize(
    "path",
    [
        "/hls/../secret.m4s",
        "/hls/..%2fsecret.m4s",
        "/hls/%2e%2e/secret.m4s",
        "/hls/.m4s",
        "/hls/..m4s",
        "/hls/a..m4s",
        "/hls/.hidden.m4s",
        "/hls/none.m4s",
        "/hls/demo-stream.txt",
        "/hls/" + "a" * 200 + ".m4s",
        "/hls/",
        "/nothing",
        "/live/UPPER.flv",
    ],
)
async def test_nothing_else_is_a_file(folder: Path, path: str) -> None:
    async with running_edge(folder) as edge:
        reply = await ask(edge, path, Accept_Language="en-GB,ko;q=0.5")
        assert reply.status == 404
        assert reply.json["statusCode"] == 404
        assert reply.json["errorCode"] == "NOT_FOUND"
        assert reply.json["message"] == "Not found."
        assert reply.json["timestamp"].endswith("Z")


async def test_one_connection_asks_many_times(folder: Path) -> None:
    async with running_edge(folder) as edge:
        request = f"GET /hls/demo-stream.m3u8 HTTP/1.1\r\nHost: localhost:{edge.port}\r\n\r\n".encode()
        async with await edge.connect() as stream:
            buffer = bytearray()
            await stream.send_all(request * 3)
            for _ in range(3):
                assert (await read_reply(stream, buffer)).status == 200
            await stream.send_all(request.replace(b"GET", b"HEAD"))
            assert (await read_reply(stream, buffer, head=True)).status == 200
            await stream.send_all(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert (await read_reply(stream, buffer)).status == 200
            assert await stream.receive_some(1) == b""
        assert edge.counters.requests[200] == 5
        assert edge.counters.accepted == 1


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("localhost:1", 200),
        ("shop.example", 200),
        ("SHOP.example:443", 200),
        ("evil.example", 421),
        ("shop.example.evil.example", 421),
        ("localhost.evil.example", 421),
        ("user@localhost", 421),
        ("localhost/", 421),
        ("", 421),
    ],
)
async def test_only_our_host_names(folder: Path, host: str, status: int) -> None:
    async with running_edge(folder, hosts=("shop.example",)) as edge:
        assert (await ask(edge, "/healthz", Host=host)).status == status


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://localhost:8000", "localhost:8080", True),
        ("https://localhost:8000", "localhost:8080", True),
        ("http://127.0.0.1:8000", "localhost:8080", False),
        ("http://localhost:8001", "localhost:8080", False),
        ("http://localhost:8080", "localhost:8080", True),
        ("https://shop.example", "shop.example", True),
        ("http://shop.example", "shop.example", True),
        ("https://shop.example", "shop.example:8080", False),
        ("https://partner.example", "localhost:8080", True),
        ("https://partner.example:444", "localhost:8080", False),
        ("https://evil.example", "localhost:8080", False),
        ("https://localhost.evil.example:8000", "localhost:8080", False),
        ("https://x@localhost:8000", "localhost:8080", False),
        ("file://localhost:8000", "localhost:8080", False),
        ("http://localhost:bad", "localhost:8080", False),
        ("null", "localhost:8080", False),
    ],
)
async def test_origins(folder: Path, origin: str, host: str, allowed: bool) -> None:
    async with running_edge(folder, hosts=("shop.example",), cors_origins=("https://Partner.example",)) as edge:
        reply = await ask(edge, "/hls/demo-stream.m3u8", Origin=origin, Host=host)
        assert reply.status == 200
        assert reply.headers.get("access-control-allow-origin") == (origin if allowed else None)
        assert ("access-control-allow-credentials" in reply.headers) is allowed
        assert reply.headers["vary"] == "Origin"
        reply = await ask(edge, "/hls/demo-stream.m3u8", "OPTIONS", Origin=origin, Host=host)
        assert reply.status == 204
        assert ("access-control-allow-methods" in reply.headers) is allowed
        reply = await ask(edge, SOCKET, Origin=origin, Host=host, **UPGRADE)
        assert reply.status == (101 if allowed else 403)


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/socket.io/?EIO=4&transport=carrier-pigeon", {}, 0),
        ("/socket.io/?EIO=4&transport=polling&sid=abc", {}, 1),
        ("/socket.io/?transport=polling", {}, 5),
        ("/socket.io/", {}, 0),
        ("/socket.io/?EIO=4&transport=websocket&sid=abc", UPGRADE, 1),
        ("/socket.io/?EIO=4&transport=websocket", {}, 3),
        ("/socket.io/?EIO=3&transport=websocket", UPGRADE, 5),
    ],
)
async def test_handshakes_that_are_refused(folder: Path, path: str, headers: dict[str, str], code: int) -> None:
    async with running_edge(folder) as edge:
        reply = await ask(edge, path, Origin="http://127.0.0.1:8000", **headers)
        assert (reply.status, reply.json["code"]) == (400, code)
        assert reply.headers["access-control-allow-origin"] == "http://127.0.0.1:8000"


async def test_websocket_handshake_rules(folder: Path) -> None:
    async with running_edge(folder) as edge:
        reply = await ask(edge, SOCKET, **UPGRADE)
        assert reply.status == 101
        assert reply.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert "sec-websocket-extensions" not in reply.headers
        assert (await ask(edge, SOCKET, **(UPGRADE | {"Sec_WebSocket_Key": "short"}))).status == 400
        reply = await ask(edge, SOCKET, **(UPGRADE | {"Sec_WebSocket_Version": "8"}))
        assert (reply.status, reply.headers["sec-websocket-version"]) == (426, "13")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", 413),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /?" + b"&".join(b"a=1" for _ in range(60)) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ],
)
async def test_what_is_no_request_of_ours(folder: Path, data: bytes, status: int) -> None:
    async with running_edge(folder) as edge:
        async with await edge.connect() as stream:
            await stream.send_all(data)
            reply = await read_reply(stream, bytearray())
        assert reply.status == status
        assert reply.json["statusCode"] == status
        assert edge.counters.disconnects["error"] == 0


async def test_flv_streams_until_the_broadcast_ends(folder: Path) -> None:
    async with running_edge(folder) as edge, await edge.connect() as stream:
        head = f"GET /live/live/demo-stream.flv HTTP/1.1\r\nHost: localhost:{edge.port}\r\n"
        await stream.send_all((head + f"Origin: http://localhost:{edge.port}\r\n\r\n").encode())
        buffer = bytearray()
        reply = await read_reply(stream, buffer)
        assert reply.status == 200
        assert reply.headers["content-type"] == "video/x-flv"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["connection"] == "close"
        assert "content-length" not in reply.headers
        assert reply.headers["access-control-allow-origin"] == f"http://localhost:{edge.port}"
        with trio.fail_after(60):
            await edge.video.viewer_came.wait()
            assert edge.counters.open_videos == 1
            edge.video.sinks[0].send_nowait(b"tags")
            edge.video.end.set()
            while data := await stream.receive_some():
                buffer += data
        assert buffer == b"FLV\x01tags"
        assert edge.video.sinks[0].queued_bytes == 0
    assert edge.counters.disconnects["video_end"] == 1


async def test_flv_ends_when_the_viewer_leaves(folder: Path) -> None:
    async with running_edge(folder) as edge:
        async with await edge.connect() as stream:
            await stream.send_all(b"GET /live/demo-stream.flv HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await edge.video.viewer_came.wait()
        with trio.fail_after(60):
            await edge.video.left.wait()
    assert edge.counters.open_videos == 0
    assert edge.counters.disconnects["transport_close"] == 1


async def test_flv_cuts_who_does_not_read(folder: Path) -> None:
    async with running_edge(folder, flv_queue_max_bytes=100_000) as edge:
        async with await edge.connect(receive_buffer=4096) as stream:
            await stream.send_all(b"GET /live/demo-stream.flv HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with trio.fail_after(60):
                await edge.video.viewer_came.wait()
                for _ in range(100):
                    edge.video.sinks[0].send_nowait(b"t" * 10_000)
                await edge.video.left.wait()
    assert edge.counters.disconnects["queue_full"] == 1


async def test_flv_of_nothing_is_404(folder: Path) -> None:
    async with running_edge(folder) as edge:
        reply = await ask(edge, "/live/no-such-stream.flv")
        assert (reply.status, reply.json["errorCode"]) == (404, "STREAM_NOT_FOUND")
        reply = await ask(edge, "/live/no-such-stream.flv", "HEAD")
        assert reply.status == 404
        reply = await ask(edge, "/live/demo-stream.flv", "HEAD")
        assert (reply.status, reply.headers["content-type"]) == (200, "video/x-flv")
    assert edge.counters.open_videos == 0


class FullListener:
    """A listener whose process has no file descriptor left, three times."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.failures = 3

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "too many")
        return self.listener.accept()

    def __enter__(self) -> FullListener:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.listener, name)


async def test_without_file_descriptors_it_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listen = server.listen
    monkeypatch.setattr(server, "listen", lambda host, port, **_: FullListener(listen(host, port)))
    async with running_edge(folder) as edge:
        with trio.fail_after(60):
            # fails, fails again with the spare descriptor given up, fails, and then the newcomer is closed
            async with await edge.connect() as stream:
                try:
                    assert await stream.receive_some(1) == b""
                except trio.BrokenResourceError:
                    pass
            assert (await ask(edge, "/healthz")).status == 200
    assert edge.counters.shed == 2


async def test_a_lost_race_for_the_spare_descriptor_is_survived(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listen, open_spare, tries = server.listen, server._open_spare, [True, False, True]
    monkeypatch.setattr(server, "listen", lambda host, port, **_: FullListener(listen(host, port)))
    monkeypatch.setattr(server, "_open_spare", lambda: open_spare() if tries.pop(0) else None)
    async with running_edge(folder) as edge:
        with trio.fail_after(60):
            assert (await ask(edge, "/healthz")).status == 200
    assert (edge.counters.shed, tries) == (1, [])


async def test_the_end_says_goodbye_within_a_second(folder: Path) -> None:
    left: list[str] = []
    registry = SocketRegistry()

    async def on_leave(connection: Any) -> None:
        await trio.lowlevel.checkpoint()
        left.append(connection.principal.viewer_id)

    registry.on_disconnect("/", on_leave)
    async with running_edge(folder, registry) as edge:
        clients = [await edge.viewer() for _ in range(5)]
        began = trio.current_time()
        edge.stop()
        with trio.CancelScope(shield=True), trio.fail_after(2):
            for client in clients:
                assert await client.close_code() == 1001
                await client.end()
    assert trio.current_time() - began < 1.5
    assert sorted(left) == [f"g:{number}" for number in range(1, 6)]
    assert edge.counters.disconnects == {"going_down": 5}
    assert edge.counters.open_connections == 0


async def test_a_handler_that_hangs_does_not_hold_the_end(folder: Path) -> None:
    registry = SocketRegistry()

    async def on_leave(connection: Any) -> None:
        await trio.sleep_forever()

    registry.on_disconnect("/", on_leave)
    with trio.fail_after(60):
        async with running_edge(folder, registry) as edge:
            await edge.viewer()
            edge.stop()
