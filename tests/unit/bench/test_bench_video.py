"""The load client's video: what it publishes, and what its viewers count."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.audience import missing_frames
from bench.client import Address
from bench.clip import FPS, GOP_S, SECONDS, Clip, load_clip, make_clip, stamped, timetable
from bench.flv_viewers import STALL_S, FlvViewer, HttpBody
from bench.loop import Loop
from bench.viewers import read_stamp
from dorami_core.media.flv import encode_header, encode_tag
from dorami_core.media.packets import MediaKind, MediaPacket

WAIT_S = 60.0
KBPS = 2500
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n\r\n"
CHUNKED = HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    file: Path = tmp_path_factory.mktemp("bench") / "clip.flv"
    make_clip(file, KBPS)
    return load_clip(file)


def test_the_clip_has_its_frames_its_key_frames_and_its_bitrate(clip: Clip) -> None:
    keys = [MediaPacket(MediaKind.VIDEO, 0, payload).is_keyframe for payload in clip.video]
    assert len(keys) == FPS * SECONDS
    assert [number for number, is_key in enumerate(keys) if is_key] == list(range(0, FPS * SECONDS, FPS * GOP_S))
    kbps = sum(map(len, clip.video)) * 8 / SECONDS / 1000
    assert KBPS * 0.9 < kbps < KBPS * 1.1
    assert len(clip.audio) > 40 * SECONDS


def test_both_tracks_repeat_on_one_clock(clip: Clip) -> None:
    packets = list(itertools.islice(timetable(clip), 2000))
    assert [due_s for due_s, _ in packets] == sorted(due_s for due_s, _ in packets)
    assert all(abs(packet.timestamp_ms - due_s * 1000) < 1 for due_s, packet in packets)
    frames = [packet for _, packet in packets if packet.kind is MediaKind.VIDEO]
    assert frames[FPS * SECONDS].payload == frames[0].payload
    assert frames[FPS].timestamp_ms == 1000


def test_a_stamp_leaves_the_frame_as_it_is(clip: Clip) -> None:
    packet = MediaPacket(MediaKind.VIDEO, 0, clip.video[0])
    with_stamp = stamped(packet, 7)
    found = read_stamp(with_stamp.payload)
    assert found is not None
    assert found[0] == 7
    size = int.from_bytes(with_stamp.payload[5:9], "big")
    assert (with_stamp.payload[9] & 0x1F, with_stamp.payload[8 + size]) == (6, 0x80), "an SEI unit, whole"
    assert with_stamp.payload[:5] + with_stamp.payload[9 + size :] == packet.payload
    assert with_stamp.is_keyframe


def chunked(data: bytes, size: int) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_is_read_however_it_is_cut(step: int, is_chunked: bool) -> None:
    content = bytes(range(256)) * 3 + b"\r\n0\r\n"
    data = CHUNKED + chunked(content, 50) if is_chunked else HEAD + content
    body = HttpBody()
    assert b"".join(body.feed(data[at : at + step]) for at in range(0, len(data), step)) == content


def test_another_status_than_200_is_an_error() -> None:
    with pytest.raises(ConnectionError, match="404"):
        HttpBody().feed(b"HTTP/1.1 404 Not Found\r\n\r\n")


def test_frames_that_did_not_come_are_counted() -> None:
    assert missing_frames([]) == 0
    assert missing_frames([3, 4, 5]) == 0
    assert missing_frames([3, 5, 8]) == 3
    assert missing_frames([3, 3, 4]) == 1


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


class Server:
    """The other end of one viewer."""

    def __init__(self, loop: Loop, is_sample: bool) -> None:
        self.lost: list[str] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            where = Address.of(f"http://127.0.0.1:{listener.getsockname()[1]}")
            self.viewer = FlvViewer(
                loop, where, "/live/x.flv", is_sample=is_sample, on_lost=lambda _, reason: self.lost.append(reason)
            )
            self.sock, _ = listener.accept()
        assert loop.run(lambda: self.viewer.asked_ns > 0, WAIT_S)
        assert self.sock.recv(4096).startswith(b"GET /live/x.flv HTTP/1.1\r\n")


def tag(payload: bytes) -> bytes:
    return encode_tag(MediaKind.VIDEO, 0, payload)


def frame(number: int, *, is_key: bool = False) -> bytes:
    packet = MediaPacket(MediaKind.VIDEO, 0, (b"\x17" if is_key else b"\x27") + b"\x01\x00\x00\x00" + b"x" * 50)
    return tag(stamped(packet, number).payload)


@pytest.mark.parametrize("is_sample", [False, True])
def test_a_viewer_sees_its_first_frame_and_counts_the_rest(loop: Loop, is_sample: bool) -> None:
    server = Server(loop, is_sample)
    viewer = server.viewer
    opening = HEAD + encode_header(audio=True, video=True) + tag(b"\x17\x00\x00\x00\x00\x01") + frame(1)
    server.sock.sendall(opening)
    assert loop.run(lambda: viewer.bytes_in == len(opening), WAIT_S)
    assert viewer.first_frame_s is None, "no key frame yet"
    server.sock.sendall(frame(2, is_key=True))
    assert loop.run(lambda: viewer.first_frame_s is not None, WAIT_S)
    viewer.begin_count()
    more = frame(3) + frame(5)
    server.sock.sendall(more)
    assert loop.run(lambda: viewer.bytes_in == len(more), WAIT_S)
    assert viewer.numbers == ([1, 2, 3, 5] if is_sample else [])
    assert len(viewer.samples) == (2 if is_sample else 0)
    assert missing_frames(viewer.numbers) == (1 if is_sample else 0)
    server.sock.close()
    assert loop.run(lambda: server.lost == ["closed by the server"], WAIT_S)


def test_a_gap_is_a_stall_whether_something_follows_or_not(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(loop, is_sample=False)
    viewer = server.viewer
    server.sock.sendall(HEAD + encode_header(audio=True, video=True) + frame(1, is_key=True))
    assert loop.run(lambda: viewer.first_frame_s is not None, WAIT_S)
    viewer.begin_count()
    now = time.monotonic()
    monkeypatch.setattr("bench.flv_viewers.time.monotonic", lambda: now + 2 * STALL_S)
    server.sock.sendall(frame(2))
    assert viewer._receive() > 0
    assert viewer.stalls == 1
    viewer.end_count()
    assert viewer.stalls == 1
    monkeypatch.setattr("bench.flv_viewers.time.monotonic", lambda: now + 4 * STALL_S)
    viewer.end_count()
    assert viewer.stalls == 2
    viewer.close()
    server.sock.close()
