"""What only the process with the video has: how it comes in, and all that is made of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from dorami_core.base.sealing import Sealer
from dorami_core.base.settings import (
    LimitSettings,
    MediaSettings,
    RecordingSettings,
    RestreamSettings,
    RtmpSettings,
    SrsSettings,
)
from dorami_core.base.supervision import supervise
from dorami_core.ingest.server import RtmpServer
from dorami_core.ingest.srs import SrsIngest
from dorami_core.media.hls import HlsWriter, open_hls_writer
from dorami_core.media.out import VideoOut
from dorami_core.media.thumbnails import Thumbnails, open_thumbnails
from dorami_core.parts import Base, Core, Sources
from dorami_core.recordings import replay_routes
from dorami_core.recordings import routes as recording_routes
from dorami_core.recordings.clips import ClipMaker
from dorami_core.recordings.keeper import Keeper
from dorami_core.recordings.recorder import Recorder
from dorami_core.restream import routes as restream_routes
from dorami_core.restream.restreams import Restreams
from dorami_core.restream.service import RestreamService
from dorami_core.streams import srs_routes
from dorami_core.streams.service import StreamService
from dorami_core.streams.session import Companion
from dorami_core.web.router import WebRouter

RECORDINGS = "recordings"
"""Below the data directory."""


@asynccontextmanager
async def open_studio(base: Base, folder: Path) -> AsyncIterator[Studio]:
    """`folder` is the data directory. The studio opens before the core, whose broadcasts it accompanies."""
    media = base.settings.section(MediaSettings)
    async with (
        open_thumbnails(base.hub, folder / "thumbnails", media) as thumbnails,
        open_hls_writer(base.hub, media) as hls,
    ):
        yield Studio(base, folder / RECORDINGS, hls, thumbnails)


class Studio:
    """Works once `attach` was called."""

    def __init__(self, base: Base, recordings: Path, hls: HlsWriter, thumbnails: Thumbnails) -> None:
        settings = base.settings
        media, recording = settings.section(MediaSettings), settings.section(RecordingSettings)
        self._base = base
        self._recordings = recordings
        self._core: Core | None = None
        self._srs: SrsIngest | None = None
        self._hls = hls
        self._thumbnails = thumbnails
        self._sealer = Sealer(base.environment.profile_encryption_key)
        self._restreams = Restreams(
            base.db, base.hub, self._streams, self._sealer, base.clock, settings.section(RestreamSettings), media
        )
        self._recorder = Recorder(base.db, base.hub, self._streams, recordings, base.clock, recording, media)
        self._keeper = Keeper(base.db, recordings, recording)
        self._clips = ClipMaker(base.db, recordings, recording)
        self.video = VideoOut(base.hub, hls, thumbnails)

    @property
    def companions(self) -> Sequence[Companion]:
        return [self._hls.run, self._thumbnails.run, self._recorder.run, self._restreams.run]

    def attach(self, core: Core) -> None:
        settings = self._base.settings
        self._core = core
        self._ingest = RtmpServer(
            core.broadcasts,
            settings.section(RtmpSettings),
            exempt_addresses=settings.section(LimitSettings).exempt_addresses,
        )
        if settings.section(MediaSettings).server == "srs":
            self._srs = SrsIngest(core.broadcasts, core.streams.open_secret, settings.section(SrsSettings))

    def statistics(self) -> Sources:
        assert self._core is not None
        broadcasts = self._core.broadcasts
        return {
            "rtmp": self._ingest.statistics,
            **({"srs": self._srs.statistics} if self._srs is not None else {}),
            "hls": self._hls.statistics,
            "thumbnail": self._thumbnails.statistics,
            "recording": self._recorder.statistics,
            "clip": self._clips.statistics,
            "restream": self._restreams.statistics,
            "broadcast": lambda: broadcasts.statistics().broadcasts,
        }

    def register_routes(self, router: WebRouter) -> None:
        assert self._core is not None
        if self._srs is not None:
            srs_routes.register(router, self._srs, self._base.settings.section(SrsSettings))
        register_recordings(self._core, self._recordings, router)
        register_restreams(self._core, router, self._restreams.poke)

    def start(self, services: trio.Nursery) -> None:
        services.start_soon(supervise, "recordings", self._keeper.run)
        services.start_soon(supervise, "clips", self._clips.run)

    async def listen(self, listeners: trio.Nursery, host: str, port: int) -> int:
        """Takes publishers in; the port that they use."""
        if self._srs is not None:
            listeners.start_soon(supervise, "srs", self._srs.run)
            return self._base.settings.section(SrsSettings).rtmp_port
        found: int = await listeners.start(self._ingest.serve, host, port)
        return found

    def _streams(self) -> StreamService:
        assert self._core is not None
        return self._core.streams


def register_recordings(core: Core, folder: Path, router: WebRouter) -> None:
    """Recordings are rows, so any process with pages has these routes; files are NOT_FOUND where `folder` is on another
    machine."""
    base = core.base
    base.catalogue.add(recording_routes.CODES)
    base.catalogue.add(replay_routes.CODES)
    recording_routes.register(router, Keeper(base.db, folder, base.settings.section(RecordingSettings)))
    replay_routes.register(router, replay_routes.ReplayRoutes(base.db, core.recordings, folder, core.chat.log))


def register_restreams(core: Core, router: WebRouter, poke: Callable[[], None] = lambda: None) -> None:
    """Targets are rows, so any process with pages has these routes; `poke` makes a change felt at once."""
    base = core.base
    base.catalogue.add(restream_routes.CODES)
    sealer = Sealer(base.environment.profile_encryption_key)
    restream_routes.register(router, RestreamService(base.db, core.streams, sealer, poke), base.clock)
