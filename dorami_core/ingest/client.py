"""A publishing RTMP client: what an encoder does, for tests, load and forwarding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import quote

import attrs
import trio

from dorami_core.ingest import amf0
from dorami_core.ingest import commands as cmd
from dorami_core.ingest import messages as msg
from dorami_core.ingest.chunks import ChunkReader, ChunkWriter
from dorami_core.ingest.commands import Command
from dorami_core.ingest.handshake import ClientHandshake
from dorami_core.ingest.messages import Message, MessageType, RtmpProtocolError
from dorami_core.media.packets import MediaKind, MediaPacket

CHUNK_SIZE = 4096
_MAX_ANSWER_BYTES = 65_536
_RECEIVE_BYTES = 16_384
_SET_DATA_FRAME = amf0.encode("@setDataFrame")


class PublishFailed(Exception):
    """The server did not let us publish, or has ended it. `code` is its status code, "closed" where it just left."""

    def __init__(self, code: str, sentence: str = "") -> None:
        super().__init__(f"{code}: {sentence}" if sentence else code)
        self.code = code


@attrs.frozen
class PublisherStatistics:
    """`acknowledged_bytes` is what the server said it had received, modulo 2**32."""

    packets: int
    sent_bytes: int
    acknowledged_bytes: int


class RtmpPublisher:
    """Made by `open_publisher`. Only one task may send; a cancelled send leaves the connection fit for `abort` only."""

    def __init__(self, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
        self._stream = stream
        self._nursery = nursery
        self._reader = ChunkReader(_MAX_ANSWER_BYTES)
        self._writer = ChunkWriter()
        self._stream_id = 0
        self._key = ""
        self._transaction = 0
        self._packets = 0
        self._sent = 0
        self._acknowledged = 0
        self._over: PublishFailed | None = None
        self._over_event = trio.Event()
        self._sending = trio.Lock()  # answers to pings come from the listening task

    def statistics(self) -> PublisherStatistics:
        return PublisherStatistics(self._packets, self._sent, self._acknowledged)

    async def connect(self, app: str, tc_url: str, chunk_size: int) -> None:
        """Handshake and `connect`. PublishFailed where it is refused, RtmpProtocolError where it is no RTMP server."""
        handshake = ClientHandshake()
        await self._send_bytes(handshake.start())
        while not handshake.done:
            await self._send_bytes(handshake.receive(await self._receive()))
        self._reader.feed(handshake.leftover)
        await self._send_bytes(self._writer.set_chunk_size(chunk_size))
        connect: dict[str, amf0.Amf0Value] = {
            "app": app,
            "type": "nonprivate",
            "flashVer": "FMLE/3.0 (compatible; Dorami)",
            "tcUrl": tc_url,
        }
        number = await self._call("connect", connect)
        await self._answer(number)

    async def publish(self, key: str, secret: str = "") -> None:
        """Returns once the server has said `NetStream.Publish.Start`; PublishFailed where it says otherwise."""
        name = quote(key) + (f"?secret={quote(secret, safe='')}" if secret else "")
        await self._call("releaseStream", None, name)
        await self._call("FCPublish", None, name)
        created = await self._answer(await self._call("createStream", None))
        number = created.arguments[0] if created.arguments else None
        if not isinstance(number, float):
            raise RtmpProtocolError("createStream was answered without a stream id")
        self._stream_id = int(number)
        self._key = name
        await self._call("publish", None, name, "live", stream_id=self._stream_id)
        info = (await self._next_command(lambda command: command.name == "onStatus")).info()
        if info.get("code") != "NetStream.Publish.Start":
            raise _failure(info)
        self._nursery.start_soon(self._listen)

    async def send(self, packet: MediaPacket) -> None:
        """One packet; waits while the server does not read. PublishFailed once the server has ended it."""
        await self.send_many((packet,))

    async def send_many(self, packets: Iterable[MediaPacket]) -> None:
        """Several in one write."""
        out = bytearray()
        count = 0
        for packet in packets:
            payload = packet.payload
            if packet.kind is MediaKind.DATA:
                payload = _SET_DATA_FRAME + payload
            message = Message(int(packet.kind), self._stream_id, packet.timestamp_ms, payload)
            out += self._writer.write(message, msg.MEDIA_CHUNKS + (packet.kind is MediaKind.AUDIO))
            count += 1
        await self.send_raw(bytes(out))
        self._packets += count

    async def send_raw(self, data: bytes) -> None:
        """Bytes as they are, in place of chunks: for tests that misbehave."""
        if self._over is not None:
            raise self._over
        await self._send_bytes(data)

    async def close(self, timeout_s: float = 5) -> None:
        """Says goodbye (FCUnpublish, deleteStream) and closes; the server takes the broadcast as finished.

        PublishFailed where the server had ended it before, or left during the goodbye.
        """
        try:
            if self._over is not None:
                raise self._over
            with trio.move_on_after(timeout_s):
                await self._call("FCUnpublish", None, self._key)
                await self._call("deleteStream", None, self._stream_id)
                await self._stream.send_eof()
                await self._over_event.wait()
        finally:
            await trio.aclose_forcefully(self._stream)

    async def abort(self) -> None:
        """Leaves without a word, as a crash would."""
        await trio.aclose_forcefully(self._stream)

    async def wait_closed(self) -> PublishFailed:
        """Waits until the server has ended the publication, or left; returns why."""
        await self._over_event.wait()
        assert self._over is not None
        return self._over

    async def _call(self, name: str, target: amf0.Amf0Value, *arguments: amf0.Amf0Value, stream_id: int = 0) -> int:
        self._transaction += 1
        message = cmd.encode_command(Command(name, float(self._transaction), target, arguments), stream_id)
        await self._send_bytes(self._writer.write(message, msg.COMMAND_CHUNKS))
        return self._transaction

    async def _answer(self, transaction: int) -> Command:
        """The `_result` of a call; PublishFailed where it is `_error`."""
        command = await self._next_command(
            lambda command: command.name in ("_result", "_error") and command.transaction_id == transaction
        )
        if command.name == "_error":
            raise _failure(command.info())
        return command

    async def _next_command(self, wanted: Callable[[Command], bool]) -> Command:
        while True:
            message = self._reader.next_message()
            if message is None:
                self._reader.feed(await self._receive())
                continue
            command = await self._handle(message)
            if command is not None and wanted(command):
                return command

    async def _handle(self, message: Message) -> Command | None:
        """Answers control messages; returns a command."""
        match message.type_id:
            case MessageType.COMMAND | MessageType.COMMAND_AMF3:
                return cmd.decode_command(message)
            case MessageType.ACKNOWLEDGEMENT:
                self._acknowledged = msg.read_u32(message)
            case MessageType.USER_CONTROL:
                event, value = msg.read_user_control(message)
                if event == msg.UserControl.PING_REQUEST:
                    await self._send_control(msg.user_control(msg.UserControl.PING_RESPONSE, value))
        return None

    async def _listen(self) -> None:
        """While publishing: hears what the server says, until it ends."""
        try:
            while True:
                command = await self._next_command(lambda command: command.name == "onStatus")
                info = command.info()
                if info.get("level") == "error":
                    raise _failure(info)
        except PublishFailed as failure:
            self._over = failure
        except RtmpProtocolError as error:
            self._over = PublishFailed("protocol", str(error))
        finally:
            self._over_event.set()

    async def _receive(self) -> bytes:
        try:
            data = bytes(await self._stream.receive_some(_RECEIVE_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise PublishFailed("closed") from error
        if not data:
            raise PublishFailed("closed")
        return data

    async def _send_control(self, message: Message) -> None:
        await self._send_bytes(self._writer.write(message, msg.CONTROL_CHUNKS))

    async def _send_bytes(self, data: bytes) -> None:
        if not data:
            return
        try:
            async with self._sending:
                await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self._over or PublishFailed("closed") from error
        self._sent += len(data)


async def open_publisher(
    nursery: trio.Nursery,
    host: str,
    port: int,
    key: str,
    secret: str = "",
    *,
    app: str = "live",
    chunk_size: int = CHUNK_SIZE,
    timeout_s: float = 10,
) -> RtmpPublisher:
    """Connects and publishes; until `close` or `abort` a task in `nursery` hears what the server says.

    PublishFailed where the server refuses, RtmpProtocolError where it speaks no RTMP, trio.TooSlowError after
    `timeout_s` without an answer, OSError where there is no server; the connection is closed then.
    """
    with trio.fail_after(timeout_s):
        stream = await trio.open_tcp_stream(host, port)
        publisher = RtmpPublisher(stream, nursery)
        try:
            await publisher.connect(app, f"rtmp://{host}:{port}/{app}", chunk_size)
            await publisher.publish(key, secret)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
    return publisher


def _failure(info: dict[str, amf0.Amf0Value]) -> PublishFailed:
    return PublishFailed(str(info.get("code", "unknown")), str(info.get("description", "")))
