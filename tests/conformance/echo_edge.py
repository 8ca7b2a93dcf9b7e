"""A real edge with the echo plugin, registered as any plugin is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from echo_plugin import EchoPlugin
from edge_harness import Edge, running_edge

from dorami_core.edge.sockets import SocketRegistry
from dorami_core.hooks.dispatch import Dispatcher
from dorami_core.hooks.loader import make_manager

SUITE: dict[str, Any] = {
    "ping_interval_s": 0.3,
    "ping_timeout_s": 0.2,
    "max_payload_bytes": 1_000_000,
    "connect_timeout_s": 1,
}
"""The settings that the public suites expect; tests in which nothing has to time out take the defaults."""


@asynccontextmanager
async def echo_edge(folder: Path, **settings: Any) -> AsyncIterator[Edge]:
    registry = SocketRegistry()
    Dispatcher(make_manager([EchoPlugin()])).register("register_sockets", sockets=registry)
    async with running_edge(folder, registry, **settings) as edge:
        yield edge
