"""SRS in front: its callbacks as it sends them, also twice, late and never, on real broadcasts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import pytest
import trio
from srs_server import HEARTBEAT, ON_PUBLISH, SrsServer, on_publish, on_unpublish
from stream_studio import AUDIO_HEADER, VIDEO_HEADER, Studio, frame, key_frame

from dorami_core.base.errors import DoramiError
from dorami_core.base.settings import SettingsError, SrsSettings
from dorami_core.ingest import srs as srs_module
from dorami_core.ingest.srs import SrsIngest
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.streams import srs_routes
from dorami_core.streams.model import StreamRow
from dorami_core.streams.signal import RefusedCodec


@attrs.define
class Stage:
    studio: Studio
    srs: SrsServer
    ingest: SrsIngest
    row: StreamRow

    @property
    def key(self) -> str:
        return self.row.stream_key

    async def publish(self, client_id: str = "341w361a") -> bool:
        """As SRS does it: the callback, then the publisher is in."""
        answer = await self.ingest.on_publish(on_publish(self.key, self.row.secret, client_id))
        if answer:
            self.srs.publish(self.key, client_id)
        return answer

    async def go_live(self, client_id: str = "341w361a") -> None:
        assert await self.publish(client_id)
        await until(lambda: self.srs.is_pulled(self.key))
        self.srs.send(self.key, VIDEO_HEADER, AUDIO_HEADER, key_frame(0), frame(33))
        await self.studio.until(self.key, "LIVE")

    def sessions(self) -> int:
        return self.ingest.statistics().sessions


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not condition():
            await trio.sleep(0.01)


@pytest.fixture
async def stage(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(srs_module, "PULL_TRY_S", 0.5)
    monkeypatch.setattr(srs_module, "AGAIN_S", 0.05)
    server = SrsServer()
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        settings = SrsSettings(http_url=server.url, api_url=server.url, token="t")
        ingest = SrsIngest(studio.broadcasts, studio.service.open_secret, settings)
        nursery.start_soon(ingest.run)
        row = await studio.service.create(title="t")
        await until(lambda: ingest.statistics().reconciled == 1)
        yield Stage(studio, server, ingest, row)
        nursery.cancel_scope.cancel()


async def test_a_publisher_of_srs_is_a_broadcast(stage: Stage) -> None:
    await stage.go_live()
    packets = [p for p in stage.studio.relays.made[0].packets if isinstance(p, MediaPacket)]
    assert [p.payload for p in packets] == [p.payload for p in (VIDEO_HEADER, AUDIO_HEADER, key_frame(0), frame(33))]
    stage.srs.unpublish(stage.key)
    stage.ingest.on_unpublish(on_unpublish(stage.key))
    await stage.studio.until(stage.key, "INTERRUPTED")
    # It comes back, as another client, into the same broadcast.
    await stage.go_live("another1")
    assert [name for name in stage.studio.events() if name in ("Started", "Resumed")] == ["Started", "Resumed"]


async def test_a_wrong_secret_an_unknown_key_and_an_ended_broadcast_are_refused(stage: Stage) -> None:
    refuse = stage.ingest.on_publish
    assert not await refuse(json.loads(ON_PUBLISH))
    assert not await refuse(on_publish(stage.key, "wrong"))
    assert not await refuse({**on_publish(stage.key, stage.row.secret), "app": "other"})
    assert not await refuse({**on_publish(stage.key, stage.row.secret), "param": ""})
    assert not await refuse({"action": "on_publish"})
    await stage.studio.service.end(stage.key)
    assert not await refuse(on_publish(stage.key, stage.row.secret))
    assert stage.sessions() == 0
    assert stage.ingest.statistics().refused == 6


async def test_the_same_callback_again_changes_nothing(stage: Stage) -> None:
    await stage.go_live()
    assert await stage.publish()
    assert stage.sessions() == 1
    assert stage.srs.pulls == 1
    stage.srs.unpublish(stage.key)
    for _ in range(3):
        stage.ingest.on_unpublish(on_unpublish(stage.key))
    await stage.studio.until(stage.key, "INTERRUPTED")
    assert stage.studio.events().count("Interrupted") == 1


async def test_two_at_once_of_one_client_get_one_answer(stage: Stage) -> None:
    answers: list[bool] = []

    async def ask() -> None:
        answers.append(await stage.ingest.on_publish(on_publish(stage.key, stage.row.secret)))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    assert answers == [True, True, True]
    assert stage.sessions() == 1


async def test_an_end_that_comes_before_its_beginning_wins(stage: Stage) -> None:
    stage.ingest.on_unpublish(on_unpublish(stage.key, "early"))
    assert not await stage.publish("early")
    await stage.go_live("later")


async def test_the_end_of_another_client_does_not_touch_the_present_one(stage: Stage) -> None:
    await stage.go_live("first")
    stage.ingest.on_unpublish(on_unpublish(stage.key, "second"))
    stage.srs.send(stage.key, frame(66))
    await stage.studio.quiet()
    assert (await stage.studio.row(stage.key)).status == "LIVE"
    assert stage.sessions() == 1


async def test_a_second_publisher_is_busy_until_the_first_is_silent(stage: Stage) -> None:
    await stage.go_live("first")
    assert not await stage.publish("second")
    assert stage.sessions() == 1
    stage.studio.clock.advance(6)
    assert await stage.publish("third")
    assert stage.srs.kicked == ["first"], "SRS would find the key busy otherwise"
    await until(lambda: stage.srs.is_pulled(stage.key))
    stage.srs.send(stage.key, VIDEO_HEADER, key_frame(0))
    await stage.studio.until(stage.key, "LIVE")


async def test_ending_the_broadcast_throws_the_publisher_out(stage: Stage) -> None:
    await stage.go_live()
    await stage.studio.service.end(stage.key)
    await until(lambda: stage.srs.kicked == ["341w361a"])
    await until(lambda: stage.sessions() == 0)


async def test_an_end_that_nobody_told_of_is_seen_by_the_video(stage: Stage) -> None:
    await stage.go_live()
    stage.srs.unpublish(stage.key)
    await stage.studio.until(stage.key, "INTERRUPTED")
    assert stage.ingest.statistics().lost == 1


async def test_a_pull_that_breaks_is_made_anew_while_the_publisher_is_there(stage: Stage) -> None:
    await stage.go_live()
    stage.srs.unpublish(stage.key)
    stage.srs.publish(stage.key)
    await until(lambda: stage.srs.is_pulled(stage.key))
    stage.srs.send(stage.key, VIDEO_HEADER, key_frame(66))
    await stage.studio.until(stage.key, "LIVE")
    assert stage.ingest.statistics().adopted == 1


async def test_a_heartbeat_finds_publishers_that_were_missed_and_throws_out_those_that_may_not(stage: Stage) -> None:
    stage.srs.publish(stage.key, "missed")
    stage.srs.publish("unknown-key", "stranger")
    stage.ingest.on_heartbeat()
    await until(lambda: stage.srs.is_pulled(stage.key))
    stage.srs.send(stage.key, VIDEO_HEADER, key_frame(0))
    await stage.studio.until(stage.key, "LIVE")
    await until(lambda: stage.srs.kicked == ["stranger"])
    stage.ingest.on_unpublish(on_unpublish(stage.key, "missed"))
    stage.srs.unpublish(stage.key)
    await stage.studio.until(stage.key, "INTERRUPTED")


async def test_an_srs_that_is_away_is_no_end(stage: Stage) -> None:
    stage.ingest._settings = SrsSettings(http_url=stage.srs.url, api_url="http://127.0.0.1:1", token="t")
    stage.ingest.on_heartbeat()
    await until(lambda: stage.ingest.statistics().unreachable > 0)
    await stage.go_live()


async def test_another_codec_ends_it(stage: Stage) -> None:
    await stage.go_live()
    stage.srs.send(stage.key, MediaPacket(MediaKind.VIDEO, 66, b"\x90vp09config"))
    await until(lambda: stage.srs.kicked == ["341w361a"])
    await until(lambda: stage.sessions() == 0)
    assert (await stage.studio.service.signal(stage.key)).refused == RefusedCodec("video", "VP9")


class Routes:
    """What was registered, called as the web calls it: the guard, then the handler."""

    def __init__(self, ingest: SrsIngest, settings: SrsSettings) -> None:
        self.routes: dict[str, dict[str, Any]] = {}
        srs_routes.register(self, ingest, settings)

    def api(self, method: str, path: str, handler: Any, **options: Any) -> None:
        self.routes[path] = {"handler": handler, **options}

    async def post(self, path: str, body: dict[str, Any], *, peer: str = "127.0.0.1", **args: str) -> Any:
        route = self.routes[path]
        request = type("Request", (), {"peer": peer, "args": args})
        route["guard"](request)
        return await route["handler"](request, body)


async def test_callbacks_are_taken_from_srs_alone(stage: Stage) -> None:
    routes = Routes(stage.ingest, SrsSettings(token="t", sources=["10.0.0.0/8"]))
    auth, done, beat = (f"/api/streaming/srs-{name}" for name in ("auth", "done", "heartbeat"))
    body = on_publish(stage.key, stage.row.secret)
    for facts in ({"peer": "192.168.1.1", "token": "t"}, {"peer": "10.1.2.3", "token": "x"}, {"peer": "10.1.2.3"}):
        for path in (auth, done):
            with pytest.raises(DoramiError, match="FORBIDDEN"):
                await routes.post(path, body, **facts)
    with pytest.raises(DoramiError, match="FORBIDDEN"):
        await routes.post(beat, json.loads(HEARTBEAT), peer="192.168.1.1")
    assert stage.sessions() == 0
    assert await routes.post(auth, body, peer="10.1.2.3", token="t") == {"code": 0}
    assert await routes.post(done, on_unpublish(stage.key), peer="10.1.2.3", token="t") == {"code": 0}
    assert await routes.post(beat, json.loads(HEARTBEAT), peer="10.1.2.3") == {"code": 0}
    with pytest.raises(DoramiError, match="FORBIDDEN"):
        await routes.post(auth, {**body, "action": "on_play"}, peer="10.1.2.3", token="t")
    assert all(route["envelope"] is False and route["csrf"] is False for route in routes.routes.values())
    with pytest.raises(SettingsError, match="must be set"):
        srs_routes.register(routes, stage.ingest, SrsSettings())
