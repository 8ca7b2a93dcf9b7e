"""Broadcasts recorded by real workers, read by FFmpeg."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio

from dorami_core.base.clock import SystemClock
from dorami_core.base.ids import StreamKey
from dorami_core.base.settings import MediaSettings, RecordingSettings
from dorami_core.hooks.host import StreamView
from dorami_core.media.hub import RelayHub, open_relay_hub
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.media.relay import Relay
from dorami_core.recordings import store
from dorami_core.recordings.model import Part
from dorami_core.recordings.recorder import Recorder
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.streams import store as streams_store

SHOW = StreamKey("show-one")
MEDIA = MediaSettings(flv_interval_s=0.01)
Packets = Sequence[MediaPacket]


@pytest.fixture
def time_to_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may need longer than FINISH_S to write what was published all at once."""
    monkeypatch.setattr("dorami_core.recordings.recorder.FINISH_S", 60)


class Directory:
    def __init__(self, db: PostgresDatabase) -> None:
        self._db = db

    async def find(self, stream_key: str) -> StreamView | None:
        row = await streams_store.find(self._db, stream_key)
        return row.view if row else None

    async def live(self) -> list[StreamView]:
        return []

    async def upcoming(self) -> list[StreamView]:
        return []

    async def list_all(self, limit: int = 50) -> list[StreamView]:
        return []

    def viewer_count(self, stream_key: str) -> int:
        return 0


async def go_live(db: PostgresDatabase) -> None:
    async with db.transaction() as tx:
        await streams_store.insert(
            tx,
            SHOW,
            title="t",
            secret="s",
            scheduled_at=None,
            free_shipping_enabled=False,
            created_at=datetime.now(UTC),
        )
        await streams_store.start_session(tx, SHOW, at=datetime.now(UTC), viewers=0)


@asynccontextmanager
async def recording(
    db: PostgresDatabase, root: Path, settings: RecordingSettings | None = None
) -> AsyncIterator[tuple[RelayHub, Relay, Recorder]]:
    """A broadcast with its recorder; ends as a session does: the relay, then the companions."""
    await go_live(db)
    async with open_relay_hub(MEDIA) as hub, trio.open_nursery() as nursery:
        directory = Directory(db)
        recorder = Recorder(db, hub, lambda: directory, root, SystemClock(), settings or RecordingSettings(), MEDIA)
        relay = hub.open(SHOW)
        nursery.start_soon(recorder.run, SHOW)
        # Who comes later gets the last GOP only.
        await until(lambda: relay.statistics().subscribers == 1 or recorder.statistics().no_space > 0)
        with trio.fail_after(60):
            yield hub, relay, recorder
        hub.close(SHOW)
        nursery.cancel_scope.cancel()


async def publish(relay: Relay, packets: Packets) -> None:
    relay.begin_source()
    await go_on(relay, packets)


async def go_on(relay: Relay, packets: Packets) -> None:
    for start in range(0, len(packets), 40):
        for packet in packets[start : start + 40]:
            relay.write(packet)
        await trio.sleep(MEDIA.flv_interval_s * 2)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not condition():
            await trio.sleep(0.01)


async def parts_of(db: PostgresDatabase) -> list[Part]:
    return sorted(await store.list_parts(db, SHOW, 10, 0), key=lambda part: part.number)


def frames(packets: Packets) -> int:
    return sum(p.kind is MediaKind.VIDEO and not p.is_sequence_header for p in packets)


def probe(file: Path) -> dict[str, dict[str, Any]]:
    command = ["ffprobe", "-v", "error", "-of", "json", "-count_frames", "-show_streams", str(file)]
    shown = subprocess.run(command, check=True, capture_output=True, timeout=30, text=True)
    assert shown.stderr == ""
    return {stream["codec_type"]: stream for stream in json.loads(shown.stdout)["streams"]}


def workers() -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and b"workers.record" in (folder / "cmdline").read_bytes():
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                found += [int(folder.name)] if parent == os.getpid() else []
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.usefixtures("time_to_finish")
async def test_a_broadcast_is_kept_to_its_last_frame(
    database: PostgresDatabase, tmp_path: Path, encoded: Packets
) -> None:
    before = datetime.now(UTC)
    async with recording(database, tmp_path / "recordings") as (_, relay, recorder):
        await publish(relay, encoded)
        await until(lambda: recorder.statistics().recording == 1)
        (part,) = await parts_of(database)
        assert (part.status, part.ended_at) == ("RECORDING", None)
    (part,) = await parts_of(database)
    assert (part.status, part.number) == ("READY", 1)
    assert part.ended_at is not None
    file = tmp_path / "recordings" / part.file
    assert part.bytes == file.stat().st_size
    shown = await trio.to_thread.run_sync(probe, file)
    assert int(shown["video"]["nb_read_frames"]) == frames(encoded)
    assert int(shown["audio"]["nb_read_frames"]) > 100
    assert abs(part.duration_ms - 4000) < 100
    # Four seconds were given at once: the file is taken to have begun before.
    ((at_ms, unix_ms),) = part.marks
    assert at_ms == 0
    assert -5000 < unix_ms - before.timestamp() * 1000 < 5000


@pytest.mark.usefixtures("time_to_finish")
async def test_interruptions_stay_in_one_file(database: PostgresDatabase, tmp_path: Path, encoded: Packets) -> None:
    async with recording(database, tmp_path) as (_, relay, recorder):
        for turn in range(3):
            # Encoders write the same sound format in more words, or fewer.
            words = b"\x56\xe5\x00" if turn else b""
            again = [
                MediaPacket(p.kind, 0, p.payload[:4] + words)
                if p.kind is MediaKind.AUDIO and p.is_sequence_header
                else p
                for p in encoded
            ]
            await publish(relay, again)
    assert recorder.statistics().parts == 1
    (part,) = await parts_of(database)
    shown = await trio.to_thread.run_sync(probe, tmp_path / part.file)
    assert int(shown["video"]["nb_read_frames"]) == 3 * frames(encoded)
    assert abs(float(shown["video"]["duration"]) - 12) < 0.3


@pytest.mark.usefixtures("time_to_finish")
async def test_another_picture_begins_another_part(
    database: PostgresDatabase, tmp_path: Path, encoded: Packets
) -> None:
    from media_parts import encoded_packets

    larger = encoded_packets(2, "320x180")
    async with recording(database, tmp_path) as (_, relay, recorder):
        await publish(relay, encoded)
        await publish(relay, larger)
        await until(lambda: recorder.statistics().parts == 2)
    first, second = await parts_of(database)
    shown = [await trio.to_thread.run_sync(probe, tmp_path / part.file) for part in (first, second)]
    assert [one["video"]["width"] for one in shown] == [160, 320]
    assert [int(one["video"]["nb_read_frames"]) for one in shown] == [frames(encoded), frames(larger)]
    assert "audio" in shown[1]
    assert first.session_at == second.session_at


@pytest.mark.usefixtures("time_to_finish")
async def test_what_a_killed_worker_has_written_can_be_played_and_it_goes_on(
    database: PostgresDatabase, tmp_path: Path, encoded: Packets
) -> None:
    async with recording(database, tmp_path) as (_, relay, recorder):
        await publish(relay, encoded)
        files: list[Path] = []
        # All but the last half second of what was given is on the disk while it still writes.
        await until(lambda: bool(files := list(tmp_path.glob("*/*.mp4"))) and files[0].stat().st_size > 0)
        files = list(tmp_path.glob("*/*.mp4"))

        def written() -> int:
            try:
                return int(probe(files[0])["video"]["nb_read_frames"])
            except (subprocess.CalledProcessError, AssertionError, KeyError):
                return 0

        with trio.fail_after(60):
            while await trio.to_thread.run_sync(written) < frames(encoded) - 15:
                await trio.sleep(0.05)
        (pid,) = workers()
        os.kill(pid, signal.SIGKILL)
        assert await trio.to_thread.run_sync(written) >= frames(encoded) - 15
        await until(lambda: recorder.statistics().failures == 1)
        await publish(relay, encoded)
        await until(lambda: recorder.statistics().parts == 2)
    first, second = await parts_of(database)
    assert (first.status, second.status) == ("READY", "READY")
    assert second.bytes > 0


async def test_nothing_is_written_to_a_disk_that_is_nearly_full(
    database: PostgresDatabase, tmp_path: Path, encoded: Packets
) -> None:
    settings = RecordingSettings(min_free_gb=1e9)
    async with recording(database, tmp_path, settings) as (_, relay, recorder):
        await publish(relay, encoded)
        await until(lambda: recorder.statistics().no_space > 0)
    assert await parts_of(database) == []
    assert list(tmp_path.iterdir()) == []
