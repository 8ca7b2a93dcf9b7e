"""Targets, runs, and what a client may write."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal, get_args
from urllib.parse import urlsplit
from uuid import UUID

import attrs

from dorami_core.base.ids import StreamKey, UserId

Platform = Literal["YOUTUBE", "INSTAGRAM", "TIKTOK", "CUSTOM"]
StartMode = Literal["AUTO", "MANUAL"]
RunStatus = Literal["IDLE", "CONNECTING", "ACTIVE", "FAILED", "STOPPED"]
Cause = Literal[
    "", "UNREACHABLE", "UNTRUSTED", "REFUSED", "LOST", "STALLED", "OVER_LIMIT", "WORKER", "ENDED", "ASKED", "CHANGED"
]
"""Why a run is in its state: no server there; its certificate (rtmps) is of nobody to trust, or names another host; it
said no (the key); the connection broke; nothing was read for `restream.stale_s`; the worker used too much memory or
CPU; the worker itself failed; the broadcast has ended; somebody asked for it; the target was edited."""
Wish = Literal["START", "STOP"]

MAX_URL_CHARS = 500
MAX_KEY_CHARS = 500
MAX_DELAY_S = 3600
KEY_END_CHARS = 4
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
DEFAULT_URLS: dict[Platform, str] = {
    "YOUTUBE": "rtmps://a.rtmps.youtube.com/live2",
    "INSTAGRAM": "rtmps://live-upload.instagram.com:443/rtmp",
}
"""Where a platform has one address for all; the others give each seller an own one."""


@attrs.frozen
class Target:
    """A row of `restream.targets`; the key stays sealed until a worker needs it."""

    id: UUID
    user_id: UserId
    name: str
    platform: Platform
    rtmp_url: str
    stream_key: bytes = attrs.field(repr=False)
    stream_key_end: str
    mute_audio: bool
    start_mode: StartMode
    delay_s: int
    revision: int
    asked: Wish | None
    asked_live_id: StreamKey | None
    asked_session_at: datetime | None
    asked_count: int
    created_at: datetime


@attrs.frozen
class Run:
    """A row of `restream.runs`: one target in one broadcast, over all its restarts."""

    id: UUID
    target_id: UUID
    live_id: StreamKey
    status: RunStatus
    cause: Cause
    restart_count: int
    sent_bytes: int
    bitrate_bps: int
    delay_ms: int
    on_slate: bool
    next_attempt_at: datetime | None
    active_since: datetime | None
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    lines: list[str]


def _one_of(kind: Any) -> Any:
    allowed = get_args(kind)

    def check(_: Any, attribute: attrs.Attribute[Any], value: str | None) -> None:
        if value is not None and value not in allowed:
            raise ValueError(f"'{attribute.name}' must be one of {', '.join(allowed)}")

    return check


def _url(_: Any, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if value is None:
        return
    problem = url_problem(value)
    if problem:
        raise ValueError(f"'{attribute.name}' must {problem}")


def url_problem(url: str) -> str:
    """What is wrong with the address of a server, "" where nothing is."""
    if len(url) > MAX_URL_CHARS or _PRINTABLE.fullmatch(url) is None:
        return f"be an address of up to {MAX_URL_CHARS} printable characters"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "be an address"
    if parts.scheme not in ("rtmp", "rtmps") or not parts.hostname or port == 0:
        return "begin with rtmp:// or rtmps:// and a host"
    if "@" in parts.netloc or parts.fragment:
        return "have no user name and no fragment"
    if not parts.path.strip("/"):
        return "name an application after the host, such as /live"
    return ""


def _key(_: Any, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and (len(value) > MAX_KEY_CHARS or _PRINTABLE.fullmatch(value) is None):
        raise ValueError(f"'{attribute.name}' must be 1 to {MAX_KEY_CHARS} printable characters without blanks")


def _name(_: Any, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and not 1 <= len(value.strip()) <= 60:
        raise ValueError(f"'{attribute.name}' must have 1 to 60 characters")


def _delay(_: Any, attribute: attrs.Attribute[Any], value: int | None) -> None:
    if value is not None and not 0 <= value <= MAX_DELAY_S:
        raise ValueError(f"'{attribute.name}' must be 0 to {MAX_DELAY_S}")


@attrs.frozen
class TargetBody:
    """`POST /api/restream/targets`. `rtmpUrl` may be left out where the platform has one address for all."""

    platform: str = attrs.field(validator=_one_of(Platform))
    stream_key: str = attrs.field(validator=_key, repr=False)
    rtmp_url: str | None = attrs.field(default=None, validator=_url)
    name: str | None = attrs.field(default=None, validator=_name)
    mute_audio: bool = False
    start_mode: str = attrs.field(default="AUTO", validator=_one_of(StartMode))
    delay_seconds: int = attrs.field(default=0, validator=_delay)


@attrs.frozen
class TargetPatch:
    """`PATCH /api/restream/targets/{id}`: what is absent or null stays as it is."""

    platform: str | None = attrs.field(default=None, validator=_one_of(Platform))
    stream_key: str | None = attrs.field(default=None, validator=_key, repr=False)
    rtmp_url: str | None = attrs.field(default=None, validator=_url)
    name: str | None = attrs.field(default=None, validator=_name)
    mute_audio: bool | None = None
    start_mode: str | None = attrs.field(default=None, validator=_one_of(StartMode))
    delay_seconds: int | None = attrs.field(default=None, validator=_delay)


@attrs.frozen
class StartBody:
    """`POST /api/restream/targets/{id}/start`. Without `liveStreamId`: the one broadcast that is on air."""

    live_stream_id: str | None = None


def publish_url(rtmp_url: str, key: str) -> str:
    return f"{rtmp_url.rstrip('/')}/{key}"
