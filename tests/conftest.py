"""Runs asynchronous tests on the project's own runtime, and offers them real PostgreSQL and Redis."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, settings

from dorami_core import runtime
from dorami_core.testing.folders import short_folder

pytest_plugins = ["dorami_core.testing.fixtures", "soaking"]


# No test depends on how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "plain_trio: run the test by trio.run, without the asyncio loop beneath")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("trio") is not None:
            plain = item.get_closest_marker("plain_trio") is not None
            item.add_marker(pytest.mark.trio(run=trio.run if plain else runtime.run), append=False)


@pytest.fixture(scope="session")
def short_tmp() -> Iterator[Path]:
    """A folder for what whole servers write."""
    with tempfile.TemporaryDirectory(prefix="dorami-", dir=short_folder()) as folder:
        yield Path(folder)
