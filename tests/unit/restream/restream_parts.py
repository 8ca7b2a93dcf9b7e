"""A broadcast that goes on and on, and platforms on loopback: one that works, and three that do not."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dorami_core.base.clock import SystemClock
from dorami_core.base.ids import new_uuid
from dorami_core.base.settings import MediaSettings, RestreamSettings, RtmpSettings
from dorami_core.ingest.gate import PublishRefused, PublishRequest
from dorami_core.ingest.server import RtmpServer
from dorami_core.media.packets import MediaKind, MediaPacket
from dorami_core.media.relay import Relay
from dorami_core.media.slate import Slate
from dorami_core.restream.sending import Sending, Slates
from dorami_core.restream.state import RunState

HOST = "127.0.0.1"
KEY = "platform-key"
MEDIA = MediaSettings(flv_interval_s=0.01)
SLATE = Slate(
    video_header=b"\x17\x00\x00\x00\x00slate",
    video=(b"\x17\x01\x00\x00\x00k", b"\x27\x01\x00\x00\x00p"),
    frame_ms=40.0,
    audio_header=b"\xaf\x00\x12\x10",
    silence=b"\xaf\x01s",
    silence_ms=25.0,
)


class Platform:
    """A publication's other end: what came, in order, over all connections."""

    def __init__(self) -> None:
        self.packets: list[MediaPacket] = []
        self.connections = 0
        self.goodbyes = 0
        self.open = 0
        self.refuses = False
        self.asked: list[str] = []
        self._cut = trio.Event()

    @property
    def frames(self) -> list[MediaPacket]:
        return [p for p in self.packets if p.kind is MediaKind.VIDEO and len(p.payload) > 5 and p.payload[1] == 1]

    @asynccontextmanager
    async def publish(self, request: PublishRequest) -> AsyncIterator[Platform]:
        self.asked.append(request.stream_key)
        if self.refuses or request.stream_key != KEY:
            raise PublishRefused("wrong_secret")
        self.connections += 1
        self.open += 1
        try:
            yield self
        finally:
            self.open -= 1

    def write(self, packet: MediaPacket) -> None:
        self.packets.append(packet)

    def finish(self) -> None:
        self.goodbyes += 1

    def note_round_trip(self, seconds: float) -> None:
        """Nobody asks."""

    def note_codec(self, kind: MediaKind, codec: str) -> None:
        raise AssertionError(f"{kind} in {codec}")

    async def wait_cut(self) -> str:
        await self._cut.wait()
        return "ended"


async def serve_platform(
    platform: Platform, port: int = 0, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    await RtmpServer(platform, RtmpSettings(), exempt_addresses=[HOST]).serve(HOST, port, task_status=task_status)


async def serve_deaf(*, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Accepts and never reads."""
    sock = trio.socket.socket()
    with sock:
        await sock.bind((HOST, 0))
        sock.listen(16)
        task_status.started(sock.getsockname()[1])
        with contextlib.ExitStack() as kept:
            while True:
                kept.enter_context((await sock.accept())[0])


class Wire:
    """A TCP proxy before a platform: it can stop reading, or break."""

    def __init__(self) -> None:
        self._frozen = False
        self._thawed = trio.Event()
        self._pipes: list[trio.CancelScope] = []

    def freeze(self) -> None:
        self._frozen = True

    def thaw(self) -> None:
        self._frozen = False
        self._thawed.set()
        self._thawed = trio.Event()

    def cut(self) -> None:
        """Breaks what is connected; who comes again is let through."""
        for scope in self._pipes:
            scope.cancel()

    async def serve(self, port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        listeners = await trio.open_tcp_listeners(0, host=HOST)
        task_status.started(listeners[0].socket.getsockname()[1])

        async def connect(near: trio.SocketStream) -> None:
            with trio.CancelScope() as scope:
                self._pipes.append(scope)
                async with near, await trio.open_tcp_stream(HOST, port) as far, trio.open_nursery() as nursery:
                    nursery.start_soon(self._pipe, near, far, nursery.cancel_scope)
                    nursery.start_soon(self._pipe, far, near, nursery.cancel_scope)

        await trio.serve_listeners(connect, listeners)

    async def _pipe(self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
        try:
            while data := await source.receive_some(65536):
                while self._frozen:
                    await self._thawed.wait()
                await sink.send_all(data)
        except trio.BrokenResourceError:
            pass
        while self._frozen:
            await self._thawed.wait()  # who does not read does not see an end either
        scope.cancel()


def self_signed(*hosts: str) -> bytes:
    """A key and a certificate for these names and addresses, made here, for an hour, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0])])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(minutes=1)).not_valid_after(now + timedelta(hours=1))
    names = [x509.IPAddress(ip_address(host)) if host == HOST else x509.DNSName(host) for host in hosts]
    certificate = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(key, hashes.SHA256())
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return certificate.public_bytes(pem) + key.private_bytes(pem, pkcs8, serialization.NoEncryption())


async def serve_tls(
    port: int, certificate: Path, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """TLS before a platform, with the key and certificate of this file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listeners = await trio.open_tcp_listeners(0, host=HOST)
    task_status.started(listeners[0].socket.getsockname()[1])

    async def pipe(source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope) -> None:
        try:
            while data := await source.receive_some(65536):
                await sink.send_all(data)
        except trio.BrokenResourceError:
            pass  # also where the client did not like the certificate
        scope.cancel()

    async def connect(near: trio.SocketStream) -> None:
        secure = trio.SSLStream(near, context, server_side=True, https_compatible=True)
        async with near, await trio.open_tcp_stream(HOST, port) as far, trio.open_nursery() as nursery:
            nursery.start_soon(pipe, secure, far, nursery.cancel_scope)
            nursery.start_soon(pipe, far, secure, nursery.cancel_scope)

    await trio.serve_listeners(connect, listeners)


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


class LoopedPublisher:
    """Plays packets over and over in real time; can be gone for a while, and comes back as an encoder would."""

    def __init__(self, relay: Relay, packets: tuple[MediaPacket, ...]) -> None:
        self._relay = relay
        self._opening = [p for p in packets if p.is_sequence_header or p.kind is MediaKind.DATA]
        self._media = [p for p in packets if p not in self._opening]
        self._length_ms = max(p.timestamp_ms for p in self._media if p.kind is MediaKind.VIDEO) + 33
        self.sent_frames = 0

    async def run(self, *, task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.CancelScope() as scope:
            task_status.started(scope)
            self._relay.begin_source()
            for packet in self._opening:
                self._relay.write(packet)
            start, turn = trio.current_time(), 0
            while True:
                for packet in self._media:
                    at_ms = packet.timestamp_ms + turn * self._length_ms
                    await trio.sleep_until(start + at_ms / 1000)
                    self._relay.write(MediaPacket(packet.kind, at_ms, packet.payload))
                    self.sent_frames += packet.kind is MediaKind.VIDEO
                turn += 1


def make_state(key: str = KEY) -> RunState:
    return RunState(new_uuid(), new_uuid(), SystemClock(), key)


def make_sending(
    relay: Relay,
    port: int,
    state: RunState,
    slates: Slates,
    *,
    key: str = KEY,
    mute: bool = False,
    scheme: str = "rtmp",
    settings: RestreamSettings | None = None,
) -> Sending:
    return Sending(
        relay,
        f"{scheme}://{HOST}:{port}/live/{key}",
        mute,
        slates,
        settings or RestreamSettings(first_pause_s=0.2, longest_pause_s=0.5),
        state,
        queue_max_bytes=MEDIA.viewer_queue_max_bytes,
    )


async def until(condition: Callable[[], bool], within_s: float = 60) -> None:
    with trio.fail_after(within_s):
        while not condition():
            await trio.sleep(0.01)
