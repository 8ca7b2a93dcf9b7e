"""Clients that lose their connection and come back by Socket.IO's connection state recovery."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import attrs
import trio
import trio.testing
from edge_harness import Edge, RawClient, running_edge

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import ViewerId
from dorami_core.base.principal import Access, Principal
from dorami_core.edge.client_socket import ClientSocket
from dorami_core.edge.recovery import Recovery
from dorami_core.edge.sockets import SocketRegistry
from dorami_core.hooks.sockets import SocketConnection


@attrs.frozen
class Room:
    room: str


class Studio:
    """Two namespaces whose rooms anybody may join, and who is counted in them."""

    def __init__(self) -> None:
        self.registry = SocketRegistry()
        self.counted: list[tuple[str, str]] = []
        self.closed: set[str] = set()
        for namespace in ("/", "/chat"):
            self.registry.on(namespace, "join", self.join, payload=Room, access=Access.PUBLIC)
            self.registry.on_return(namespace, self.come_back)
            self.registry.on_disconnect(namespace, self.leave)

    async def join(self, conn: SocketConnection, payload: Room) -> None:
        await conn.join(payload.room)
        self.counted.append((conn.id, payload.room))

    async def come_back(self, conn: SocketConnection, room: str) -> None:
        if room in self.closed:
            raise DoramiError("STREAM_NOT_FOUND")
        self.counted.append((conn.id, room))

    async def leave(self, conn: SocketConnection) -> None:
        self.counted = [(sid, room) for sid, room in self.counted if sid != conn.id]


async def viewer(edge: Edge, *rooms: str, namespace: str = "/", auth: Any = None) -> RawClient:
    client = await edge.viewer(namespace, auth)
    for room in rooms:
        assert (await client.call("join", {"room": room}, namespace=namespace))["ok"]
    return client


async def lose(edge: Edge, client: RawClient) -> None:
    """The network goes away; returns when the server has noticed."""
    before = edge.counters.open_sessions
    await client.stream.aclose()
    with trio.fail_after(60):
        while edge.counters.open_sessions == before:
            await trio.lowlevel.checkpoint()


async def heard(client: RawClient) -> tuple[Any, str]:
    """The data of the next event, and its offset."""
    text = await client.text()
    _, data, offset = json.loads(text[text.index("[") :])
    return data, offset


async def come_back(
    edge: Edge, client: RawClient, offset: str, *, namespace: str = "/", **auth: Any
) -> tuple[RawClient, dict[str, Any]]:
    again = await edge.websocket()
    await again.text()
    before = client.session
    return again, await again.join(namespace, {"pid": before["pid"], "offset": offset, **auth})


async def test_who_comes_back_is_the_same_and_misses_nothing(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        client = await viewer(edge, "live", "side")
        sid = client.session["sid"]
        edge.rooms.emit("/", "live", "say", "heard")
        _, offset = await heard(client)
        await lose(edge, client)
        while studio.counted:
            await trio.lowlevel.checkpoint()
        expected = []
        for number in range(30):
            edge.rooms.emit("/", ("live", "side", "elsewhere")[number % 3], "say", number)
            expected += [number] if number % 3 < 2 else []
        edge.rooms.emit_to_viewer("/", ViewerId("g:1"), "say", "mine")
        edge.rooms.emit_to_all("/", "say", "all")
        again, session = await come_back(edge, client, offset)
        assert (session["sid"], session["pid"]) == (sid, client.session["pid"])
        assert session["lastDisconnect"] == "transport_close"
        assert [(await heard(again))[0] for _ in range(len(expected) + 2)] == [*expected, "mine", "all"]
        assert sorted(studio.counted) == [(sid, "live"), (sid, "side")]
        edge.rooms.emit("/", "side", "say", "live again")
        assert (await heard(again))[0] == "live again"
        assert edge.rooms.statistics().viewers == 1


async def test_a_connection_that_only_seems_alive_gives_way(tmp_path: Path) -> None:
    """A phone that changes its network comes back before the server notices that it was gone."""
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        client = await edge.viewer()
        await client.join("/chat")
        chat = client.session
        client.session = {}
        await client.call("join", {"room": "live"}, namespace="/chat")
        edge.rooms.emit("/chat", "live", "say", 1)
        _, offset = await heard(client)
        client.session = chat
        again, session = await come_back(edge, client, offset, namespace="/chat")
        assert session["sid"] == chat["sid"]
        await client.end()
        assert edge.counters.disconnects == {"replaced": 1}
        edge.rooms.emit("/chat", "live", "say", 2)
        assert (await heard(again))[0] == 2
        assert [room for _, room in studio.counted] == ["live"]


async def test_who_cannot_be_told_begins_anew(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        client = await viewer(edge, "live", auth={"token": "user:mina"})
        edge.rooms.emit("/", "live", "say", 1)
        _, offset = await heard(client)
        await lose(edge, client)
        edge.rooms.emit("/", "live", "say", 2)
        wrong: list[tuple[str, dict[str, Any]]] = [
            (offset, {"token": "user:other"}),
            (offset, {}),
            ("nonsense", {"token": "user:mina"}),
            ("0.1", {"token": "user:mina"}),
            (offset, {"token": "user:mina", "pid": "unknown"}),
        ]
        for place, auth in wrong:
            again, session = await come_back(edge, client, place, **auth)
            assert session["sid"] != client.session["sid"]
            assert session["pid"] != client.session["pid"]
            edge.rooms.emit("/", "live", "say", "not in the room")
            edge.rooms.emit_to_all("/", "say", "first heard")
            assert (await heard(again))[0] == "first heard"
            await lose(edge, again)
        studio.closed.add("live")
        _, session = await come_back(edge, client, offset, token="user:mina")
        assert session["sid"] != client.session["sid"], "the room lets nobody in again"
        assert studio.counted == []


async def test_authorisation_is_asked_again(tmp_path: Path) -> None:
    class Door:
        def admit(self, principal: Principal) -> None:
            if principal.user is not None and principal.user.display_name in banned:
                raise DoramiError("FORBIDDEN", reason="banned")

    banned: set[str] = set()
    async with running_edge(tmp_path, Studio().registry, admission=Door()) as edge:
        client = await viewer(edge, "live", auth={"token": "user:mina"})
        edge.rooms.emit("/", "live", "say", 1)
        _, offset = await heard(client)
        await lose(edge, client)
        banned.add("mina")
        again = await edge.websocket()
        await again.text()
        auth = {"pid": client.session["pid"], "offset": offset, "token": "user:mina"}
        await again.send("40" + json.dumps(auth))
        refusal = await again.text()
        assert refusal.startswith("44{")
        assert json.loads(refusal[2:])["data"] == {"errorCode": "FORBIDDEN", "reason": "banned"}


async def test_who_said_goodbye_does_not_come_back(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        client = await viewer(edge, "live")
        edge.rooms.emit("/", "live", "say", 1)
        _, offset = await heard(client)
        await client.send("41")
        while studio.counted:
            await trio.lowlevel.checkpoint()
        _, session = await come_back(edge, client, offset)
        assert session["sid"] != client.session["sid"]


async def test_a_ban_ends_all_connections_of_the_person(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await viewer(edge, "live", auth={"token": "user:mina"})
        other = await viewer(edge, "live", auth={"token": "user:jun"})
        who = next(iter(v for v in edge.rooms._spaces["/"].viewers))
        edge.rooms.cut_viewer(who, "banned")
        assert await client.text() == "41"
        assert await client.close_code() == 1008
        await client.end()
        edge.rooms.emit("/", "live", "say", "go on")
        assert (await heard(other))[0] == "go on"
        assert edge.counters.disconnects["banned"] == 1


class SlowRedis:
    """Takes a millisecond for a write, in which the next client of a crowd has come."""

    def __init__(self) -> None:
        self.writes: list[list[Any]] = []

    async def execute(self, *command: Any) -> Any:
        raise AssertionError(command)

    def register_script(self, lua: str) -> Callable[[Sequence[Any], Sequence[Any]], Awaitable[Any]]:
        async def put(_: Sequence[Any], arguments: Sequence[Any]) -> None:
            self.writes.append(list(arguments[::3]))
            await trio.sleep(0.001)

        return put


async def test_a_crowd_is_written_in_batches(autojump_clock: trio.testing.MockClock) -> None:
    redis = SlowRedis()
    recovery = Recovery(redis)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recovery.run)
        for number in range(1000):
            client = SimpleNamespace(id=f"{number}", pid=f"p{number}", namespace="/", viewer="g:1", joined={})
            recovery.changed(cast("ClientSocket", client))
            await trio.sleep(0.001)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert [pid for pids in redis.writes for pid in pids] == [f"p{number}" for number in range(1000)]
    assert len(redis.writes) < 25
