"""The plain WebSocket: hello, events, acknowledgements, recovery by room, and clients that break its rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
import trio
from edge_harness import Edge, RawClient, running_edge, user_id

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import ViewerId
from dorami_core.base.principal import Access, Principal
from dorami_core.edge.sockets import SocketRegistry
from dorami_core.hooks.sockets import SocketConnection


@attrs.frozen
class Room:
    room: str


class Studio:
    def __init__(self) -> None:
        self.registry = SocketRegistry()
        self.returned: list[tuple[str, str]] = []
        self.closed: set[str] = set()
        for namespace in ("/", "/chat", "/secret"):
            self.registry.on(namespace, "join", self.join, payload=Room, access=Access.PUBLIC)
        self.registry.on("/", "buy", self.buy, payload=Room)
        self.registry.on("/", "blob", self.blob, payload=Room, access=Access.PUBLIC)
        for namespace in ("/", "/chat"):
            self.registry.on_return(namespace, self.come_back)

    async def join(self, conn: SocketConnection, payload: Room) -> dict[str, Any]:
        position = await conn.join(payload.room)
        return {"epoch": position.epoch, "seq": position.seq}

    async def come_back(self, conn: SocketConnection, room: str) -> None:
        if room in self.closed:
            raise DoramiError("STREAM_NOT_FOUND")
        self.returned.append((conn.namespace, room))

    async def buy(self, conn: SocketConnection, payload: Room) -> str:
        return conn.principal.viewer_id

    async def blob(self, conn: SocketConnection, payload: Room) -> None:
        conn.emit("blob", {"bytes": b"\0\1"})


class PlainClient:
    """Speaks objects over a RawClient."""

    def __init__(self, raw: RawClient, *, is_binary: bool) -> None:
        self.raw = raw
        self.is_binary = is_binary
        self.hello: dict[str, Any] = {}

    async def send(self, **fields: Any) -> None:
        if self.is_binary:
            await self.raw.send_frame(2, msgspec.msgpack.encode(fields))
        else:
            await self.raw.send(json.dumps(fields))

    async def next(self) -> dict[str, Any]:
        opcode, payload = await self.raw.frame()
        assert opcode == (2 if self.is_binary else 1), (opcode, payload)
        found: dict[str, Any] = msgspec.msgpack.decode(payload) if self.is_binary else json.loads(payload)
        return found

    async def call(self, event: str, data: Any = None, **fields: Any) -> Any:
        await self.send(event=event, data=data, id=7, **fields)
        answer = await self.next()
        assert answer["ack"] == 7, answer
        return answer["data"]


async def connect(edge: Edge, protocol: str = "dorami.v1.json", **headers: str) -> PlainClient:
    raw = RawClient(await edge.connect(), edge.port)
    assert await raw.upgrade("/ws", {"Sec_WebSocket_Protocol": protocol, **headers}) == 101
    client = PlainClient(raw, is_binary=protocol.endswith("msgpack"))
    hello = await client.next()
    assert hello["event"] == "hello"
    client.hello = hello["data"]
    return client


@pytest.mark.parametrize("protocol", ["dorami.v1.json", "dorami.v1.msgpack"])
async def test_the_same_rooms_and_events(tmp_path: Path, protocol: str) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await connect(edge, protocol)
        assert b"sec-websocket-protocol: " + protocol.encode() in client.raw.head.lower()
        assert client.hello == {
            "sid": client.hello["sid"],
            "userId": None,
            "guestToken": "signed:1",
            "maxPayload": 1_000_000,
        }
        answer = await client.call("join", {"room": "live"}, ns="/chat")
        assert answer["ok"]
        epoch = answer["data"]["epoch"]
        edge.rooms.emit("/chat", "live", "say", {"text": "가"})
        place = {"room": "/chat:live", "epoch": epoch, "seq": answer["data"]["seq"] + 1}
        assert await client.next() == {"ns": "/chat", "event": "say", "data": {"text": "가"}} | place
        assert (await client.call("buy", {"room": "x"}))["errorCode"] == "UNAUTHORIZED"
        edge.rooms.emit_to_viewer("/", ViewerId("g:1"), "cart:expired", {})
        assert (await client.next())["room"] == "/:@g:1"
        await client.send(event="blob", data={"room": ""})
        blob = (await client.next())["data"]["bytes"]
        assert blob == (b"\0\1" if client.is_binary else "AAE="), "base64 in JSON"


async def test_answers_to_what_is_unknown_or_wrong(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await connect(edge)
        for fields in ({"event": "nothing"}, {"event": "join", "ns": "/none"}, {"event": "join", "data": {"x": 1}}):
            answer = await client.call(**{"data": None, **fields})
            assert (answer["ok"], answer["errorCode"]) == (False, "VALIDATION_FAILED")
        await client.send(event="nothing")
        assert (await client.call("join", {"room": "live"}))["ok"], "without an id nobody is answered"
        assert edge.counters.unknown_events == 3


async def test_who_speaks(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await connect(edge, Cookie="access_token=user:mina")
        assert client.hello["userId"] == str(user_id("mina"))
        guest = await connect(edge)
        answer = await guest.call("auth", {"token": "user:jun"})
        assert answer == {"ok": True, "data": {"userId": str(user_id("jun"))}}
        assert (await guest.call("buy", {"room": "x"}))["data"] == f"u:{user_id('jun')}"
        edge.rooms.emit_to_viewer("/", ViewerId(f"u:{user_id('jun')}"), "say", 1)
        assert (await guest.next())["data"] == 1
        assert (await guest.call("join", {"room": "live"}))["ok"]
        assert (await guest.call("auth", {"token": "user:mina"}))["errorCode"] == "CONFLICT"
        assert (await guest.call("auth", {"token": "admin:jun"}))["ok"], "a newer token of the same person"
        again = await connect(edge)
        assert (await again.call("auth", {"guestToken": "signed:77"}))["data"] == {"userId": None}
        await again.send(event="auth", data={"token": "wrong"})
        assert await again.raw.close_code() == 4401
        raw = RawClient(await edge.connect(), edge.port)
        headers = {"Sec_WebSocket_Protocol": "dorami.v1.json", "Cookie": "access_token=wrong"}
        assert await raw.upgrade("/ws", headers) == 101
        assert await raw.close_code() == 4401


async def test_who_comes_back_gets_what_he_missed_room_by_room(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        client = await connect(edge)
        places = {}
        for namespace, room in (("/", "live"), ("/chat", "live"), ("/secret", "live")):
            answer = await client.call("join", {"room": room}, ns=namespace)
            places[f"{namespace}:{room}"] = answer["data"]
        edge.rooms.emit_to_viewer("/", ViewerId("g:1"), "say", "personal")
        personal = await client.next()
        await client.raw.stream.aclose()
        for number in range(5):
            edge.rooms.emit("/", "live", "say", number)
            edge.rooms.emit("/chat", "live", "say", number)
            edge.rooms.emit_to_viewer("/", ViewerId("g:1"), "say", f"personal {number}")
            edge.rooms.emit_to_viewer("/", ViewerId("g:2"), "say", "not his")
        again = await connect(edge, Cookie="guest=signed:1")
        rooms = [{"room": room, **place} for room, place in places.items()]
        rooms.append({"room": "/:@g:1", "epoch": personal["epoch"], "seq": personal["seq"]})
        rooms.append({"room": "/:@g:2", "epoch": personal["epoch"], "seq": personal["seq"]})
        rooms.append({"room": "/:other", "epoch": "unknown", "seq": 4})
        rooms.append(rooms[0])  # asked for twice, it is told once
        answer = await again.call("resume", {"rooms": rooms, "sid": client.hello["sid"]})
        assert answer["ok"]
        assert not answer["data"]["rooms"].pop()["recovered"]
        recovered = {room["room"]: room["recovered"] for room in answer["data"]["rooms"]}
        assert recovered == {
            "/:live": True,
            "/chat:live": True,
            "/secret:live": False,
            "/:@g:1": True,
            "/:@g:2": False,
            "/:other": False,
        }
        assert answer["data"]["lastDisconnect"] in ("transport_close", "peer_reset")
        told: dict[str, list[Any]] = {}
        for _ in range(15):
            frame = await again.next()
            told.setdefault(frame["room"], []).append(frame["data"])
        assert told == {
            "/:live": list(range(5)),
            "/chat:live": list(range(5)),
            "/:@g:1": [f"personal {number}" for number in range(5)],
        }
        assert ("/chat", "live") in studio.returned
        edge.rooms.emit("/", "other", "say", "joined all the same")
        edge.rooms.emit("/secret", "live", "say", "not joined")
        edge.rooms.emit("/chat", "live", "say", "live")
        heard = [(await again.next())["data"] for _ in range(2)]
        assert sorted(heard) == ["joined all the same", "live"]
        studio.closed.add("closed")
        refused = await again.call("resume", {"rooms": [{"room": "/:closed", "epoch": "x", "seq": 0}]})
        assert not refused["data"]["rooms"][0]["recovered"]
        edge.rooms.emit("/", "closed", "say", "nobody hears")
        assert (await again.call("join", {"room": "live"}))["ok"]


@pytest.mark.parametrize(
    ("opcode", "payload", "code"),
    [
        (1, b"{", 4400),
        (1, b"[]", 4400),
        (1, b'{"event":1}', 4400),
        (1, b'{"event":"x","more":1}', 4400),
        (1, b'{"event":"x","id":-1}', 4400),
        (1, b'{"event":"x","id":4294967296}', 4400),
        (1, b"[" * 100_000, 4400),
        (2, b"\x80", 1003),
        (1, b"\xff", 1007),
        (1, b'{"event":"' + b"x" * 1_000_001, 1009),
    ],
)
async def test_clients_that_break_the_rules(tmp_path: Path, opcode: int, payload: bytes, code: int) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await connect(edge)
        with trio.move_on_after(0.5):  # the server stops reading what is too large
            await client.raw.send_frame(opcode, payload)
        assert await client.raw.close_code() == code
        other = await connect(edge)
        assert (await other.call("join", {"room": "live"}))["ok"]


async def test_without_a_known_subprotocol_there_is_no_websocket(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        for headers in ({}, {"Sec_WebSocket_Protocol": "dorami.v2.json"}):
            raw = RawClient(await edge.connect(), edge.port)
            assert await raw.upgrade("/ws", headers) == 400
        raw = RawClient(await edge.connect(), edge.port)
        headers = {"Sec_WebSocket_Protocol": "dorami.v1.json", "Origin": "http://elsewhere.example"}
        assert await raw.upgrade("/ws", headers) == 403


async def test_ends_that_the_server_decides(tmp_path: Path) -> None:
    class Door:
        def admit(self, principal: Principal) -> None:
            if principal.is_admin:
                raise DoramiError("FORBIDDEN", reason="banned")

    async with running_edge(tmp_path, Studio().registry, admission=Door()) as edge:
        client = await connect(edge)
        edge.rooms.cut_viewer(ViewerId("g:1"), "banned")
        assert await client.raw.close_code() == 4403
        banned = await connect(edge)
        await banned.send(event="auth", data={"token": "admin:mina"})
        assert await banned.raw.close_code() == 4403
        last = await connect(edge)
        edge.stop()
        assert await last.raw.close_code() == 4503


async def test_pings_are_the_websockets_own(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry, ping_interval_s=0.1, ping_timeout_s=0.2) as edge:
        client = await connect(edge)
        for _ in range(3):
            opcode, payload = await client.raw.frame()
            assert opcode == 9
            await client.raw.send_frame(10, payload)
        await client.raw.end()
        while not edge.counters.disconnects:
            await trio.lowlevel.checkpoint()
        assert edge.counters.disconnects == {"ping_timeout": 1}
