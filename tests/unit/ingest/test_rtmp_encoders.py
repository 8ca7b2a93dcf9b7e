"""Real encoders against the server: ffmpeg, GStreamer and PyAV publish H.264 and AAC over a loopback socket."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import av
import pytest
import structlog
import trio
from rtmp_parts import SECRET, FakeGate, Recorder

from dorami_core.base.settings import MediaSettings, RtmpSettings
from dorami_core.ingest import amf0
from dorami_core.ingest.codecs import codec_name
from dorami_core.ingest.server import RtmpServer
from dorami_core.media.hub import open_relay_hub
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.testing.waiting import becomes

FRAMES = 60
GOP = 30
_PYAV = """
import sys, av
source = av.open(sys.argv[1])
target = av.open(sys.argv[2], "w", format="flv")
streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
for packet in source.demux():
    if packet.dts is not None:
        packet.stream = streams[packet.stream.index]
        target.mux(packet)
target.close()
"""
_PYAV_CODECS = """
import sys, av
url, codec, sound, count = sys.argv[1:]
options = {"libx265": {"preset": "ultrafast", "x265-params": "log-level=none:keyint=30"}}
options |= {"libsvtav1": {"preset": "12", "svtav1-params": "keyint=30:lookahead=0"}}
options |= {"libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}}
target = av.open(url, "w", format="flv")
video = target.add_stream(codec, rate=30, options=options.get(codec, {}))
video.width, video.height, video.pix_fmt, video.gop_size = 320, 180, "yuv420p", 30
audio = target.add_stream(sound, rate=48000, layout="stereo")
with av.open("testsrc=size=320x180:rate=30[out0];sine=sample_rate=48000[out1]", format="lavfi") as source:
    resampler = av.AudioResampler(audio.format or "s16", "stereo", 48000, frame_size=audio.frame_size or 960)
    pictures = 0
    for frame in source.decode():
        if isinstance(frame, av.VideoFrame):
            pictures += 1
            if pictures > int(count):
                break
            frame = frame.reformat(format="yuv420p")
            frame.pict_type = 0
            target.mux(video.encode(frame))
        else:
            for part in resampler.resample(frame):
                target.mux(audio.encode(part))
target.mux(video.encode(None))
target.mux(audio.encode(None))
target.close()
"""

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg here")


def _has_gstreamer() -> bool:
    if shutil.which("gst-inspect-1.0") is None:
        return False
    elements = ("rtmp2sink", "x264enc", "voaacenc", "flvmux")
    return all(
        subprocess.run(["gst-inspect-1.0", "--exists", element], capture_output=True).returncode == 0
        for element in elements
    )


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of picture and sound: 60 frames, a key frame every 30."""
    file = tmp_path_factory.mktemp("clip") / "clip.mp4"
    command = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=30"]
    command += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100", "-frames:v", str(FRAMES), "-shortest"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", str(GOP), "-threads", "1"]
    subprocess.run([*command, "-c:a", "aac", str(file)], check=True, timeout=60)
    return file


class Studio:
    """A running server with the URL to publish to."""

    def __init__(self, server: RtmpServer, gate: FakeGate, port: int, nursery: trio.Nursery) -> None:
        self.server = server
        self.gate = gate
        self.nursery = nursery
        self.address = f"rtmp://127.0.0.1:{port}/live"

    def url(self, secret: str = SECRET) -> str:
        return f"{self.address}/show-1?secret={quote(secret, safe='')}"

    async def run(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        return await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)


@asynccontextmanager
async def open_studio() -> AsyncIterator[Studio]:
    gate = FakeGate()
    server = RtmpServer(gate, RtmpSettings())
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(server.serve, "127.0.0.1", 0)
            yield Studio(server, gate, port, nursery)
            nursery.cancel_scope.cancel()


def of_kind(recorder: Recorder, kind: MediaKind) -> list[MediaPacket]:
    return [packet for packet in recorder.packets if packet.kind is kind]


def check_media(recorder: Recorder, *, frames: int = FRAMES, gop: int = GOP) -> None:
    """Both sequence headers before the media, every frame, in the order of time."""
    for kind, count in ((MediaKind.VIDEO, frames), (MediaKind.AUDIO, 80)):
        packets = of_kind(recorder, kind)
        assert packets[0].is_sequence_header
        media = [packet for packet in packets if not packet.is_sequence_header and len(packet.payload) > 5]
        times = [packet.timestamp_ms for packet in media]
        assert times == sorted(times)
        assert 1800 <= times[-1] - times[0] <= 2200
        if kind is MediaKind.VIDEO:
            assert len(media) == count
            assert media[0].is_keyframe
            assert sum(packet.is_keyframe for packet in media) == frames // gop
        else:
            assert len(media) >= count


def check_metadata(recorder: Recorder, width: float) -> None:
    name, value = amf0.decode(of_kind(recorder, MediaKind.DATA)[0].payload)
    assert name == "onMetaData"
    assert isinstance(value, dict)
    assert value["width"] == width


def ffmpeg(clip: Path, url: str, *options: str) -> list[str]:
    command = ["ffmpeg", "-v", "error", "-nostdin", *options, "-i", str(clip)]
    return [*command, "-c", "copy", "-flvflags", "no_duration_filesize", "-f", "flv", url]


def pyav(clip: Path, url: str) -> list[str]:
    return [sys.executable, "-c", _PYAV, str(clip), url]


@needs_ffmpeg
@pytest.mark.parametrize("encoder", [ffmpeg, pyav])
async def test_clip_arrives_whole(clip: Path, encoder: Callable[[Path, str], list[str]]) -> None:
    async with open_studio() as studio:
        done = await studio.run(*encoder(clip, studio.url()))
        assert (done.returncode, done.stderr) == (0, b"")
        recorder = studio.gate.last
        await recorder.left.wait()
        check_media(recorder)
        check_metadata(recorder, 320)
        assert recorder.finished
        assert recorder.request.secret == SECRET
        assert recorder.request.stream_key == "show-1"
        assert studio.server.statistics().protocol_errors == 0


@needs_ffmpeg
async def test_a_long_broadcast_crosses_the_extended_time(clip: Path) -> None:
    """After 4.7 hours times no longer fit into the chunk header (and ffmpeg repeats them on every chunk)."""
    boundary_ms = 0xFFFFFF
    async with open_studio() as studio:
        command = ffmpeg(clip, studio.url())
        at = command.index("-f")
        done = await studio.run(*command[:at], "-output_ts_offset", str(boundary_ms / 1000 - 1), *command[at:])
        assert (done.returncode, done.stderr) == (0, b"")
        await studio.gate.last.left.wait()
        check_media(studio.gate.last)
        times = [packet.timestamp_ms for packet in of_kind(studio.gate.last, MediaKind.VIDEO)[1:]]
        assert times[0] < boundary_ms < times[-1]


@pytest.mark.skipif(not _has_gstreamer(), reason="no GStreamer with rtmp2sink here")
async def test_gstreamer_publishes() -> None:
    async with open_studio() as studio:
        pipeline = (
            f"videotestsrc num-buffers={FRAMES} ! video/x-raw,width=320,height=180,framerate=30/1 "
            f"! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={GOP} threads=1 ! h264parse ! mux. "
            "audiotestsrc num-buffers=90 samplesperbuffer=1024 ! audio/x-raw,rate=44100,channels=2 "
            "! voaacenc ! aacparse ! mux. "
            f"flvmux name=mux streamable=true ! rtmp2sink async-connect=false sync=false location={studio.url()}"
        )
        done = await studio.run("gst-launch-1.0", "-q", *pipeline.split())
        assert done.returncode == 0, done.stderr
        recorder = studio.gate.last
        await recorder.left.wait()
        check_media(recorder)
        check_metadata(recorder, 320)
        assert recorder.finished


@needs_ffmpeg
async def test_killed_encoder_is_lost_not_finished(clip: Path) -> None:
    async with open_studio() as studio:
        command = ffmpeg(clip, studio.url(), "-re")
        process: trio.Process = await studio.nursery.start(
            partial(trio.run_process, command, check=False, stderr=subprocess.DEVNULL)
        )
        await studio.gate.entered.wait()
        recorder = studio.gate.last
        await recorder.wait_packets(8)
        process.send_signal(signal.SIGKILL)
        await recorder.left.wait()
        assert not recorder.finished
        assert studio.server.statistics().lost == 1
        assert len(recorder.packets) < FRAMES


@needs_ffmpeg
@pytest.mark.parametrize(
    ("encoder", "shown"), [(ffmpeg, b"Publishing was refused."), (pyav, b"PermissionError")], ids=["ffmpeg", "pyav"]
)
async def test_wrong_secret_makes_the_encoder_fail(
    clip: Path, encoder: Callable[[Path, str], list[str]], shown: bytes
) -> None:
    async with open_studio() as studio:
        done = await studio.run(*encoder(clip, studio.url("wrong")))
        assert done.returncode != 0
        assert shown in done.stderr
        assert studio.gate.publications == []
        assert studio.server.statistics().refused == 1


@needs_ffmpeg
async def test_cut_reaches_the_encoder(clip: Path) -> None:
    async with open_studio() as studio:
        result: list[subprocess.CompletedProcess[bytes]] = []

        async def publish() -> None:
            result.append(await studio.run(*ffmpeg(clip, studio.url(), "-re", "-stream_loop", "50")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            await studio.gate.entered.wait()
            await studio.gate.last.wait_packets(8)
            studio.gate.last.cut("ended")
        assert result[0].returncode != 0
        assert not studio.gate.last.finished


@needs_ffmpeg
@pytest.mark.parametrize(
    ("codecs", "advice"),
    [(["-c:v", "flv1", "-an"], "H.263"), (["-vn", "-c:a", "libspeex", "-ar", "16000", "-ac", "1"], "Speex")],
    ids=["h263", "speex"],
)
async def test_other_codecs_are_named(clip: Path, codecs: list[str], advice: str) -> None:
    async with open_studio() as studio:
        command = ["ffmpeg", "-v", "error", "-nostdin", "-stream_loop", "20", "-re", "-i", str(clip), *codecs]
        done = await studio.run(*command, "-f", "flv", studio.url())
        assert done.returncode != 0
        assert advice.encode() in done.stderr
        await studio.gate.last.left.wait()
        assert not studio.gate.last.finished
        assert [packet for packet in studio.gate.last.packets if packet.kind is not MediaKind.DATA] == []
        assert studio.gate.last.refused_codec is not None
        assert advice in studio.gate.last.refused_codec[1]


def pyav_codecs(url: str, video: str, audio: str, frames: int) -> list[str]:
    return [sys.executable, "-c", _PYAV_CODECS, url, video, audio, str(frames)]


@pytest.mark.parametrize(
    ("video", "audio", "names"),
    [
        ("libx265", "libopus", ("HEVC", "Opus")),
        ("libsvtav1", "aac", ("AV1", "AAC")),
        ("libx264", "libmp3lame", ("H.264", "MP3")),
    ],
)
async def test_what_the_player_takes_is_relayed_and_kept(
    video: str, audio: str, names: tuple[str, str], tmp_path: Path
) -> None:
    """Published by FFmpeg (in PyAV), relayed, and what somebody who joins late is sent can be decoded, and recorded."""
    async with open_studio() as studio:
        done = await studio.run(*pyav_codecs(studio.url(), video, audio, FRAMES))
        assert done.returncode == 0, done.stderr
        await studio.gate.last.left.wait()
        packets = studio.gate.last.packets
    assert studio.server.statistics().protocol_errors == 0
    for kind, name in zip((MediaKind.VIDEO, MediaKind.AUDIO), names, strict=True):
        assert {codec_name(packet) for packet in packets if packet.kind is kind} == {name}
    pictures = [p for p in packets if p.kind is MediaKind.VIDEO and not p.is_sequence_header and not p.ends_sequence]
    assert len(pictures) == FRAMES
    assert [p.timestamp_ms for p in pictures] == sorted(p.timestamp_ms for p in pictures)
    if names[0] == "H.264":
        assert len({p.payload[2:5] for p in pictures}) > 1, "B-frames: composition times come through"
    keys = [number for number, packet in enumerate(pictures) if packet.is_keyframe]
    assert keys[0] == 0
    assert GOP - 2 < keys[-1] <= GOP, "x265 puts pictures that are shown before it behind it"
    async with open_relay_hub(MediaSettings()) as hub:
        relay = hub.open("key")
        relay.begin_source()
        for packet in packets:
            relay.write(packet)
        await becomes(lambda: relay.statistics().rounds)
        with hub.subscribe("key") as subscription:
            data = await subscription.__anext__()
    file = tmp_path / "kept.mp4"
    worker = [sys.executable, "-m", "dorami_core.media.workers.record", str(file)]
    await trio.run_process(worker, stdin=data, capture_stdout=True)
    for source in (BytesIO(data), str(file)):
        with av.open(source) as late:
            decoded = list(late.decode(late.streams.video[0], late.streams.audio[0]))
        assert sum(isinstance(frame, av.VideoFrame) for frame in decoded) >= FRAMES - GOP
        assert any(isinstance(frame, av.AudioFrame) for frame in decoded)


@pytest.mark.parametrize(
    ("video", "audio", "sentence"),
    [
        ("libvpx-vp9", "aac", "The video is VP9, which is not taken here: set the encoder's video codec to H.264."),
        ("libx264", "flac", "The sound is FLAC, which is not taken here: set the encoder's audio codec to AAC."),
    ],
)
async def test_what_the_player_does_not_take_is_named(video: str, audio: str, sentence: str) -> None:
    async with open_studio() as studio:
        with structlog.testing.capture_logs() as logs:
            done = await studio.run(*pyav_codecs(studio.url(), video, audio, 3000))
            await studio.gate.last.left.wait()
        assert done.returncode != 0
        assert [line["sentence"] for line in logs if line.get("cause") == "codec"] == [sentence]
        assert not studio.gate.last.finished
        assert studio.gate.last.refused_codec is not None
