"""`dorami check`: what is configured, what is reachable, and what to do about what is not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import trio

from dorami_core.base.environment import read_environment
from dorami_core.base.errors import DoramiError
from dorami_core.base.settings import CORE_SECTIONS, MediaSettings, SettingsError, SrsSettings, load_settings
from dorami_core.events.codec import EventCodec
from dorami_core.events.outbox import OutboxWriter
from dorami_core.hooks.loader import Loaded, PluginError, load_plugins
from dorami_core.store.embedded.postgres import find_binaries
from dorami_core.store.embedded.process import EmbeddedServerError
from dorami_core.store.embedded.redis import find_binary
from dorami_core.store.postgres import open_database
from dorami_core.store.redis import open_redis

LIMIT_S = 5.0
PROBLEMS = (SettingsError, PluginError, DoramiError, EmbeddedServerError, OSError, trio.TooSlowError, httpx.HTTPError)


class _Report:
    def __init__(self) -> None:
        self.wrong = 0

    def say(self, what: str, answer: str) -> None:
        print(f"ok     {what:<12} {answer}")

    async def ask(self, what: str, question: Callable[[], Awaitable[str]], advice: str) -> None:
        try:
            with trio.fail_after(LIMIT_S):
                self.say(what, await question())
        except PROBLEMS as error:
            self.wrong += 1
            print(f"wrong  {what:<12} {error or type(error).__name__}\n{'':<20}{advice}")


async def check(data: Path, settings_file: Path | None) -> int:
    """Prints a line for each thing; 0 where all is well, else 1. Starts nothing and writes nothing."""
    report = _Report()
    loaded: list[Loaded] = []

    async def plugins() -> str:
        loaded.append(load_plugins())
        return ", ".join(plugin.name for plugin in loaded[0].ordered)

    async def settings() -> str:
        sections = loaded[0].settings_sections() if loaded else {}
        load_settings(settings_file, os.environ, {**CORE_SECTIONS, **sections})
        return str(settings_file or "defaults")

    async def environment() -> str:
        return f"APP_ENV={read_environment(os.environ, lambda name, make: make()).app_env}"

    await report.ask("plugins", plugins, "Install what it names, or take the plugin out.")
    await report.ask("settings", settings, "config/dorami.toml says what every setting means.")
    await report.ask("environment", environment, "Set what it names; `openssl rand -hex 32` makes a key.")
    await report.ask("data", lambda: _data(data), "Choose another place with --data, or free some room.")
    await report.ask("database", _database, "Start PostgreSQL, mend DATABASE_URL, or unset it for the embedded one.")
    await report.ask("srs", lambda: _srs(settings_file), "Start SRS (srs/README.md), or mend srs.api_url.")
    await report.ask("redis", _redis, "Start Redis, mend REDIS_URL, or unset it for the embedded one.")
    return 1 if report.wrong else 0


async def _data(data: Path) -> str:
    folder = data.absolute()  # noqa: ASYNC240 - this command serves nobody who would wait
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise OSError(f"{folder} cannot be written to")
    free = shutil.disk_usage(folder).free
    if free < 500_000_000:
        raise OSError(f"{folder} has {free // 1_000_000} MB left")
    return f"{folder} has {free // 1_000_000_000} GB free for {data}"


async def _database() -> str:
    url = os.environ.get("DATABASE_URL")
    if not url:
        return f"embedded, {find_binaries()}"
    async with open_database(url, min_size=1, max_size=1, outbox_writer=OutboxWriter(EventCodec())) as db:
        number = int(await db.fetchval("SELECT current_setting('server_version_num')::int"))
    if number < 180000:
        raise OSError(f"this PostgreSQL is {number // 10000}, Dorami needs 18")
    return f"PostgreSQL {number // 10000}.{number % 10000}"


async def _srs(settings_file: Path | None) -> str:
    sections = {**CORE_SECTIONS, **load_plugins().settings_sections()}
    settings = load_settings(settings_file, os.environ, sections)
    if settings.section(MediaSettings).server != "srs":
        return "not used"
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{settings.section(SrsSettings).api_url.rstrip('/')}/api/v1/versions")
    return f"SRS {answer.json()['data']['version']}"


async def _redis() -> str:
    environment = read_environment({**os.environ, "APP_ENV": "test"}, lambda name, make: make())
    if environment.redis_url is None:
        return f"embedded, {find_binary()}"
    async with open_redis(environment.redis_url) as redis:
        await redis.ping()
    return "answers"
