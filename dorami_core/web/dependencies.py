"""Everything the web app is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Literal

import attrs
from prometheus_client import CollectorRegistry

from dorami_core.base.clock import Clock
from dorami_core.base.errors import ErrorCatalogue
from dorami_core.hooks.http import Templates
from dorami_core.hooks.transactions import Database
from dorami_core.identity.tokens import Authenticator
from dorami_core.web.csrf import CsrfTokens

AppEnv = Literal["development", "test", "production"]


@attrs.frozen
class HealthCheck:
    """`check` raises where something is not reachable. Not `required`: its failure is degradation, not death."""

    check: Callable[[], Awaitable[None]]
    required: bool = True


async def of_nobody() -> Mapping[str, str]:
    return {}


@attrs.frozen(kw_only=True)
class WebDependencies:
    """Handed in by the composition root; nothing in here is optional to have, much is optional to say."""

    db: Database
    authenticator: Authenticator
    csrf: CsrfTokens
    catalogue: ErrorCatalogue
    clock: Clock
    app_env: AppEnv
    edge_port: Callable[[], int]
    metrics: CollectorRegistry
    csrf_enabled: bool = True
    hosts: Collection[str] = ()
    """`web.hosts`: names that are served besides IP literals and localhost."""
    cors_origins: Collection[str] = ()
    trusted_proxies: Sequence[str] = ()
    """Addresses or networks whose forwarded headers count."""
    metrics_token: str = ""
    """A bearer that may read /metrics from anywhere; empty: loopback only."""
    metrics_of_others: Callable[[], Awaitable[Mapping[str, str]]] = of_nobody
    """What further processes show at /metrics, by their names; they are shown along with our own."""
    health_checks: Mapping[str, HealthCheck] = attrs.field(factory=dict)
    templates: Sequence[Templates] = ()
