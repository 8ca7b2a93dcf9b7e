"""Real workers send a real broadcast to servers on loopback that work, refuse, are gone, or stop reading."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import av
import pytest
import trio
from restream_parts import (
    HOST,
    KEY,
    MEDIA,
    LoopedPublisher,
    Platform,
    Wire,
    free_port,
    make_sending,
    make_state,
    self_signed,
    serve_deaf,
    serve_platform,
    serve_tls,
    until,
)

from dorami_core.base.settings import RestreamSettings
from dorami_core.media.flv import FlvReader, encode_header, encode_tag
from dorami_core.media.hub import RelayHub, open_relay_hub
from dorami_core.media.packets import MediaKind
from dorami_core.media.relay import Relay
from dorami_core.media.slate import make_slate
from dorami_core.restream.sending import Slates
from dorami_core.restream.state import RunState

SHOW = "show-one"
QUICK = RestreamSettings(first_pause_s=0.2, longest_pause_s=0.5)
IMPATIENT = attrs.evolve(QUICK, stale_s=2)
"""For targets that are to stall: on a busy machine a worker takes longer than this to start."""


class Stage:
    """A broadcast that plays, and what is sent of it."""

    def __init__(self, hub: RelayHub, relay: Relay, publisher: LoopedPublisher, nursery: trio.Nursery) -> None:
        self.hub = hub
        self.relay = relay
        self.publisher = publisher
        self.nursery = nursery
        self.slates = Slates()
        self.over: list[RunState] = []

    def send(self, port: int, *, settings: RestreamSettings = QUICK, key: str = KEY, **how: Any) -> RunState:
        state = make_state(key)

        async def run() -> None:
            await make_sending(self.relay, port, state, self.slates, key=key, settings=settings, **how).run()
            self.over.append(state)

        self.nursery.start_soon(run)
        return state

    async def platform(self) -> tuple[Platform, int]:
        platform = Platform()
        return platform, await self.nursery.start(serve_platform, platform)

    async def wire(self) -> tuple[Platform, Wire, int]:
        platform, port = await self.platform()
        wire = Wire()
        return platform, wire, await self.nursery.start(wire.serve, port)


@pytest.fixture
async def stage(encoded: tuple[object, ...]) -> AsyncIterator[Stage]:
    async with open_relay_hub(MEDIA) as hub, trio.open_nursery() as nursery:
        relay = hub.open(SHOW)
        yield Stage(hub, relay, LoopedPublisher(relay, encoded), nursery)  # type: ignore[arg-type]
        nursery.cancel_scope.cancel()
        hub.close(SHOW)


def children() -> set[int]:
    """Restream workers of this process."""
    found = set()
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and b"workers.restream" in (folder / "cmdline").read_bytes():
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                found |= {int(folder.name)} if parent == os.getpid() else set()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


async def test_a_platform_gets_every_frame_and_a_goodbye(stage: Stage) -> None:
    platform, port = await stage.platform()
    playing = await stage.nursery.start(stage.publisher.run)
    state = stage.send(port)
    await until(lambda: len(platform.frames) > 60)
    assert (state.status, state.cause, state.restart_count) == ("ACTIVE", "", 0)
    await until(lambda: state.bitrate_bps > 10_000)
    playing.cancel()
    stage.hub.close(SHOW)
    await until(lambda: stage.over == [state])
    assert (state.status, state.cause) == ("IDLE", "ENDED")
    await until(lambda: platform.open == 0)
    assert (platform.connections, platform.goodbyes) == (1, 1)
    times = [p.timestamp_ms for p in platform.frames]
    assert {b - a for a, b in pairwise(times)} <= {33, 34}
    assert any(p.kind is MediaKind.AUDIO for p in platform.packets)


async def test_the_copy_can_be_played(stage: Stage, tmp_path: Path) -> None:
    platform, port = await stage.platform()
    await stage.nursery.start(stage.publisher.run)
    stage.send(port, mute=True)
    await until(lambda: len(platform.frames) > 60)
    file = tmp_path / "got.flv"
    tags = [encode_tag(p.kind, p.timestamp_ms, p.payload) for p in platform.packets if p.kind is not MediaKind.DATA]
    file.write_bytes(encode_header(audio=True, video=True) + b"".join(tags))
    with av.open(str(file)) as container:
        sound = [frame for frame in container.decode(audio=0)]
    assert len(sound) > 40
    assert all(not any(bytes(plane)) for frame in sound[4:] for plane in frame.planes), "it is silent"
    command = ["ffprobe", "-v", "error", "-of", "json", "-count_frames", "-show_streams", str(file)]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=30).stdout)
    assert [stream["codec_name"] for stream in shown["streams"]] == ["h264", "aac"]
    assert int(shown["streams"][0]["nb_read_frames"]) == len(platform.frames)


async def test_a_publisher_who_is_gone_and_comes_back_ten_times_is_one_connection_for_the_platform(
    stage: Stage,
) -> None:
    platform, port = await stage.platform()
    playing = await stage.nursery.start(stage.publisher.run)
    state = stage.send(port, settings=RestreamSettings())
    await until(lambda: len(platform.frames) > 10)
    for _ in range(10):
        playing.cancel()
        await until(lambda: state.on_slate)
        slated = len(platform.frames)
        await until(lambda count=slated: len(platform.frames) > count + 15)  # type: ignore[misc]
        playing = await stage.nursery.start(stage.publisher.run)
        await until(lambda: not state.on_slate)
    assert (platform.connections, platform.open, state.restart_count) == (1, 1, 0)
    assert state.status == "ACTIVE"
    for kind in (MediaKind.AUDIO, MediaKind.VIDEO):
        times = [p.timestamp_ms for p in platform.packets if p.kind is kind]
        assert times == sorted(times)
        assert max(b - a for a, b in pairwise(times)) < 4000


async def test_each_failure_has_its_cause_and_the_healthy_target_loses_no_frame(stage: Stage) -> None:
    good, good_port = await stage.platform()
    refusing, refusing_port = await stage.platform()
    refusing.refuses = True
    _, wire, slow_port = await stage.wire()
    deaf_port = await stage.nursery.start(serve_deaf)
    await stage.nursery.start(stage.publisher.run)
    healthy = stage.send(good_port, settings=RestreamSettings())
    refused, gone, deaf = stage.send(refusing_port), stage.send(free_port()), stage.send(deaf_port, settings=IMPATIENT)
    stuck = stage.send(slow_port, settings=IMPATIENT)
    await until(lambda: stuck.status == "ACTIVE" and healthy.status == "ACTIVE")
    wire.freeze()
    await until(lambda: refused.cause == "REFUSED")
    await until(lambda: gone.cause == "UNREACHABLE")
    await until(lambda: deaf.cause == "STALLED")
    await until(lambda: stuck.cause == "STALLED")
    # All of them try again, and succeed where they can.
    refusing.refuses = False
    wire.thaw()
    await until(lambda: refused.status == "ACTIVE" and stuck.status == "ACTIVE")
    assert refused.cause == stuck.cause == ""
    assert refused.restart_count > 0
    assert stuck.restart_count > 0
    assert (healthy.status, healthy.restart_count, good.connections) == ("ACTIVE", 0, 1)
    times = [p.timestamp_ms for p in good.frames]
    assert {b - a for a, b in pairwise(times)} <= {33, 34}, "no frame is missing"


async def test_a_broken_connection_is_made_anew(stage: Stage) -> None:
    platform, wire, port = await stage.wire()
    await stage.nursery.start(stage.publisher.run)
    state = stage.send(port)
    await until(lambda: state.status == "ACTIVE")
    wire.cut()
    await until(lambda: state.cause == "LOST")
    await until(lambda: state.status == "ACTIVE")
    assert (state.restart_count, platform.connections) == (1, 2)


async def test_a_worker_that_is_killed_or_takes_too_much_is_replaced(stage: Stage) -> None:
    _, port = await stage.platform()
    await stage.nursery.start(stage.publisher.run)
    other = stage.send(port)
    await until(lambda: other.status == "ACTIVE")
    before = children()
    state = stage.send(port)
    await until(lambda: state.status == "ACTIVE")
    (pid,) = children() - before
    os.kill(pid, signal.SIGKILL)
    await until(lambda: state.restart_count == 1 and state.status == "ACTIVE")
    assert (other.status, other.restart_count) == ("ACTIVE", 0)
    greedy = stage.send(port, settings=RestreamSettings(first_pause_s=30, worker_memory_mb=10))
    await until(lambda: greedy.status == "FAILED")
    assert greedy.cause in ("OVER_LIMIT", "WORKER")


async def test_a_worker_that_takes_too_much_of_a_core_is_replaced(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dorami_core.restream.attempt.CPU_OVER_S", 1.0)
    _, port = await stage.platform()
    await stage.nursery.start(stage.publisher.run)
    # Its start alone is more than that.
    state = stage.send(port, settings=RestreamSettings(first_pause_s=30, worker_cpu=0.001))
    await until(lambda: state.status == "FAILED")
    assert state.cause == "OVER_LIMIT"


async def secure(stage: Stage, folder: Path, *hosts: str) -> tuple[Platform, int, RestreamSettings]:
    """A platform behind TLS, and settings that trust its certificate. The names are none that a URL could have as they
    are."""
    platform, port = await stage.platform()
    await stage.nursery.start(stage.publisher.run)
    file = folder / "it's a [test]: |\\.pem"
    file.write_bytes(self_signed(*hosts))
    return platform, await stage.nursery.start(serve_tls, port, file), attrs.evolve(QUICK, ca_file=str(file))


async def test_rtmps(stage: Stage, tmp_path: Path) -> None:
    platform, port, settings = await secure(stage, tmp_path, HOST)
    state = stage.send(port, scheme="rtmps", settings=settings)
    await until(lambda: len(platform.frames) > 30)
    assert (state.status, state.restart_count) == ("ACTIVE", 0)
    await until(lambda: state.sent_bytes > 0 and state.bitrate_bps > 0)


async def test_the_key_goes_to_nobody_whose_certificate_is_not_to_be_trusted(stage: Stage, tmp_path: Path) -> None:
    platform, port, settings = await secure(stage, tmp_path, "another.example")
    of_nobody = stage.send(port, scheme="rtmps")
    of_another = stage.send(port, scheme="rtmps", settings=settings)
    await until(lambda: of_nobody.cause == "UNTRUSTED")
    await until(lambda: of_another.cause == "UNTRUSTED")
    assert platform.asked == []


async def test_a_key_of_any_characters_reaches_a_secure_platform(stage: Stage, tmp_path: Path) -> None:
    platform, port, settings = await secure(stage, tmp_path, HOST)
    platform.refuses = True
    key = "live_1|2'3\\4[5]:6=7"
    state = stage.send(port, scheme="rtmps", settings=settings, key=key)
    await until(lambda: state.cause == "REFUSED")
    assert platform.asked[0] == key
    assert any("Server error" in line for line in state.lines)
    assert not any("live_1" in line or "[5]" in line for line in state.lines)


async def test_the_budget_of_failures_ends_it(stage: Stage) -> None:
    await stage.nursery.start(stage.publisher.run)
    settings = RestreamSettings(first_pause_s=0.05, longest_pause_s=0.05, max_failures=2)
    state = stage.send(free_port(), settings=settings)
    await until(lambda: stage.over == [state])
    assert (state.status, state.cause, state.restart_count) == ("FAILED", "UNREACHABLE", 2)
    assert state.next_attempt_at is None


async def test_the_key_is_nowhere_to_be_read(stage: Stage) -> None:
    _, port = await stage.platform()
    await stage.nursery.start(stage.publisher.run)
    key = "live_123+secret/key?x=1"
    state = stage.send(port, key=key)
    pids: set[int] = set()
    await until(lambda: bool(pids.update(children())) or bool(pids))
    for pid in pids:
        try:
            assert key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert key.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
    await until(lambda: state.cause == "REFUSED")
    assert state.lines
    assert not any("secret" in line for line in state.lines)
    assert "secret" not in repr(state)


async def test_a_slate_has_the_form_of_the_broadcast() -> None:
    from media_parts import encoded_flv

    slate = await make_slate(encoded_flv(2, "320x180"))
    assert slate.video[0][0] == 0x17
    assert all(payload[0] == 0x27 for payload in slate.video[1:])
    assert (len(slate.video), round(slate.frame_ms)) == (60, 33)
    assert slate.silence_ms == pytest.approx(23.22, abs=0.01)
    own = [p for p in FlvReader().feed(encoded_flv(2, "320x180")) if p.kind is MediaKind.AUDIO and p.is_sequence_header]
    assert slate.audio_header[:4] == own[0].payload[:4]
    file = encode_header(audio=True, video=True) + encode_tag(9, 0, slate.video_header)
    file += b"".join(encode_tag(9, 40 * number, payload) for number, payload in enumerate(slate.video))
    with av.open(BytesIO(file)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 60
    assert (frames[0].width, frames[0].height) == (320, 180)
