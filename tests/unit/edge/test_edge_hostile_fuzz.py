"""Random and spoiled bytes at every stage of a connection: answered or closed by the rules, and nobody else notices."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile_bytes
import psutil
import pytest
import trio
from edge_harness import Edge, RawClient, running_edge, server_frame
from polling_client import PollingClient, Wire
from soaking import Soak
from test_edge_sockets import Studio

from dorami_core.edge import http1

MAX_PAYLOAD = 20_000
STATUSES = {200, 204, 206, 304, 400, 404, 405, 408, 413, 414, 417, 421, 426, 431, 501, 505, 101, 100, 403}
CLOSE_CODES = {1000, 1001, 1002, 1007, 1009}


async def read_all(client: RawClient) -> bytes:
    found = bytes(client.buffer)
    try:
        while data := await client.stream.receive_some(65536):
            found += data
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    return found


async def say(client: RawClient, parts: list[bytes]) -> bytes:
    """Sends all, ends the sending half, and returns what came back until the end."""
    heard = b""

    async def hear() -> None:
        nonlocal heard
        heard = await read_all(client)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear)
            try:
                for part in parts:
                    await client.stream.send_all(part)
                await client.stream.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
    client.stream.socket.close()
    return heard


def check_http(heard: bytes) -> None:
    """Every answer has a status line that is a refusal or a success, never a failure of ours."""
    for line in heard.split(b"HTTP/1.1 ")[1:]:
        assert int(line[:3]) in STATUSES, heard[:500]


def check_frames(heard: bytes, sent: bytes) -> None:
    """Whole frames; a close code of the rules, or the one that the client itself said."""
    buffer = bytearray(heard)
    while (found := server_frame(buffer)) is not None:
        if found[0] == 8 and found[1]:
            code = int.from_bytes(found[1][:2], "big")
            assert code in CLOSE_CODES or 1000 <= code <= 4999, (code, sent)
            assert not buffer, "something after the close frame"


async def attack_http(edge: Edge, chance: random.Random) -> None:
    client = RawClient(await edge.connect(), edge.port)
    check_http(await say(client, hostile_bytes.cut(chance, hostile_bytes.heads(chance))))


async def attack_websocket(edge: Edge, chance: random.Random, make: Callable[[random.Random], bytes]) -> None:
    client = await edge.websocket()
    data = make(chance)
    check_frames(await say(client, hostile_bytes.cut(chance, data)), data)


async def attack_frames(edge: Edge, chance: random.Random) -> None:
    await attack_websocket(edge, chance, hostile_bytes.frames)


async def attack_packets(edge: Edge, chance: random.Random) -> None:
    await attack_websocket(edge, chance, hostile_bytes.packets)


async def attack_msgpack(edge: Edge, chance: random.Random) -> None:
    await attack_websocket(edge, chance, hostile_bytes.msgpack)


async def attack_events(edge: Edge, chance: random.Random) -> None:
    client = await edge.viewer(auth={"token": "user:mina"})
    data = hostile_bytes.events(chance)
    check_frames(await say(client, hostile_bytes.cut(chance, data)), data)


async def attack_probe(edge: Edge, chance: random.Random) -> None:
    poller = await PollingClient.viewer(edge)
    client = await poller.websocket()
    data = hostile_bytes.frames(chance) if chance.random() < 0.5 else hostile_bytes.packets(chance)
    check_frames(await say(client, hostile_bytes.cut(chance, data)), data)
    await leave(poller)


async def attack_body(edge: Edge, chance: random.Random) -> None:
    poller = await PollingClient.open(edge)
    if chance.random() < 0.7:
        await poller.push("40")
    body = hostile_bytes.bodies(chance)
    stated = len(body) if chance.random() < 0.8 else chance.choice((0, 1, len(body) + 5, MAX_PAYLOAD + 1, 10**30))
    head = f"POST {poller.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {stated}\r\n\r\n".encode()
    client = RawClient(poller.poster.stream, edge.port)
    check_http(await say(client, hostile_bytes.cut(chance, head + body)))
    await leave(poller)


async def leave(poller: PollingClient) -> None:
    """The session, if there still is one, ends."""
    reply = await poller.getter.ask("POST", poller.path, b"1")
    assert reply.status in (200, 400)
    hang_up(poller)


def hang_up(poller: PollingClient) -> None:
    for wire in (poller.getter, poller.poster):
        wire.stream.socket.close()


async def call_anew(poller: PollingClient) -> Any:
    """On connections of its own: an idle one is closed after ten seconds."""
    poller.getter, poller.poster = [Wire(await poller.edge.connect(), poller.edge.port) for _ in range(2)]
    answer = await poller.call("who")
    hang_up(poller)
    return answer


ATTACKS = (
    attack_http,
    attack_frames,
    attack_packets,
    attack_msgpack,
    attack_events,
    attack_probe,
    attack_body,
)


def weigh() -> tuple[int, int]:
    """How many objects live, and the resident bytes."""
    gc.collect()
    return len(gc.get_objects()), psutil.Process().memory_info().rss


@pytest.mark.soak
async def test_hostile_bytes_at_every_stage(tmp_path: Path, soak: Soak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "_LINGER_S", 0.05)
    studio = Studio()
    studio.gate.set()
    weights: list[tuple[int, int, int]] = []
    limits = {
        "max_payload_bytes": MAX_PAYLOAD,
        "queue_max_bytes": 100_000,
        "connect_timeout_s": 3,
        "ping_interval_s": 9999,
    }
    async with running_edge(tmp_path, studio.registry, **limits) as edge:
        witness, poller = await edge.viewer(), await PollingClient.viewer(edge)
        hang_up(poller)
        for turn in soak.rounds(60):
            for attack in ATTACKS:
                # each attack of each round can be repeated alone
                seed = f"{soak.seed}:{turn}:{attack.__name__}"
                try:
                    await attack(edge, random.Random(seed))
                except BaseException as error:
                    error.add_note(f"seed {seed}")
                    raise
            del edge.streams[1:]  # the witness's stays
            studio.handled.clear()
            studio.left.clear()
            if not turn % 20:
                await trio.testing.wait_all_tasks_blocked(0.01)
                await edge.rooms.sweep(trio.current_time() + 60)  # as it would after a while
                assert (await witness.call("who"))["ok"]
                assert (await call_anew(poller))["ok"]
                assert edge.counters.disconnects["error"] == 0, f"seed {soak.seed}"
                assert edge.rooms.statistics().sockets == 2
                weights.append((turn, *weigh()))
        await trio.testing.wait_all_tasks_blocked()
        statistics = edge.counters.statistics()
        assert statistics.failed_events == 0
        assert statistics.open_connections == 1
    check_weights(weights)


def check_weights(weights: list[tuple[int, int, int]]) -> None:
    """After the first third, in which pools and caches fill, memory stays where it is."""
    begun = weights[len(weights) // 3 :]
    (first, objects, resident), (last, objects_now, resident_now) = begun[0], begun[-1]
    attacks = (last - first) * len(ATTACKS)
    # Trio prunes ended deadlines by the thousand, two objects each; the wheel keeps an empty ticket until its time
    tickets = attacks
    assert objects_now - objects < 2500 + tickets + attacks * 0.05, (objects, objects_now, attacks)
    assert resident_now - resident < 16_000_000, (resident, resident_now, attacks)
