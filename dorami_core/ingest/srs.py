"""SRS as the media server: its callbacks become publications, whose packets are pulled from it as HTTP-FLV.

What SRS tells is a hint, what it has is the truth: callbacks come twice, in the wrong order, or not at all, and its
API is asked at the start, with heartbeats, and when these stay away. A session is keyed by SRS's `client_id`, since a
second publisher of a busy key is announced too, and then leaves without a word.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote

import attrs
import httpx
import structlog
import trio

from dorami_core.base.settings import SrsSettings
from dorami_core.ingest.codecs import codec_name, unsupported_codec
from dorami_core.ingest.gate import Publication, PublishGate, PublishRefused, PublishRequest
from dorami_core.ingest.http_flv import Pull, PullFailed, open_pull
from dorami_core.media.flv import FlvError, FlvReader
from dorami_core.media.packets import MediaKind, MediaPacket

log = structlog.get_logger(__name__)

APP = "live"
ANSWER_S = 10.0
"""SRS waits 30 s for a callback; encoders do not."""
PULL_TRY_S = 2.0
PULL_WITHIN_S = 15.0
SILENT_S = 15.0
"""SRS itself ends a publisher that is silent for 7 s (`normal_timeout`)."""
KICK_S = 3.0
LEAVE_S = 2.0
ENDED_KEPT = 1000
MAX_STREAMS = 1000
AGAIN_S = 1.0
MISSED_BEATS = 3

SecretOf = Callable[[str], Awaitable[str | None]]
"""The secret of a broadcast that may be published, None for one that is unknown or over."""


@attrs.frozen
class SrsStatistics:
    """`sessions` now; the others count since the start. `adopted`: publishers that only its API told of; `lost`:
    sessions whose end only its API, or the end of their video, told of."""

    sessions: int
    accepted: int
    refused: int
    adopted: int
    lost: int
    reconciled: int
    unreachable: int


@attrs.define(eq=False)
class _Session:
    stream_key: str
    client_id: str
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    admitted: bool | None = None
    refused: bool = False
    answered: trio.Event = attrs.field(factory=trio.Event)
    over: trio.Event = attrs.field(factory=trio.Event)


class SrsIngest:
    """Works while `run` does; every publisher is refused outside of that."""

    def __init__(self, gate: PublishGate, secret_of: SecretOf, settings: SrsSettings) -> None:
        self._gate = gate
        self._secret_of = secret_of
        self._settings = settings
        self._client = httpx.AsyncClient()
        self._sessions: dict[str, _Session] = {}
        self._asking: dict[str, _Session] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._nursery: trio.Nursery | None = None
        self._beat = trio.Event()
        self._accepted = self._refused = self._adopted = self._lost = self._reconciled = self._unreachable = 0

    def statistics(self) -> SrsStatistics:
        return SrsStatistics(
            sessions=len(self._sessions),
            accepted=self._accepted,
            refused=self._refused,
            adopted=self._adopted,
            lost=self._lost,
            reconciled=self._reconciled,
            unreachable=self._unreachable,
        )

    async def run(self) -> None:
        """Owns the sessions and compares them with SRS: now, with heartbeats, and when MISSED_BEATS stay away."""
        try:
            async with httpx.AsyncClient(timeout=KICK_S, trust_env=False) as client, trio.open_nursery() as nursery:
                self._client, self._nursery = client, nursery
                while True:
                    beat = self._beat
                    await self.reconcile()
                    await trio.sleep(AGAIN_S)  # however many ask
                    with trio.move_on_after(MISSED_BEATS * self._settings.heartbeat_s):
                        await beat.wait()
        finally:
            self._nursery = None

    # The callbacks

    async def on_publish(self, body: Mapping[str, Any]) -> bool:
        """Whether this publisher may in. The same callback again gets the same answer and does nothing."""
        stream_key, client_id, address = _text(body, "stream"), _text(body, "client_id"), _text(body, "ip")
        if self._nursery is None or _text(body, "app") != APP or not client_id or client_id in self._ended:
            self._refused += 1
            return False
        known = self._sessions.get(stream_key)
        if known is not None and known.client_id == client_id:
            return True
        asking = self._asking.get(client_id)
        if asking is not None:
            await asking.answered.wait()
            return asking.admitted is True
        secret = (parse_qs(_text(body, "param").removeprefix("?")).get("secret") or [""])[0]
        session = self._asking[client_id] = _Session(stream_key, client_id)
        request = PublishRequest(stream_key, secret, address, client_id, "SRS")
        self._nursery.start_soon(self._run, session, request)
        with trio.move_on_after(ANSWER_S):
            await session.answered.wait()
            if session.admitted and known is not None:
                # It was cut for this one; SRS would still find it busy.
                with trio.move_on_after(LEAVE_S):
                    await known.over.wait()
        if session.admitted is None:
            session.scope.cancel()
        self._accepted += session.admitted is True
        self._refused += session.admitted is not True
        return session.admitted is True

    def on_unpublish(self, body: Mapping[str, Any]) -> None:
        """SRS says that a publisher is gone, not whether it said goodbye: it may come back. Of one that is not the
        present publisher it says nothing new."""
        client_id = _text(body, "client_id")
        self._remember_end(client_id)
        session = self._sessions.get(_text(body, "stream"))
        if session is not None and session.client_id == client_id:
            session.scope.cancel()

    def on_heartbeat(self) -> None:
        """Only ever starts a comparison."""
        beat, self._beat = self._beat, trio.Event()
        beat.set()

    # Sessions

    async def _run(self, session: _Session, request: PublishRequest) -> None:
        cut = ""
        try:
            with session.scope:
                async with self._gate.publish(request) as publication, trio.open_nursery() as nursery:
                    self._sessions[session.stream_key] = session
                    session.admitted = True
                    session.answered.set()
                    self._asking.pop(request.client_id, None)

                    async def watch() -> None:
                        nonlocal cut
                        cut = await publication.wait_cut()
                        nursery.cancel_scope.cancel()

                    nursery.start_soon(watch)
                    await self._pull(session, publication)
                    if session.refused:
                        cut = "codec"
                    else:
                        self._lost += 1
                        self.on_heartbeat()  # the video has ended, but has the publisher?
                    nursery.cancel_scope.cancel()
        except* PublishRefused:
            session.admitted = False
            log.info("srs.refused", stream_key=session.stream_key)
        except* Exception:
            log.exception("srs.session_failed", stream_key=session.stream_key)
        finally:
            session.answered.set()
            self._asking.pop(request.client_id, None)
            if self._sessions.get(session.stream_key) is session:
                del self._sessions[session.stream_key]
            if cut and cut != "stopped":  # who stops is us: the publisher may stay, and is found again
                with trio.move_on_after(KICK_S, shield=True):
                    await self._kick(session.client_id)
            session.over.set()

    async def _pull(self, session: _Session, publication: Publication) -> None:
        """Packets from SRS until it ends them; it has none before its callback is answered, and then hangs."""
        url = f"{self._settings.http_url.rstrip('/')}/{APP}/{quote(session.stream_key)}.flv"
        deadline = trio.current_time() + PULL_WITHIN_S
        while trio.current_time() < deadline:
            try:
                async with open_pull(url, within_s=PULL_TRY_S) as pull:
                    if await self._read(pull, publication, session):
                        return
            except PullFailed:
                pass  # not there yet: the callback must be answered first
            await trio.sleep(0.1)

    async def _read(self, pull: Pull, publication: Publication, session: _Session) -> bool:
        """True once there was video and it has ended."""
        reader = FlvReader()
        has_begun = False
        try:
            while True:
                with trio.fail_after(SILENT_S):
                    data = await pull.receive()
                if not data:
                    return has_begun
                for packet in reader.feed(data):
                    if not self._takes(packet, session):
                        publication.note_codec(packet.kind, codec_name(packet))
                        return True
                    has_begun = True
                    publication.write(packet)
        except (PullFailed, FlvError, trio.TooSlowError) as error:
            log.info("srs.pull_ended", stream_key=session.stream_key, reason=repr(error))
            return has_begun

    def _takes(self, packet: MediaPacket, session: _Session) -> bool:
        if packet.kind is MediaKind.DATA:
            return True
        if not packet.payload or (problem := unsupported_codec(packet)) is None:
            return True
        session.refused = True
        log.warning("srs.codec_refused", stream_key=session.stream_key, sentence=problem)
        return False

    def _remember_end(self, client_id: str) -> None:
        self._ended[client_id] = None
        while len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)

    # The truth

    async def reconcile(self) -> None:
        """Takes over publishers that SRS has and we do not know, and throws out those that may not publish (any more).
        A session whose publisher it has no more ends by itself, with its video."""
        try:
            publishers = await self._publishers()
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            self._unreachable += 1
            log.warning("srs.unreachable", api=self._settings.api_url, error=repr(error))
            return
        self._reconciled += 1
        for stream_key, client_id in publishers.items():
            known = self._sessions.get(stream_key)
            if known is not None:
                known.client_id = client_id  # the one that holds the key, whoever asked last
                continue
            if client_id in self._ended:
                await self._kick(client_id)
                continue
            secret = await self._secret_of(stream_key)
            if secret is None:
                await self._kick(client_id)
                continue
            assert self._nursery is not None
            self._adopted += 1
            session = _Session(stream_key, client_id)
            request = PublishRequest(stream_key, secret, "", client_id, "SRS")
            self._nursery.start_soon(self._run, session, request)
            await session.answered.wait()

    async def _publishers(self) -> dict[str, str]:
        """Client ids by key, of everything that is being published to it."""
        url = f"{self._settings.api_url.rstrip('/')}/api/v1/streams?start=0&count={MAX_STREAMS}"
        answer = await self._client.get(url)
        answer.raise_for_status()
        return {
            str(stream["name"]): str(stream["publish"]["cid"])
            for stream in answer.json()["streams"]
            if stream["app"] == APP and stream["publish"]["active"]
        }

    async def _kick(self, client_id: str) -> None:
        self._remember_end(client_id)
        url = f"{self._settings.api_url.rstrip('/')}/api/v1/clients/{quote(client_id, safe='')}"
        try:
            await self._client.delete(url)
        except httpx.HTTPError as error:
            log.warning("srs.not_kicked", client_id=client_id, error=repr(error))


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    return value if isinstance(value, str) else ""
