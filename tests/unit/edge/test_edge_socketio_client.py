"""The official `socket.io-client` under Node and python-socketio's, unmodified, in one scenario."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from edge_harness import running_edge

from dorami_core.base.principal import Access
from dorami_core.edge.sockets import SocketRegistry
from dorami_core.hooks.sockets import SocketConnection

NODE = Path(__file__).parents[2] / "e2e" / "node"


@attrs.frozen
class Nothing:
    pass


@attrs.frozen
class Join:
    stream_key: str


@attrs.frozen
class JoinRoom:
    live_id: str


@attrs.frozen
class Send:
    live_id: str
    message: str


@attrs.frozen
class Blob:
    data: bytes


@pytest.fixture(scope="module")
def client_folder() -> Path:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.fail("Node 20 and npm are needed on PATH for the Socket.IO client's test")
    if not all((NODE / "node_modules" / name).is_dir() for name in ("socket.io-client", "socket.io-msgpack-parser")):
        subprocess.run(["npm", "ci"], cwd=NODE, check=True, capture_output=True, timeout=120)
    return NODE


async def run_scenario(tmp_path: Path, folder: Path, *command: str) -> dict[str, Any]:
    """The steps that the client reports; the URL is put before the last two words of its command."""
    registry, left = SocketRegistry(), trio.Event()

    async def join(connection: SocketConnection, payload: Join) -> dict[str, Any]:
        await connection.join(payload.stream_key)
        return {"streamKey": payload.stream_key, "rooms": sorted(connection.rooms)}

    async def join_chat(connection: SocketConnection, payload: JoinRoom) -> None:
        await connection.join(payload.live_id)

    async def send(connection: SocketConnection, payload: Send) -> dict[str, Any]:
        edge.rooms.emit("/chat", payload.live_id, "chat:message", {"message": payload.message})
        return {"seq": 1}

    async def user_only(connection: SocketConnection, payload: Nothing) -> None:
        raise AssertionError("a guest came through")

    async def size(connection: SocketConnection, payload: Blob) -> int:
        return len(payload.data)

    async def mirror(connection: SocketConnection, payload: Blob) -> dict[str, bytes]:
        connection.emit("mirrored", {"data": payload.data})
        return {"data": payload.data}

    async def wait_for_leave(connection: SocketConnection, payload: Nothing) -> None:
        await left.wait()

    async def on_leave(connection: SocketConnection) -> None:
        left.set()

    registry.on("/", "join:stream", join, payload=Join, access=Access.PUBLIC)
    registry.on("/", "bytes", size, payload=Blob, access=Access.PUBLIC)
    registry.on("/", "mirror", mirror, payload=Blob, access=Access.PUBLIC)
    registry.on("/", "wait-for-leave", wait_for_leave, payload=Nothing)
    registry.on("/chat", "chat:join-room", join_chat, payload=JoinRoom)
    registry.on("/chat", "chat:send-message", send, payload=Send)
    registry.on_disconnect("/chat", on_leave)
    registry.on("/streaming", "user-only", user_only, payload=Nothing)

    steps: dict[str, Any] = {}
    with trio.fail_after(60):
        async with running_edge(tmp_path, registry, ping_interval_s=0.1, ping_timeout_s=5) as edge:
            url = f"http://127.0.0.1:{edge.port}"
            process = await trio.lowlevel.open_process(
                [*command[:-2], url, *command[-2:]], cwd=folder, stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            try:
                buffer = b""
                with trio.CancelScope(shield=True), trio.fail_after(60):
                    async for data in process.stdout:
                        buffer += data
                        *lines, buffer = buffer.split(b"\n")
                        for line in lines:
                            facts = json.loads(line)
                            steps[facts.pop("step")] = facts
                            if "ready" in steps:
                                edge.stop()
                    assert await process.wait() == 0
            finally:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
                    await process.stdout.aclose()
    return steps


COMMON = {
    "joined": {"ok": True, "data": {"streamKey": "demo-stream", "rooms": ["demo-stream"]}},
    "chatted": {"heard": ["하나", "two", "😀", 70000]},
    "refused": {"ok": False, "errorCode": "UNAUTHORIZED", "message": "로그인이 필요해요."},
    "unknown": {
        "ok": False,
        "errorCode": "VALIDATION_FAILED",
        "message": "입력한 내용을 다시 확인해 주세요.",
        "details": {"event": "no:such-event", "problem": "unknown event"},
    },
    "bytes": {"ok": True, "data": 3},
    "mirror": {"heard": "mirror", "answer": "mirror"},
    "alive": {"connected": True},
    "left": {"ok": True},
    "ready": {},
}
"""What both clients have to see."""


@pytest.mark.parametrize(
    ("transports", "carrier"), [("default", "websocket"), ("polling", "polling"), ("websocket", "websocket")]
)
@pytest.mark.parametrize("parser", ["default", "msgpack"])
async def test_the_official_client(
    client_folder: Path, tmp_path: Path, transports: str, carrier: str, parser: str
) -> None:
    steps = await run_scenario(tmp_path, client_folder, "node", "client.mjs", transports, parser)
    reasons = set(steps.pop("gone")["reasons"])
    # between two polls a server that is gone cannot say so
    assert reasons <= ({"transport close", "transport error"} if carrier == "polling" else {"transport close"})
    assert steps.pop("connected") == {
        "transport": carrier,
        "shared": True,
        "distinct": True,
        "lost": "Invalid namespace",
        "refused": {"errorCode": "UNAUTHORIZED"},
    }
    assert steps == COMMON


@pytest.mark.parametrize(
    ("transports", "carrier"), [("default", "websocket"), ("polling", "polling"), ("websocket", "websocket")]
)
@pytest.mark.parametrize("parser", ["default", "msgpack"])
async def test_the_client_of_python_socketio(tmp_path: Path, transports: str, carrier: str, parser: str) -> None:
    folder = Path(__file__).parent
    steps = await run_scenario(tmp_path, folder, sys.executable, "socketio_client.py", transports, parser)
    assert steps.pop("gone") == {}
    assert steps.pop("connected") == {
        "transport": carrier,
        "distinct": True,
        "lost": "Invalid namespace",
        "refused": {"errorCode": "UNAUTHORIZED"},
    }
    assert steps == COMMON
