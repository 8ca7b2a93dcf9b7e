"""Targets as the seller keeps them, and what he asks of them. What runs is in the database, so any process can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import UUID

from dorami_core.base.errors import DoramiError, invalid
from dorami_core.base.ids import StreamKey, UserId, new_uuid
from dorami_core.base.sealing import Sealer
from dorami_core.hooks.host import StreamDirectory, StreamView
from dorami_core.hooks.transactions import Database
from dorami_core.restream import store
from dorami_core.restream.model import DEFAULT_URLS, KEY_END_CHARS, Platform, Run, Target, TargetBody, TargetPatch
from dorami_core.restream.restreams import MAX_TARGETS, key_place

NOT_FOUND = "RESTREAM_TARGET_NOT_FOUND"
_RECONNECTS = ("rtmp_url", "stream_key", "mute_audio")


class RestreamService:
    """`poke` tells those that send, where they are in this process, to look at once."""

    def __init__(self, db: Database, streams: StreamDirectory, sealer: Sealer, poke: Callable[[], None]) -> None:
        self._db = db
        self._streams = streams
        self._sealer = sealer
        self._poke = poke

    async def list_all(self) -> list[tuple[Target, Run | None]]:
        """In the order in which they were made, each with its newest run."""
        targets = await store.list_targets(self._db, MAX_TARGETS)
        runs = await store.latest_runs(self._db)
        return [(target, runs.get(target.id)) for target in targets]

    async def create(self, user_id: UserId, body: TargetBody) -> Target:
        """CONFLICT above MAX_TARGETS."""
        platform = cast("Platform", body.platform)
        url = body.rtmp_url or DEFAULT_URLS.get(platform)
        if url is None:
            raise invalid("rtmpUrl", "is needed: this platform gives every seller an own address")
        if len(await store.list_targets(self._db, MAX_TARGETS)) >= MAX_TARGETS:
            raise DoramiError("CONFLICT", limit=MAX_TARGETS)
        target_id = new_uuid()
        return await store.insert_target(
            self._db,
            {
                "id": target_id,
                "user_id": user_id,
                "name": (body.name or platform.title()).strip(),
                "platform": platform,
                "rtmp_url": url,
                **self._sealed(target_id, body.stream_key),
                "mute_audio": body.mute_audio,
                "start_mode": body.start_mode,
                "delay_s": body.delay_seconds,
            },
        )

    async def patch(self, target_id: UUID, patch: TargetPatch) -> Target:
        """RESTREAM_TARGET_NOT_FOUND. One that is being sent is connected to anew where its address, key or sound has
        changed."""
        given: dict[str, Any] = {
            "platform": patch.platform,
            "rtmp_url": patch.rtmp_url,
            "name": patch.name.strip() if patch.name is not None else None,
            "mute_audio": patch.mute_audio,
            "start_mode": patch.start_mode,
            "delay_s": patch.delay_seconds,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        if patch.stream_key is not None:
            changes |= self._sealed(target_id, patch.stream_key)
        before = await self.get(target_id)
        reconnect = any(name in changes and changes[name] != getattr(before, name) for name in _RECONNECTS)
        return self._changed(await store.edit_target(self._db, target_id, changes, reconnect=reconnect))

    async def delete(self, target_id: UUID) -> None:
        """RESTREAM_TARGET_NOT_FOUND. Its log goes with it."""
        if not await store.delete_target(self._db, target_id):
            raise DoramiError(NOT_FOUND)
        self._poke()

    async def start(self, target_id: UUID, live_id: str | None) -> Target:
        """Sends the broadcast there, or tries again at once where it is waiting. CONFLICT where it is not on air, or
        where nobody says which of several."""
        await self.get(target_id)
        stream = await self._on_air(live_id)
        return self._changed(await store.ask(self._db, target_id, "START", stream.stream_key, _session_of(stream)))

    async def stop(self, target_id: UUID) -> Target:
        """Stops it until the end of the broadcast; without effect on one that is not being sent and not about to be."""
        target = await self.get(target_id)
        run = await store.open_run(self._db, target_id)
        streams = await self._streams.live()
        if run is not None:
            streams = [stream for stream in streams if stream.stream_key == run.live_id]
        if not streams:
            return target
        return self._changed(
            await store.ask(self._db, target_id, "STOP", StreamKey(streams[0].stream_key), _session_of(streams[0]))
        )

    async def logs(self, target_id: UUID | None, limit: int, offset: int) -> Sequence[Run]:
        return await store.list_runs(self._db, target_id, limit, offset)

    async def get(self, target_id: UUID) -> Target:
        target = await store.find_target(self._db, target_id)
        if target is None:
            raise DoramiError(NOT_FOUND)
        return target

    async def _on_air(self, live_id: str | None) -> StreamView:
        streams = await self._streams.live()
        if live_id is not None:
            streams = [stream for stream in streams if stream.stream_key == live_id]
        if len(streams) != 1 or streams[0].started_at is None:
            raise DoramiError("CONFLICT", onAir=len(streams))
        return streams[0]

    def _sealed(self, target_id: UUID, key: str) -> dict[str, Any]:
        end = key[-KEY_END_CHARS:] if len(key) >= 3 * KEY_END_CHARS else ""
        return {"stream_key": self._sealer.seal(key.encode(), key_place(target_id)), "stream_key_end": end}

    def _changed(self, target: Target | None) -> Target:
        if target is None:
            raise DoramiError(NOT_FOUND)
        self._poke()
        return target


def _session_of(stream: StreamView) -> Any:
    return stream.started_at
