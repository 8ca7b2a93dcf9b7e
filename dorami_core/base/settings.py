"""Settings: `config/dorami.toml`, then the environment. Each section is an attrs class; the plugins add theirs."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from dorami_core.base.peers import Networks

T = TypeVar("T")
PREFIX = "DORAMI_"


class SettingsError(Exception):
    """A setting is unknown, missing or wrong; the sentence names file, key and what is allowed."""


def positive(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ValueError(f"'{attribute.name}' must be above 0")


def networks(_: Any, attribute: attrs.Attribute[Any], value: list[str]) -> None:
    try:
        Networks(value)
    except ValueError as error:
        raise ValueError(f"'{attribute.name}' must be addresses or networks: {error}") from None


def time_zone(_: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"'{attribute.name}' must be a time zone, such as Asia/Seoul") from None


@attrs.frozen
class ChatSettings:
    rate_count: int = attrs.field(default=20, validator=positive)
    rate_window_s: float = attrs.field(default=10, validator=positive)
    max_chars: int = attrs.field(default=500, validator=positive)
    address_rate_count: int = attrs.field(default=1000, validator=positive)
    join_rate_count: int = attrs.field(default=200, validator=positive)
    address_join_rate_count: int = attrs.field(default=10_000, validator=positive)
    heart_rate_count: int = attrs.field(default=200, validator=positive)
    address_heart_rate_count: int = attrs.field(default=10_000, validator=positive)


@attrs.frozen
class PresenceSettings:
    lease_s: float = attrs.field(default=15, validator=positive)


@attrs.frozen
class StreamSettings:
    grace_s: float = attrs.field(default=30, validator=positive)


@attrs.frozen
class EdgeSettings:
    ping_interval_s: float = attrs.field(default=25, validator=positive)
    ping_timeout_s: float = attrs.field(default=20, validator=positive)
    max_payload_bytes: int = attrs.field(default=1_000_000, validator=positive)
    connect_timeout_s: float = attrs.field(default=45, validator=positive)
    gather_max_s: float = attrs.field(default=0.05, validator=positive)
    queue_max_bytes: int = attrs.field(default=131_072, validator=positive)
    stall_s: float = attrs.field(default=20, validator=positive)


@attrs.frozen
class MediaSettings:
    server: str = attrs.field(default="embedded", validator=attrs.validators.in_(("embedded", "srs")))
    flv_interval_s: float = attrs.field(default=0.05, validator=positive)
    viewer_queue_max_bytes: int = attrs.field(default=4_000_000, validator=positive)
    viewer_cut_s: float = attrs.field(default=10, validator=positive)
    hls_segment_s: float = attrs.field(default=1.0, validator=positive)
    hls_part_s: float = attrs.field(default=0.334, validator=(attrs.validators.ge(0.2), attrs.validators.le(0.5)))
    hls_window: int = attrs.field(default=6, validator=positive)
    hls_max_waiting: int = attrs.field(default=5000, validator=positive)
    thumbnail_s: float = attrs.field(default=10, validator=positive)


@attrs.frozen
class RecordingSettings:
    enabled: bool = True
    keep_days: float = attrs.field(default=30, validator=positive)
    budget_gb: float = attrs.field(default=50, validator=positive)
    warn_s: float = attrs.field(default=86400, validator=positive)
    min_free_gb: float = attrs.field(default=1, validator=positive)
    public: bool = True
    clip_min_s: float = attrs.field(default=3, validator=positive)
    clip_max_s: float = attrs.field(default=1800, validator=positive)


@attrs.frozen
class RestreamSettings:
    stale_s: float = attrs.field(default=8, validator=positive)
    first_pause_s: float = attrs.field(default=1, validator=positive)
    longest_pause_s: float = attrs.field(default=60, validator=positive)
    steady_s: float = attrs.field(default=60, validator=positive)
    max_failures: int = attrs.field(default=30, validator=positive)
    worker_memory_mb: int = attrs.field(default=300, validator=positive)
    worker_cpu: float = attrs.field(default=0.5, validator=positive)
    ca_file: str = ""


@attrs.frozen
class RtmpSettings:
    public_host: str = ""
    max_message_bytes: int = attrs.field(default=16_000_000, validator=positive)
    idle_timeout_s: float = attrs.field(default=10, validator=positive)


@attrs.frozen
class SrsSettings:
    token: str = ""
    sources: list[str] = attrs.field(factory=lambda: ["127.0.0.1", "::1"], validator=networks)
    http_url: str = "http://127.0.0.1:8088"
    api_url: str = "http://127.0.0.1:1985"
    rtmp_port: int = attrs.field(default=1935, validator=positive)
    heartbeat_s: float = attrs.field(default=10, validator=positive)


@attrs.frozen
class ShopSettings:
    currency: str = attrs.field(default="USD", validator=attrs.validators.in_(("USD", "EUR", "GBP", "KRW", "JPY")))
    timezone: str = attrs.field(default="Asia/Seoul", validator=time_zone)


@attrs.frozen
class WebSettings:
    hosts: list[str] = attrs.field(factory=list)
    trusted_proxies: list[str] = attrs.field(factory=list, validator=networks)
    metrics_token: str = ""


@attrs.frozen
class LimitSettings:
    exempt_addresses: list[str] = attrs.field(factory=list, validator=networks)


CORE_SECTIONS: Mapping[str, type] = {
    "chat": ChatSettings,
    "presence": PresenceSettings,
    "streams": StreamSettings,
    "edge": EdgeSettings,
    "media": MediaSettings,
    "recordings": RecordingSettings,
    "restream": RestreamSettings,
    "rtmp": RtmpSettings,
    "srs": SrsSettings,
    "shop": ShopSettings,
    "web": WebSettings,
    "limits": LimitSettings,
}


class Settings:
    """All sections, built and checked."""

    def __init__(self, sections: Mapping[str, Any]) -> None:
        self._by_type = {type(section): section for section in sections.values()}
        self.sections = dict(sections)

    def section(self, kind: type[T]) -> T:
        return self._by_type[kind]  # type: ignore[no-any-return]


def load_settings(file: Path | None, environ: Mapping[str, str], sections: Mapping[str, type]) -> Settings:
    """Reads the file (None: defaults only), lets `DORAMI_SECTION__NAME` win, and builds every section.

    SettingsError names the first thing that is wrong.
    """
    tables: dict[str, dict[str, Any]] = {}
    if file is not None:
        try:
            tables = tomllib.loads(file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{file}: {error}") from error
    origin = {(name, key): str(file) for name, table in tables.items() if isinstance(table, dict) for key in table}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or "__" not in name:
            continue
        section, key = name.removeprefix(PREFIX).lower().split("__", 1)
        kind = sections.get(section)
        hints = get_type_hints(kind) if kind else {}
        if key not in hints:
            raise SettingsError(f"environment: {name} is no setting")
        tables.setdefault(section, {})[key] = _from_text(name, text, hints[key])
        origin[section, key] = f"environment {name}"
    unknown = sorted(set(tables) - set(sections))
    if unknown:
        raise SettingsError(f"{file}: [{unknown[0]}] is no section; there are {', '.join(sorted(sections))}")
    return Settings({name: _build(name, kind, tables.get(name, {}), origin, file) for name, kind in sections.items()})


def _build(name: str, kind: type, table: Any, origin: Mapping[tuple[str, str], str], file: Path | None) -> Any:
    hints = get_type_hints(kind)
    if not isinstance(table, dict):
        raise SettingsError(f"{file}: {name} must be a section")
    values = {}
    for key, value in table.items():
        where = f"{origin.get((name, key), str(file))}: {name}.{key}"
        if key not in hints:
            raise SettingsError(f"{where} is no setting; [{name}] has {', '.join(sorted(hints))}")
        values[key] = _checked(where, value, hints[key])
    try:
        return kind(**values)
    except ValueError as error:
        bad = next((key for key in values if f"'{key}'" in str(error)), None)
        shown = f"{name}.{bad}" if bad else ", ".join(f"{name}.{key}" for key in values)
        where = origin.get((name, bad or ""), str(file))
        problem = str(error.args[0]).removeprefix(f"'{bad}' ")
        raise SettingsError(f"{where}: {shown}: {problem}") from error


def _checked(where: str, value: Any, hint: Any) -> Any:
    if hint is float and type(value) is int:
        return float(value)
    allowed = get_origin(hint) or hint
    if type(value) is not allowed:
        raise SettingsError(f"{where} must be {_name(hint)}, not {value!r}")
    if allowed is list and not all(type(item) is get_args(hint)[0] for item in value):
        raise SettingsError(f"{where} must be {_name(hint)}, not {value!r}")
    return value


def _from_text(name: str, text: str, hint: Any) -> Any:
    if hint is str:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(f"environment: {name} must be {_name(hint)}, not {text!r}") from error


def _name(hint: Any) -> str:
    kind = get_origin(hint) or hint
    names = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", list: "list of strings"}
    return names.get(kind, str(kind))
