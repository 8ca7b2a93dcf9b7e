"""Socket.IO over a real edge: namespaces, events, acknowledgements, heartbeat, and clients that behave badly."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from edge_harness import Edge, RawClient, client_frame, running_edge, user_id, without_offset

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import ViewerId
from dorami_core.base.principal import Access
from dorami_core.edge.sockets import SocketRegistry
from dorami_core.hooks.sockets import SocketConnection


@attrs.frozen
class Nothing:
    pass


@attrs.frozen
class Say:
    text: str
    repeat_count: int = 1


@attrs.frozen
class Blob:
    data: bytes


class Studio:
    """A registry with events that show what the edge does."""

    def __init__(self) -> None:
        self.registry = SocketRegistry()
        self.gate = trio.Event()
        self.waiting = trio.Event()
        self.handled: list[str] = []
        self.left: list[tuple[str, str, frozenset[str]]] = []
        self.someone_left = trio.Event()
        on = self.registry.on
        for namespace in ("/", "/chat"):
            on(namespace, "who", self.who, payload=Nothing, access=Access.PUBLIC)
            on(namespace, "join", self.join, payload=Say, access=Access.PUBLIC)
            self.registry.on_disconnect(namespace, self.on_leave)
        on("/", "leave", self.leave, payload=Say, access=Access.PUBLIC)
        on("/", "say", self.say, payload=Say)
        on("/", "admin", self.who, payload=Nothing, access=Access.ADMIN)
        on("/", "refuse", self.refuse, payload=Nothing, access=Access.PUBLIC)
        on("/", "break", self.break_down, payload=Nothing, access=Access.PUBLIC)
        on("/", "odd", self.odd, payload=Nothing, access=Access.PUBLIC)
        on("/", "wait", self.wait, payload=Nothing, access=Access.PUBLIC)
        on("/", "note", self.note, payload=Say, access=Access.PUBLIC)
        on("/", "emit-first", self.emit_first, payload=Nothing, access=Access.PUBLIC)
        on("/", "blob", self.blob, payload=Blob, access=Access.PUBLIC)
        on("/", "mirror", self.mirror, payload=Blob, access=Access.PUBLIC)

    async def who(self, connection: SocketConnection, payload: Nothing) -> dict[str, Any]:
        return {
            "viewer": connection.principal.viewer_id,
            "id": connection.id,
            "address": connection.address,
            "namespace": connection.namespace,
            "rooms": sorted(connection.rooms),
        }

    async def join(self, connection: SocketConnection, payload: Say) -> None:
        await connection.join(payload.text)

    async def leave(self, connection: SocketConnection, payload: Say) -> None:
        connection.leave(payload.text)

    async def say(self, connection: SocketConnection, payload: Say) -> dict[str, Any]:
        return {"said": payload.text * payload.repeat_count}

    async def refuse(self, connection: SocketConnection, payload: Nothing) -> None:
        raise DoramiError("RATE_LIMITED", retry_after_ms=1500, limit=20)

    async def break_down(self, connection: SocketConnection, payload: Nothing) -> None:
        raise RuntimeError("a bug")

    async def odd(self, connection: SocketConnection, payload: Nothing) -> Any:
        return {"what": object()}

    async def wait(self, connection: SocketConnection, payload: Nothing) -> None:
        self.waiting.set()
        await self.gate.wait()
        self.handled.append("wait")

    async def note(self, connection: SocketConnection, payload: Say) -> None:
        self.handled.append(payload.text)

    async def emit_first(self, connection: SocketConnection, payload: Nothing) -> None:
        connection.emit("first", {"n": 1})

    async def blob(self, connection: SocketConnection, payload: Blob) -> int:
        return len(payload.data)

    async def mirror(self, connection: SocketConnection, payload: Blob) -> dict[str, Any]:
        connection.emit("mirrored", {"data": payload.data, "size": len(payload.data)})
        return {"copies": [payload.data] * len(payload.data)}

    async def on_leave(self, connection: SocketConnection) -> None:
        self.left.append((connection.namespace, connection.principal.viewer_id, connection.rooms))
        self.someone_left.set()


async def test_connecting(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await edge.websocket()
        opened = json.loads((await client.text())[1:])
        assert (opened["pingInterval"], opened["pingTimeout"], opened["maxPayload"]) == (25000, 20000, 1000000)
        assert opened["upgrades"] == []
        session = await client.join("/")
        assert session["guestToken"] == "signed:1"
        assert session["sid"] != opened["sid"]
        assert (await client.join("/chat"))["guestToken"] == "signed:1"
        mine = await client.call("who", {})
        assert mine["data"] == {
            "viewer": "g:1",
            "id": session["sid"],
            "address": "127.0.0.1",
            "namespace": "/",
            "rooms": [],
        }
        assert (await client.call("who", namespace="/chat"))["data"]["viewer"] == "g:1"
        assert edge.rooms.statistics().viewers == 2


async def test_who_connects(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await edge.viewer(auth={"token": "user:mina"})
        assert "guestToken" not in client.session
        assert (await client.call("who"))["data"]["viewer"] == f"u:{user_id('mina')}"
        client = await edge.viewer(Cookie="a=b; access_token=user:mina; guest=signed:9")
        assert (await client.call("who"))["data"]["viewer"] == f"u:{user_id('mina')}"
        client = await edge.viewer(Cookie="guest=signed:9")
        assert "guestToken" not in client.session
        assert (await client.call("who"))["data"]["viewer"] == "g:9"
        client = await edge.viewer(auth={"guestToken": "signed:8"}, Cookie="guest=signed:9")
        assert (await client.call("who"))["data"]["viewer"] == "g:8"
        client = await edge.viewer(auth={"guestToken": "made-up", "token": None})
        assert client.session["guestToken"] == "signed:1"


async def test_the_address_is_the_clients_behind_a_trusted_proxy(tmp_path: Path) -> None:
    forwarded = "198.51.100.7, 203.0.113.9, 127.0.0.2"
    for trusted, address in (((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.9")):
        async with running_edge(tmp_path, Studio().registry, trusted_proxies=trusted) as edge:
            client = await edge.viewer(X_Forwarded_For=forwarded)
            assert (await client.call("who"))["data"]["address"] == address


async def test_connections_that_are_refused(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await edge.websocket("EIO=4&transport=websocket&lang=en")
        await client.text()
        await client.send("40/nowhere,")
        assert await client.text() == '44/nowhere,{"message":"Invalid namespace"}'
        await client.send('40{"token":"stolen"}')
        assert await client.text() == ('44{"message":"Please sign in first.","data":{"errorCode":"UNAUTHORIZED"}}')
        await client.join("/", {"token": "user:mina"})


async def test_answers(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await edge.viewer(auth={"token": "user:mina"}, query="EIO=4&transport=websocket&lang=en")
        assert await client.call("say", {"text": "ab", "repeatCount": 2}) == {"ok": True, "data": {"said": "abab"}}
        assert await client.call("join", {"text": "live"}) == {"ok": True}
        assert await client.call("refuse") == {
            "ok": False,
            "errorCode": "RATE_LIMITED",
            "message": "Please slow down a little.",
            "retryAfterMs": 1500,
            "details": {"limit": 20},
        }
        wrong: list[Any] = [{}, {"text": 1}, {"text": "a", "more": 1}, [], "text", {"text": "a", "repeat_count": 2}]
        for payload in wrong:
            answer = await client.call("say", payload)
            assert answer["errorCode"] == "VALIDATION_FAILED", payload
        assert answer["details"]["fields"]
        await client.send('427["say",{"text":"a"},2]')
        assert '"VALIDATION_FAILED"' in await client.text()
        assert (await client.call("unknown", {}))["errorCode"] == "VALIDATION_FAILED"
        await client.send("427[5]")
        assert '"unknown event"' in await client.text()
        assert (await client.call("admin"))["errorCode"] == "FORBIDDEN"
        for event in ("break", "odd"):
            assert await client.call(event) == {
                "ok": False,
                "errorCode": "INTERNAL_ERROR",
                "message": "Something went wrong. Please try again shortly.",
            }
        statistics = edge.counters.statistics()
        assert (statistics.unknown_events, statistics.failed_events) == (2, 2)
        guest = await edge.viewer()
        answer = await guest.call("say", {"text": "a"})
        assert (answer["errorCode"], answer["message"]) == ("UNAUTHORIZED", "로그인이 필요해요.")


async def test_events_without_acknowledgement_get_no_answer(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        client = await edge.viewer()
        await client.send('42["unknown",{}]')
        await client.send('42["say",{"text":"a"}]')
        await client.send('42["note",{"text":"a"}]')
        assert (await client.call("who"))["ok"]
        assert studio.handled == ["a"]
        assert edge.counters.unknown_events == 1


async def test_what_a_handler_emits_comes_before_its_answer(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await edge.viewer()
        await client.send('423["emit-first"]')
        assert await client.text() == '42["first",{"n":1}]'
        assert await client.text() == '433[{"ok":true}]'


async def test_binary_attachments(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await edge.viewer()
        await client.send('451-7["blob",{"data":{"_placeholder":true,"num":0}}]')
        await client.send_frame(2, b"12345")
        assert await client.text() == '437[{"ok":true,"data":5}]'
        await client.send('451-8["note",{"text":{"_placeholder":true,"num":0}}]')
        await client.send_frame(2, b"12345")
        assert '"VALIDATION_FAILED"' in await client.text()


async def test_bytes_go_out_as_attachments(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await edge.viewer()
        await client.send('451-7["mirror",{"data":{"_placeholder":true,"num":0}}]')
        await client.send_frame(2, b"ab")
        assert await client.text() == '451-["mirrored",{"data":{"_placeholder":true,"num":0},"size":2}]'
        assert await client.frame() == (2, b"ab")
        copies = '[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        assert await client.text() == f'462-7[{{"ok":true,"data":{{"copies":{copies}}}}}]'
        assert [await client.frame() for _ in range(2)] == [(2, b"ab")] * 2
        await client.call("join", {"text": "live"})
        edge.rooms.emit("/", "live", "picture", b"png")
        assert without_offset(await client.text()) == '451-["picture",{"_placeholder":true,"num":0}]'
        assert await client.frame() == (2, b"png")
        with pytest.raises(ValueError, match="attachments"):
            edge.rooms.emit("/", "live", "album", [b"png"] * 11)
        await client.send('451-8["mirror",{"data":{"_placeholder":true,"num":0}}]')
        await client.send_frame(2, b"x" * 11)
        assert (await client.text()).startswith('451-["mirrored"')
        assert await client.frame() == (2, b"x" * 11)
        assert '"INTERNAL_ERROR"' in await client.text()
        assert (await client.call("who"))["ok"]


async def test_what_a_client_answers_is_read_and_ignored(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await edge.viewer()
        await client.send("33[1]")
        await client.send('461-3[{"_placeholder":true,"num":0}]')
        await client.send_frame(2, b"x")
        assert (await client.call("who"))["ok"]


async def test_rooms(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        first, second, other = [await edge.viewer() for _ in range(3)]
        for client in (first, second):
            assert (await client.call("join", {"text": "live"}))["ok"]
        edge.rooms.emit("/", "live", "live:product:added", {"id": 1})
        for client in (first, second):
            assert without_offset(await client.text()) == '42["live:product:added",{"id":1}]'
        edge.rooms.emit_to_all("/", "upcoming:updated", [])
        for client in (first, second, other):
            assert without_offset(await client.text()) == '42["upcoming:updated",[]]'
        edge.rooms.emit_to_viewer("/", ViewerId("g:3"), "cart:expired", {})
        assert without_offset(await other.text()) == '42["cart:expired",{}]'
        assert (await first.call("leave", {"text": "live"}))["ok"]
        assert (await first.call("who"))["data"]["rooms"] == []
        edge.rooms.emit("/", "live", "live:product:added", {"id": 2})
        assert without_offset(await second.text()) == '42["live:product:added",{"id":2}]'
        assert (await first.call("who"))["ok"]


async def test_a_slow_handler_stops_its_namespace_alone(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        slow, other = await edge.viewer(), await edge.viewer()
        await slow.join("/chat")
        await slow.send('421["wait"]')
        for number in range(5):
            await slow.send(f'42["note",{{"text":"{number}"}}]')
        with trio.fail_after(60):
            await studio.waiting.wait()
        assert (await other.call("who"))["ok"]
        assert (await slow.call("who", namespace="/chat"))["ok"]
        assert studio.handled == []
        studio.gate.set()
        assert await slow.text() == '431[{"ok":true}]'
        assert (await slow.call("who"))["ok"]
        assert studio.handled == ["wait", "0", "1", "2", "3", "4"]


async def test_a_client_that_floods_is_not_read_on(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        client, other = await edge.viewer(), await edge.viewer()
        await client.send('421["wait"]')
        flood = b"".join(client_frame(1, b'42["note",{"text":"%d"}]' % number) for number in range(500))
        with trio.fail_after(60):
            await studio.waiting.wait()
            await client.stream.send_all(flood + client_frame(1, b"no packet"))
            for _ in range(5):
                assert (await other.call("who"))["ok"]
                await trio.testing.wait_all_tasks_blocked()
            assert edge.counters.disconnects == {}  # what is wrong at the end has not been read
            studio.gate.set()
            assert await client.text() == '431[{"ok":true}]'
            assert await client.close_code() == 1002
            await studio.someone_left.wait()
        assert edge.counters.disconnects == {"parse_error": 1}
        assert studio.handled == ["wait", *map(str, range(500))]


async def leaves_by_socket_io(client: RawClient) -> None:
    await client.send("41")


async def leaves_by_engine_io(client: RawClient) -> None:
    await client.send("1")
    assert await client.close_code() == 1000


async def leaves_by_close_frame(client: RawClient) -> None:
    await client.send_frame(8, b"\x03\xe9")
    assert await client.close_code() == 1001


async def leaves_by_end_of_stream(client: RawClient) -> None:
    await client.stream.aclose()


@pytest.mark.parametrize(
    "leave", [leaves_by_socket_io, leaves_by_engine_io, leaves_by_close_frame, leaves_by_end_of_stream]
)
async def test_leaving_is_told_once_and_after_what_was_sent(tmp_path: Path, leave: Any) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        client = await edge.viewer()
        await client.call("join", {"text": "live"})
        await client.send('42["note",{"text":"last words"}]')
        await leave(client)
        with trio.fail_after(60):
            await studio.someone_left.wait()
        assert studio.handled == ["last words"]
        assert edge.rooms.statistics().sockets == 0
        edge.rooms.emit("/", "live", "say", 1)
    assert studio.left == [("/", "g:1", frozenset({"live"}))]


async def test_leaving_one_namespace_keeps_the_other(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry) as edge:
        client = await edge.viewer()
        await client.join("/chat")
        await client.send("41")
        await client.send('42["note",{"text":"too late"}]')
        assert (await client.call("who", namespace="/chat"))["ok"]
        assert (await client.join("/"))["sid"]
        assert (await client.call("who"))["ok"]
        assert studio.handled == []
        assert studio.left == [("/", "g:1", frozenset())]


@pytest.mark.parametrize(
    ("frames", "code", "reason"),
    [
        ([(1, b"42[]")], 1002, "parse_error"),
        ([(1, b"9")], 1002, "parse_error"),
        ([(1, b"2")], 1002, "parse_error"),
        ([(1, b"40")], 1002, "parse_error"),
        ([(1, b'42/chat,["who"]')], 1002, "parse_error"),
        ([(1, b'4511-["who"]')], 1002, "parse_error"),
        ([(2, b"unexpected")], 1002, "parse_error"),
        ([(1, b"\xff")], 1007, "parse_error"),
        ([(3, b"")], 1002, "parse_error"),
        ([(1, b"4" + b"x" * 5000)], 1009, "message_too_big"),
    ],
)
async def test_clients_that_break_the_rules(
    tmp_path: Path, frames: list[tuple[int, bytes]], code: int, reason: str
) -> None:
    async with running_edge(tmp_path, Studio().registry, max_payload_bytes=4000) as edge:
        client, other = await edge.viewer(), await edge.viewer()
        for opcode, payload in frames:
            await client.send_frame(opcode, payload)
        assert await client.close_code() == code
        with trio.fail_after(0.9):  # the end of our side is not waited for
            await client.end()
        assert edge.counters.disconnects == {reason: 1}
        assert (await other.call("who"))["ok"]


async def test_pings_of_the_websocket_are_answered(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await edge.viewer()
        await client.send_frame(9, b"are you there")
        assert await client.frame() == (10, b"are you there")
        await client.send_frame(10, b"")
        assert (await client.call("who"))["ok"]


async def test_a_flood_of_small_frames_lets_others_have_their_turn(tmp_path: Path) -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with running_edge(tmp_path, Studio().registry) as edge:
        client = await edge.viewer()
        await client.stream.send_all(client_frame(9, b"") * 10_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_turns)
            for _ in range(10_000):
                assert await client.frame() == (10, b"")
            nursery.cancel_scope.cancel()
    assert turns >= 80


async def test_the_heartbeat_keeps_and_ends(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry, ping_interval_s=0.05, ping_timeout_s=0.1) as edge:
        client = await edge.viewer()
        for _ in range(4):
            assert await client.text() == "2"
            await client.send("3")
        assert await client.text() == "2"
        with trio.fail_after(60):
            await client.end()
    assert edge.counters.disconnects == {"ping_timeout": 1}


async def test_pings_keep_their_interval_whatever_the_timeout(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry, ping_interval_s=0.05, ping_timeout_s=60) as edge:
        client = await edge.viewer()
        with trio.fail_after(60):
            for _ in range(4):
                assert await client.text() == "2"
                await client.send("3")


async def test_who_joins_nothing_is_closed(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry, connect_timeout_s=0.1) as edge:
        lazy, busy = await edge.websocket(), await edge.viewer()
        with trio.fail_after(60):
            await lazy.end()
        assert (await busy.call("who"))["ok"]
        assert edge.counters.disconnects == {"connect_timeout": 1}


async def test_a_stalled_viewer_is_cut_and_the_others_are_not_delayed(tmp_path: Path) -> None:
    studio = Studio()
    async with running_edge(tmp_path, studio.registry, queue_max_bytes=200_000) as edge:
        stalled = await edge.viewer(receive_buffer=4096)
        others = [await edge.viewer() for _ in range(3)]
        for client in (stalled, *others):
            await client.call("join", {"text": "live"})
        sent = 0
        with trio.fail_after(60):
            while not edge.counters.disconnects:
                edge.rooms.emit("/", "live", "n", [sent, "x" * 5000])
                for client in others:
                    assert (await client.text()).startswith(f'42["n",[{sent},')
                sent += 1
        assert edge.counters.disconnects == {"queue_full": 1}
        # the kernel's buffers and the queue: back-pressure is seen early
        assert sent * 5000 < 1_000_000
        with trio.fail_after(60):
            await studio.someone_left.wait()
        assert [who for _, who, _ in studio.left] == ["g:1"]
        assert edge.rooms.statistics().sockets == 3


async def count_tasks() -> int:
    await trio.testing.wait_all_tasks_blocked()
    return trio.lowlevel.current_statistics().tasks_living


async def test_no_task_for_a_connection_that_is_silent(tmp_path: Path) -> None:
    async with running_edge(tmp_path, Studio().registry) as edge:
        await (await edge.viewer()).call("who")
        before = await count_tasks()
        for _ in range(10):
            client = await edge.viewer()
            await client.join("/chat")
            await client.call("join", {"text": "live"})
        assert await count_tasks() == before


async def test_nobody_leaves_anything_for_the_garbage_collector(tmp_path: Path) -> None:
    """What a crowd leaves behind is freed at once."""
    async with running_edge(tmp_path, Studio().registry) as edge:
        await (await edge.viewer()).call("who")
        await count_tasks()
        gc.collect()
        gc.disable()
        try:
            client = await edge.viewer()
            await client.call("who")
            await client.stream.aclose()
            with trio.fail_after(60):
                while edge.counters.open_connections > 1:
                    await trio.lowlevel.checkpoint()
            await count_tasks()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            found = [type(item).__module__ for item in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert [name for name in found if name.startswith(("dorami_core", "httptools"))] == []


def test_registration_is_checked() -> None:
    registry = Studio().registry

    async def handler(connection: SocketConnection, payload: Nothing) -> None: ...

    for namespace, event in (("/", "who"), ("/", "disconnect"), ("chat", "x"), ("/a,b", "x")):
        with pytest.raises(ValueError, match=r"handler already|reserved|namespace"):
            registry.on(namespace, event, handler, payload=Nothing)


async def test_statistics_are_whole(tmp_path: Path) -> None:
    edge: Edge
    async with running_edge(tmp_path, Studio().registry) as edge:
        await edge.viewer()
        statistics = edge.counters.statistics()
        assert (statistics.accepted, statistics.open_connections, statistics.open_sessions) == (1, 1, 1)
    statistics = edge.counters.statistics()
    assert (statistics.open_connections, statistics.open_sessions) == (0, 0)
