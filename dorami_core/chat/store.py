"""Chat in Redis: one script a message. What is lost with Redis is the window of history, never an order."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Protocol
from uuid import uuid4

import attrs
import msgspec

from dorami_core.base.clock import iso
from dorami_core.base.principal import Role
from dorami_core.base.structure import PlainDict
from dorami_core.chat.model import HISTORY_KEPT, HISTORY_S, HISTORY_SENT, ChatMessage, Receipt
from dorami_core.hooks.sockets import Delivery, RoomPosition

IDS_KEPT = 2000
"""How far back, in messages of a room, one can still be deleted."""

Argument = str | bytes | int | float
Script = Callable[[Sequence[Argument], Sequence[Argument]], Awaitable[Any]]


class ChatRedis(Protocol):
    """What is used of `store.redis.RedisStore`."""

    async def execute(self, *command: Argument) -> Any: ...
    def register_script(self, lua: str) -> Script: ...


class RoomScripts(Protocol):
    """What is used of `edge.link.RedisLink`: scripts that say something in a room, in its order."""

    def register_script(self, lua: str) -> Script: ...
    def payload(self, event: str, data: Any, delivery: Delivery, *, is_numbered: bool = False) -> bytes: ...
    def new_origin(self) -> str: ...


@attrs.frozen
class Limits:
    """What holds for one message. A count of 0: exempt; `slow_s` 0: off. Both windows are `window_s` long."""

    rate_count: int
    window_s: float
    address: str = ""
    address_count: int = 0
    slow_s: int = 0


@attrs.frozen
class Draft:
    """A message before it has its number."""

    live_id: str
    user_id: str
    display_name: str
    role: Role
    message: str
    client_id: str | None
    at: datetime
    limits: Limits


@attrs.frozen
class Sent:
    message: ChatMessage


@attrs.frozen
class Repeated:
    """The client id was used before, with the same text."""

    receipt: Receipt


@attrs.frozen
class ClientIdReused:
    """The client id was used before, with another text."""


@attrs.frozen
class Limited:
    """`is_slow_mode`: by the room's mode, not by a window."""

    retry_after_ms: int
    is_slow_mode: bool = False


Outcome = Sent | Repeated | ClientIdReused | Limited


class ChatStore:
    """Every method is one crossing and raises UNAVAILABLE where Redis cannot be reached. What `send` takes the room
    hears from the script itself, so numbers and order are the room's own, whichever process took it."""

    def __init__(self, redis: ChatRedis, rooms: RoomScripts) -> None:
        self._redis = redis
        self._rooms = rooms
        folder = files("dorami_core.chat")
        self._send = rooms.register_script(folder.joinpath("send.lua").read_text("utf-8"))
        self._window = rooms.register_script(folder.joinpath("window.lua").read_text("utf-8"))
        self._delete = redis.register_script(folder.joinpath("delete.lua").read_text("utf-8"))

    async def send(self, draft: Draft) -> Outcome:
        message_id, timestamp, limits = str(uuid4()), iso(draft.at), draft.limits
        body = PlainDict(
            {
                "id": message_id,
                "liveId": draft.live_id,
                "userId": draft.user_id,
                "displayName": draft.display_name,
                "role": draft.role,
                "message": draft.message,
                "timestamp": timestamp,
            }
        )
        room = f"chat:{draft.live_id}"
        answer = await self._send(
            [
                f"{room}:history",
                f"{room}:ids",
                f"chat-rate:{draft.user_id}",
                f"{room}:client:{draft.user_id}:{draft.client_id or ''}",
                f"chat-rate-address:{limits.address}",
                f"{room}:slow:{draft.user_id}",
            ],
            [
                int(draft.at.timestamp() * 1000),
                message_id,
                msgspec.json.encode(body)[:-1],
                hashlib.sha256(draft.message.encode()).hexdigest(),
                timestamp,
                secrets.token_hex(4),
                limits.rate_count,
                max(1, round(limits.window_s * 1000)),
                0 if draft.client_id is None else 1,
                HISTORY_KEPT,
                HISTORY_S,
                IDS_KEPT,
                limits.address_count,
                limits.slow_s * 1000,
                draft.live_id,
                self._rooms.new_origin(),
                self._rooms.payload("chat:message", body, Delivery.DROPPABLE, is_numbered=True),
            ],
        )
        kind = answer[0]
        if kind == b"sent":
            return Sent(
                ChatMessage(
                    message_id,
                    draft.live_id,
                    draft.user_id,
                    draft.display_name,
                    draft.role,
                    draft.message,
                    timestamp,
                    seq=answer[1],
                    epoch=answer[2].decode(),
                )
            )
        if kind == b"again":
            return Repeated(Receipt(answer[1].decode(), answer[2], answer[3].decode()))
        return ClientIdReused() if kind == b"differs" else Limited(answer[1], kind == b"slow")

    async def history(self, live_id: str, now: datetime) -> list[dict[str, Any]]:
        """The last 50 that are younger than 24 h, oldest first, as they were sent."""
        return (await self.window(live_id, now))[0]

    async def window(self, live_id: str, now: datetime) -> tuple[list[dict[str, Any]], RoomPosition]:
        """The history, and the place in the room after which nothing is in it."""
        epoch, seq, texts = await self._window(
            [f"chat:{live_id}:history"], [secrets.token_hex(4), live_id, HISTORY_SENT]
        )
        since = iso(now - timedelta(seconds=HISTORY_S))
        messages = [message for text in texts if (message := json.loads(text))["timestamp"] >= since]
        return messages, RoomPosition(epoch.decode(), seq)

    async def recent(self, live_id: str) -> list[dict[str, Any]]:
        """All that is kept of the history, newest first."""
        texts = await self._redis.execute("LRANGE", f"chat:{live_id}:history", 0, -1)
        return [json.loads(text) for text in reversed(texts)]

    async def delete(self, live_id: str, message_id: str) -> bool:
        """False for an id that is not among the room's last 2,000. Twice does no harm."""
        return bool(await self._delete([f"chat:{live_id}:history", f"chat:{live_id}:ids"], [message_id]))
