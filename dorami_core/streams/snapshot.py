"""All that a page needs to be complete when it joins a broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import structlog
import trio

from dorami_core.base.both import both
from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.base.structure import to_json, to_plain
from dorami_core.hooks.host import HookCaller, StreamDirectory
from dorami_core.presence.viewers import Viewers
from dorami_core.streams.routes import describe

log = structlog.get_logger()

HISTORY_WAIT_S = 1.0
"""A join does not wait longer for old messages."""


class ChatHistory(Protocol):
    """`chat.store.ChatStore`."""

    async def history(self, live_id: str, now: datetime) -> Sequence[dict[str, Any]]: ...


class Snapshots:
    """Builds what the acknowledgement of `join:stream` shares: `stream`, `messages` (the last of the chat, oldest
    first; absent where Redis does not answer), and what plugins add by `filter_stream_snapshot`."""

    def __init__(
        self, streams: StreamDirectory, viewers: Viewers, hooks: HookCaller, clock: Clock, history: ChatHistory
    ) -> None:
        self._streams = streams
        self._viewers = viewers
        self._hooks = hooks
        self._clock = clock
        self._history = history

    async def build(self, stream_key: str) -> dict[str, Any] | None:
        """None for an unknown stream. Everything in it is read after the call began."""
        stream, messages = await both(partial(self._streams.find, stream_key), partial(self._messages, stream_key))
        if stream is None:
            return None
        snapshot: dict[str, Any] = {"stream": to_json(describe(stream, self._viewers.count(stream_key)))}
        if messages is not None:
            snapshot["messages"] = messages
        snapshot = await self._hooks.filter("filter_stream_snapshot", snapshot, stream=stream)
        return {name: to_plain(value) for name, value in snapshot.items()}

    async def _messages(self, stream_key: str) -> Sequence[dict[str, Any]] | None:
        with trio.move_on_after(HISTORY_WAIT_S):
            try:
                return await self._history.history(stream_key, self._clock.now())
            except DoramiError as error:
                log.info("snapshot.without_messages", stream_key=stream_key, problem=str(error))
        return None
