"""Long random runs: a test marked `soak` runs a short slice with all the others, and for long under `make soak`.

`--seed N` repeats a run; without it every run has a new one, which a failure names.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest


class Soak:
    """`rounds(short)` counts up to `short`, or until this test's share of `--soak-minutes` is over."""

    def __init__(self, seed: int, seconds: float, plugins: pytest.PytestPluginManager | None = None) -> None:
        self.seed = seed
        self._plugins = plugins
        self.random = random.Random(seed)
        self._seconds = seconds
        self._until: float | None = None

    @property
    def is_long(self) -> bool:
        return self._seconds > 0

    def tell(self, line: str) -> None:
        """On the terminal while it runs, under `make soak` alone."""
        if self.is_long and self._plugins is not None:
            with self._plugins.get_plugin("capturemanager").global_and_fixture_disabled():
                self._plugins.get_plugin("terminalreporter").write_line(f"[{time.strftime('%H:%M:%S')}] {line}")

    def rounds(self, short: int) -> Iterator[int]:
        turn = 0
        while turn < short or self.has_time():
            yield turn
            turn += 1

    def has_time(self) -> bool:
        """Whether this test's share, which begins at the first question, is not over; never in a short slice."""
        if self._until is None:
            self._until = time.monotonic() + self._seconds
        return time.monotonic() < self._until


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak-minutes", type=float, default=0, help="for all soak tests together; 0: a short slice")
    parser.addoption("--seed", type=int, default=None, help="of the soak tests")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "soak: a random run that `make soak` makes long")
    if config.getoption("--seed") is None:
        config.option.seed = random.SystemRandom().randrange(2**32)


def pytest_report_header(config: pytest.Config) -> str:
    return f"soak seed: {config.getoption('--seed')}"


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> Soak:
    config, items = request.config, request.session.items
    count = sum(item.get_closest_marker("soak") is not None for item in items)
    seconds = config.getoption("--soak-minutes") * 60 / max(count, 1)
    return Soak(config.getoption("--seed"), seconds, config.pluginmanager)
