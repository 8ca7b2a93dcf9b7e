"""What faces the network: the web and the edge, each built from the core (`parts.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import attrs
import trio
from prometheus_client import CollectorRegistry, generate_latest
from quart_trio import QuartTrio

from dorami_core.base.settings import EdgeSettings, MediaSettings, WebSettings
from dorami_core.base.supervision import supervise
from dorami_core.edge.counters import EdgeCounters
from dorami_core.edge.handover import Handover
from dorami_core.edge.neighbours import read_metrics
from dorami_core.edge.placement import Place
from dorami_core.edge.server import serve_edge
from dorami_core.edge.services import VideoOut
from dorami_core.edge.sockets import SocketRegistry
from dorami_core.identity.sessions import SessionStore
from dorami_core.identity.tokens import derive_key
from dorami_core.parts import Core, Sources
from dorami_core.presence import sockets as presence_sockets
from dorami_core.streams import routes as stream_routes
from dorami_core.streams import sockets as stream_sockets
from dorami_core.web.app import build_app
from dorami_core.web.auth_routes import IdentityRoutes
from dorami_core.web.csrf import CsrfTokens
from dorami_core.web.dependencies import HealthCheck, WebDependencies, of_nobody
from dorami_core.web.router import WebRouter


def build_web(
    core: Core,
    metrics: CollectorRegistry,
    more_routes: Sequence[Callable[[WebRouter], None]] = (),
    handover: Handover | None = None,
) -> QuartTrio:
    """Pages and `/api`. With `handover` its /metrics show those of the neighbours too."""
    base, environment = core.base, core.base.environment
    settings = base.settings.section(WebSettings)
    router = WebRouter()
    IdentityRoutes(
        core.users, SessionStore(base.db), core.authenticator, dev_login=environment.app_env != "production"
    ).register(router)
    stream_routes.register(router, core.streams)
    core.chat.register_routes(router)
    for register in more_routes:
        register(router)
    base.dispatcher.register("register_routes", router=router)
    of_others = of_nobody if handover is None else partial(read_metrics, handover)
    return build_app(
        router,
        WebDependencies(
            db=base.db,
            authenticator=core.authenticator,
            csrf=CsrfTokens(derive_key(environment.jwt_secret, "csrf")),
            catalogue=base.catalogue,
            clock=base.clock,
            app_env=environment.app_env,
            edge_port=lambda: base.ports.edge,
            metrics=metrics,
            csrf_enabled=environment.csrf_enabled,
            hosts=settings.hosts,
            cors_origins=environment.cors_origins,
            trusted_proxies=settings.trusted_proxies,
            metrics_token=settings.metrics_token,
            health_checks={
                "database": HealthCheck(partial(base.db.fetchval, "SELECT 1")),
                "redis": HealthCheck(base.redis.ping, required=False),
                "rooms": HealthCheck(core.link.ping, required=False),
            },
            templates=[templates for _, templates in base.dispatcher.register("register_templates")],
            metrics_of_others=of_others,
        ),
    )


@attrs.frozen(kw_only=True)
class Edge:
    """Sockets of viewers, and video for whoever asks."""

    core: Core
    place: Place
    sockets: SocketRegistry
    streams: stream_sockets.StreamSockets
    counters: EdgeCounters

    def statistics(self) -> Sources:
        return {
            "edge": self.counters.statistics,
            "handover": self.place.handover.statistics,
            "snapshot": self.streams.statistics,
        }

    async def serve(
        self,
        host: str,
        port: int | None,
        video: VideoOut,
        metrics: CollectorRegistry,
        *,
        shares_port: bool = False,
        task_status: trio.TaskStatus[int],
    ) -> None:
        """`serve_edge` with all that it needs."""
        base = self.core.base
        settings = base.settings.section(WebSettings)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, "snapshots", self.streams.run)
            await serve_edge(
                host,
                port,
                settings=base.settings.section(EdgeSettings),
                hosts=settings.hosts,
                cors_origins=base.environment.cors_origins,
                trusted_proxies=settings.trusted_proxies,
                web_port=lambda: base.ports.web,
                authenticator=self.core.authenticator,
                admission=self.core.chat.bans,
                sockets=self.sockets,
                rooms=self.core.rooms,
                recovery=self.core.recovery,
                video=video,
                catalogue=base.catalogue,
                clock=base.clock,
                counters=self.counters,
                flv_queue_max_bytes=2 * base.settings.section(MediaSettings).viewer_queue_max_bytes,
                shares_port=shares_port,
                place=self.place,
                exposition=partial(generate_latest, metrics),
                task_status=task_status,
            )


def build_edge(core: Core, place: Place) -> Edge:
    sockets, base = SocketRegistry(), core.base
    streams = stream_sockets.register(sockets, core.streams, core.viewers, base.dispatcher, base.clock, core.chat.store)
    presence_sockets.register(sockets, core.streams, core.viewers)
    core.chat.register_sockets(sockets)
    base.dispatcher.register("register_sockets", sockets=sockets)
    return Edge(core=core, place=place, sockets=sockets, streams=streams, counters=EdgeCounters())
