"""How a client is let into a namespace, questions to it, and events with plain arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
import trio
from edge_harness import Edge, running_edge, without_offset
from polling_client import PollingClient

from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import Access
from dorami_core.edge import session
from dorami_core.edge.questions import MAX_QUESTIONS
from dorami_core.edge.sockets import SocketRegistry
from dorami_core.hooks.sockets import SocketConnection


@attrs.frozen
class Nothing:
    pass


class Door:
    """`/` asks `on_connect` what it does, by the `auth` that comes."""

    def __init__(self, *, own_auth: bool = False) -> None:
        self.registry = SocketRegistry(["/plain"])
        self.registry.on_connect("/", self.enter, own_auth=own_auth)
        self.registry.on_disconnect("/", self.leave)
        for event in (self.args, self.wrong, self.refuse, self.ask, self.rooms):
            self.registry.on("/", event.__name__, event, payload=None, access=Access.PUBLIC)
        self.registry.on("/", "members-only", self.args, payload=None)
        self.connections: list[SocketConnection] = []
        self.left: list[str] = []
        self.waiting = trio.Event()
        self.given_up = trio.Event()
        self.outcomes: list[Any] = []

    async def enter(self, connection: SocketConnection, auth: Mapping[str, Any]) -> None:
        self.connections.append(connection)
        match auth.get("do"):
            case "refuse":
                connection.emit("never", 1)
                await connection.join("live")
                raise DoramiError("FORBIDDEN")
            case "break":
                raise RuntimeError("a bug")
            case "wait":
                self.waiting.set()
                try:
                    await trio.sleep_forever()
                finally:
                    self.given_up.set()
            case "ask":
                await connection.ask("too early")
            case "flood":
                for _ in range(100):
                    connection.emit("flood", "x" * 1000)
            case "join":
                await connection.join("live")
                await connection.join("left")
                connection.leave("left")
                assert connection.rooms == {"live"}
                connection.emit("welcome", connection.principal.viewer_id)
                connection.emit("several", 1, 2)

    async def leave(self, connection: SocketConnection) -> None:
        self.left.append(connection.id)

    async def args(self, connection: SocketConnection, arguments: list[Any]) -> list[Any] | None:
        return arguments or None

    async def wrong(self, connection: SocketConnection, arguments: list[Any]) -> Any:
        return {"not": "a list"}

    async def refuse(self, connection: SocketConnection, arguments: list[Any]) -> None:
        raise DoramiError("RATE_LIMITED", retry_after_ms=5)

    async def ask(self, connection: SocketConnection, arguments: list[Any]) -> list[Any]:
        return ["heard", await connection.ask("question", *arguments)]

    async def rooms(self, connection: SocketConnection, arguments: list[Any]) -> list[Any]:
        return sorted(connection.rooms)


async def opened(edge: Edge) -> Any:
    client = await edge.websocket()
    await client.text()
    return client


async def test_what_a_connect_handler_does_follows_the_reply(tmp_path: Path) -> None:
    door = Door()
    async with running_edge(tmp_path, door.registry) as edge:
        client = await opened(edge)
        reply = await client.join("/", {"do": "join"})
        assert set(reply) == {"sid", "guestToken"}
        assert await client.text() == '42["welcome","g:1"]'
        assert await client.text() == '42["several",1,2]'
        edge.rooms.emit("/", "live", "say", 1)
        assert without_offset(await client.text()) == '42["say",1]'
        await client.send('421["rooms"]')
        assert await client.text() == '431["live"]'


async def test_the_same_on_long_polling(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Door().registry) as edge:
        client = await PollingClient.open(edge)
        await client.push('40{"do":"join"}')
        assert (await client.next()).startswith('40{"sid":')
        assert await client.next() == '42["welcome","g:1"]'


@pytest.mark.parametrize(
    ("do", "code"), [("refuse", "FORBIDDEN"), ("break", "INTERNAL_ERROR"), ("ask", "INTERNAL_ERROR")]
)
async def test_a_connect_handler_refuses(tmp_path: Path, do: str, code: str) -> None:
    door = Door()
    async with running_edge(tmp_path, door.registry) as edge:
        client = await opened(edge)
        await client.send(f'40{{"do":"{do}"}}')
        reply = await client.text()
        assert reply.startswith("44{")
        assert json.loads(reply[2:])["data"] == {"errorCode": code}
        (refused,) = door.connections
        refused.emit("never", 1)
        await refused.join("live")
        with pytest.raises(ConnectionError):
            await refused.ask("never")
        edge.rooms.emit("/", "live", "never", 1)
        edge.rooms.emit_to_all("/", "never", 1)
        assert await client.join("/"), "the next try may come through, with nothing in between"
        assert edge.rooms.statistics().sockets == 1
        await client.send("41")
        await client.send("40")
        assert (await client.text()).startswith("40")
    assert door.left == [door.connections[1].id, door.connections[2].id]


async def test_a_connect_handler_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CONNECT_HANDLERS_S", 0.1)
    door = Door()
    async with running_edge(tmp_path, door.registry) as edge:
        client = await opened(edge)
        await client.send('40{"do":"wait"}')
        assert json.loads((await client.text())[2:])["data"] == {"errorCode": "UNAVAILABLE"}
        assert await client.join("/")


async def test_a_waiting_client_is_not_taken_for_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CONNECT_HANDLERS_S", 0.5)
    async with running_edge(tmp_path, Door().registry, ping_interval_s=0.05, ping_timeout_s=0.1) as edge:
        client = await opened(edge)
        await client.send('40{"do":"wait"}')
        assert await client.text() == "2"
        await client.send("3")
        reply = await client.text()
        assert json.loads(reply[2:])["data"] == {"errorCode": "UNAVAILABLE"}


async def test_the_end_of_the_session_ends_its_connect_handler(tmp_path: Path) -> None:
    door = Door()
    async with running_edge(tmp_path, door.registry) as edge:
        client = await PollingClient.open(edge)
        await client.begin_poll()
        await client.poster.send("POST", client.path, b'40{"do":"wait"}')
        with trio.fail_after(60):
            await door.waiting.wait()
            await client.getter.stream.aclose()
            await door.given_up.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert edge.rooms.statistics().sockets == 0
        assert edge.counters.open_sessions == 0
    assert door.left == []


async def test_what_waits_for_entry_is_bounded(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Door().registry, queue_max_bytes=50_000) as edge:
        client = await opened(edge)
        await client.send('40{"do":"flood"}')
        await client.end()
        await trio.testing.wait_all_tasks_blocked()
        assert edge.counters.disconnects == {"queue_full": 1}


@pytest.mark.parametrize("auth", [None, {"token": "123"}, {"token": 5, "guestToken": "signed:9"}])
async def test_a_namespace_with_an_auth_of_its_own_reads_no_token(tmp_path: Path, auth: dict[str, Any] | None) -> None:
    door = Door(own_auth=True)
    async with running_edge(tmp_path, door.registry) as edge:
        client = await edge.websocket(Cookie="access_token=stolen")
        await client.text()
        assert set(await client.join("/", auth)) == {"sid"}
        assert door.connections[0].principal.viewer_id == "g:1"
        await client.send("40/plain,")
        assert (await client.text()).startswith("44/plain,"), "other namespaces do"


async def test_plain_arguments(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Door().registry) as edge:
        client = await edge.viewer()
        for arguments in ("[]", "[1]", '[1,"2",{"three":[null]}]'):
            await client.send(f'421["args"{"," if arguments != "[]" else ""}{arguments[1:]}')
            assert await client.text() == f"431{arguments}"
        await client.send('422["wrong"]')
        assert json.loads((await client.text())[3:])[0]["errorCode"] == "INTERNAL_ERROR"
        await client.send('423["refuse"]')
        assert json.loads((await client.text())[3:])[0]["retryAfterMs"] == 5
        await client.send('424["members-only",1]')
        assert json.loads((await client.text())[3:])[0]["errorCode"] == "UNAUTHORIZED"


async def test_questions_and_answers(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Door().registry) as edge:
        client = await edge.viewer()
        await client.send('425["ask",1,2]')
        assert await client.text() == '420["question",1,2]'
        await client.send('439["of nobody"]')
        await client.send('430["first","second"]')
        assert await client.text() == '435["heard","first"]'
        await client.send('430["once more"]')
        await client.send('426["ask"]')
        assert await client.text() == '421["question"]'
        await client.send("431[]")
        assert await client.text() == '436["heard",null]'


async def test_a_question_that_gets_no_answer(tmp_path: Path) -> None:
    door = Door()
    async with running_edge(tmp_path, door.registry) as edge:
        client = await edge.viewer()
        (connection,) = door.connections
        with pytest.raises(TimeoutError):
            await connection.ask("question", timeout_s=0.05)

        async def ask() -> None:
            try:
                await connection.ask("question", timeout_s=60)
            except Exception as error:
                door.outcomes.append(type(error))

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for _ in range(MAX_QUESTIONS):
                    nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked()
                with pytest.raises(DoramiError, match="UNAVAILABLE"):
                    await connection.ask("one too many")
                await client.stream.aclose()
        assert door.outcomes == [ConnectionError] * MAX_QUESTIONS
        with pytest.raises(ConnectionError):
            await connection.ask("gone")


async def test_a_cancelled_question_leaves_nothing(tmp_path: Path) -> None:
    door = Door()
    async with running_edge(tmp_path, door.registry) as edge:
        client = await edge.viewer()
        (connection,) = door.connections
        with trio.CancelScope() as scope:
            scope.cancel()
            await connection.ask("question", timeout_s=60)
        assert await client.text() == '420["question"]'
        await client.send('430["too late"]')
        await client.send('421["args",1]')
        assert await client.text() == "431[1]"


@pytest.mark.parametrize("argument", ["[" * 700 + "]" * 700, '{"a":' * 700 + "1" + "}" * 700, str(2**70)])
async def test_an_answer_that_cannot_be_said_harms_nobody(tmp_path: Path, argument: str) -> None:
    async with running_edge(tmp_path, Door().registry) as edge:
        client, other = await edge.viewer(), await edge.viewer()
        await client.send(f'421["args",{argument}]')
        assert (await client.text()).startswith("431[")
        binary = await edge.websocket()
        await binary.text()
        await binary.send_frame(2, msgspec.msgpack.encode({"type": 0, "nsp": "/"}))
        await binary.frame()
        event = b"\x84\xa4type\x02\xa3nsp\xa1/\xa2id\x01\xa4data\x92\xa4args"
        await binary.send_frame(2, event + b"\x91" * 700 + b"\xc0")
        assert await binary.close_code() == 1002, "its decoder refuses this already"
        await other.send('421["args",1]')
        assert await other.text() == "431[1]"
